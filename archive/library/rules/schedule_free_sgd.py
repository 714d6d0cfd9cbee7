"""
title: Schedule-free SGD
summary: gradients at a point between a fast sequence and its average, in place of a schedule
mathematics: |
  peak <- max(peak, lr), s <- s + peak^2, c = peak^2 / s
  x = (w - (1 - beta) z) / beta, z = w at first
  z <- z - lr g
  x <- (1 - c) x + c z
  w <- beta x + (1 - beta) z
learning_rate: 1.0
hyperparameters:
  beta: {range: "(0, 1)", doc: "how close to the average gradients are taken; 0.9 to 0.98 in practice"}
source: "Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky 2024, The Road Less Scheduled"
advice: >-
  The trained weights w are the paper's y, where gradients are taken; evaluate and keep x = (w - (1 - beta) z) / beta,
  with the state's z. Let the learning rate be constant, after a warm-up if need be; one to ten times that of SGD
  suits it. As in optax, with averages weighted by the squared learning rate.
"""


def train(w, g, z, peak: SCALAR, s: SCALAR, lr, t):
    beta = 0.9
    z = initial(t, w, z)
    peak = max(peak, lr)
    peak2 = square(peak)
    s = s + peak2
    c = divide(peak2, s)
    c = where(s, c, 0.0)
    rest = 1.0 - beta
    part = z * rest
    x = w - part
    x = divide(x, beta)
    move = g * lr
    z = z - move
    x = interpolate(x, z, c)
    y = interpolate(z, x, beta)
    update = w - y
    return update, z, peak, s
