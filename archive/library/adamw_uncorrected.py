# AdamW without bias correction: where the search of Chen et al. 2023 starts, without its own scale `lr * 0.001`.
def train(w, g, m, v, lr):
    g2 = square(g)
    m = interpolate(g, m, 0.9)
    v = interpolate(g2, v, 0.999)
    sqrt_v = sqrt(v)
    update = m / sqrt_v
    wd = w * 0.01
    update = update + wd
    update = update * lr
    return update, m, v
