# RMSprop (Tieleman and Hinton 2012), decay 0.99; the guard of `/` is the eps of 1e-8 outside the root.
def train(w, g, v, lr):
    g2 = square(g)
    v = interpolate(g2, v, 0.99)
    root = sqrt(v)
    update = g / root
    update = update * lr
    return update, v
