# AdamW (Loshchilov and Hutter 2019), betas 0.9 and 0.999, decoupled weight decay 0.01 scaled by lr.
def train(w, g, m, v, lr, t):
    g2 = square(g)
    m = interpolate(g, m, 0.9)
    v = interpolate(g2, v, 0.999)
    b1 = power(0.9, t)
    c1 = 1.0 - b1
    m_hat = m / c1
    b2 = power(0.999, t)
    c2 = 1.0 - b2
    v_hat = v / c2
    root = sqrt(v_hat)
    update = m_hat / root
    wd = w * 0.01
    update = update + wd
    update = update * lr
    return update, m, v
