# Signum: signSGD with momentum (Bernstein et al. 2018), beta = 0.9.
def train(w, g, m, lr):
    m = interpolate(g, m, 0.9)
    update = sign(m)
    update = update * lr
    return update, m
