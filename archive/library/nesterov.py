# Nesterov's accelerated gradient (Nesterov 1983; in this form Sutskever et al. 2013), mu = 0.9.
def train(w, g, m, lr):
    m = m * 0.9
    m = m + g
    update = m * 0.9
    update = update + g
    update = update * lr
    return update, m
