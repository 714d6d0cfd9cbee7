# Gradient descent with momentum (Polyak 1964), mu = 0.9.
def train(w, g, m, lr):
    m = m * 0.9
    m = m + g
    update = m * lr
    return update, m
