# Stochastic gradient descent (Robbins and Monro 1951).
def train(w, g, lr):
    update = g * lr
    return update
