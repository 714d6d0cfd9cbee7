# signSGD (Bernstein et al. 2018).
def train(w, g, lr):
    update = sign(g)
    update = update * lr
    return update
