# Lion (Chen et al. 2023), betas 0.9 and 0.99, decoupled weight decay 0.1.
def train(w, g, m, lr):
    update = interpolate(g, m, 0.9)
    update = sign(update)
    m = interpolate(g, m, 0.99)
    wd = w * 0.1
    update = update + wd
    update = update * lr
    return update, m
