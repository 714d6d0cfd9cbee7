"""
title: Adadelta
summary: steps in the units of the parameters, from the mean squares of gradients and of earlier steps
mathematics: |
  v <- rho v + (1 - rho) g^2
  d = sqrt(u + eps) / sqrt(v + eps) g
  u <- rho u + (1 - rho) d^2
  w <- w - lr d
learning_rate: 1.0
hyperparameters:
  rho: {range: "[0, 1)", doc: "decay rate of both mean squares; 0.9 to 0.99 in practice"}
  eps: {range: "(0, inf)", doc: "added under both roots: it sets the size of the first steps; 1e-8 to 1e-4 in practice"}
source: "Zeiler 2012, ADADELTA: An Adaptive Learning Rate Method"
"""


def train(g, v, u, lr):
    rho = 0.9
    eps = 1e-06
    g2 = square(g)
    v = interpolate(g2, v, rho)
    below = v + eps
    below = sqrt(below)
    above = u + eps
    above = sqrt(above)
    scale = divide(above, below)
    d = scale * g
    d2 = square(d)
    u = interpolate(d2, u, rho)
    update = d * lr
    return update, v, u
