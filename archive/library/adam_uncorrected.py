# Adam without bias correction.
def train(w, g, m, v, lr):
    g2 = square(g)
    m = interpolate(g, m, 0.9)
    v = interpolate(g2, v, 0.999)
    sqrt_v = sqrt(v)
    update = m / sqrt_v
    update = update * lr
    return update, m, v
