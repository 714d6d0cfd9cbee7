"""
title: Schedule-free AdamW
summary: AdamW at a point between a fast sequence and its average, in place of a schedule
mathematics: |
  v <- beta2 v + (1 - beta2) g^2
  d = g / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay w
  peak <- max(peak, lr), s <- s + peak^2, c = peak^2 / s
  x = (w - (1 - beta1) z) / beta1, z = w at first
  z <- z - lr d
  x <- (1 - c) x + c z
  w <- beta1 x + (1 - beta1) z
learning_rate: 0.0025
hyperparameters:
  beta1: {range: "(0, 1)", doc: "how close to the average gradients are taken; 0.9 to 0.98 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment; 1e-10 to 1e-6 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "Defazio, Yang, Mehta, Mishchenko, Khaled and Cutkosky 2024, The Road Less Scheduled"
advice: >-
  The trained weights w are the paper's y, where gradients are taken; evaluate and keep x = (w - (1 - beta1) z) /
  beta1, with the state's z. Let the learning rate be constant, after a warm-up if need be; one to ten times that of
  AdamW suits it. As in optax, with averages weighted by the squared learning rate and a decay at y.
"""


def train(w, g, z, v, peak: SCALAR, s: SCALAR, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    weight_decay = 0.0
    z = initial(t, w, z)
    g2 = square(g)
    v = interpolate(g2, v, beta2)
    b2 = power(beta2, t)
    b2 = 1.0 - b2
    v_hat = divide(v, b2)
    root = sqrt(v_hat)
    root = root + eps
    d = divide(g, root)
    decay = w * weight_decay
    d = d + decay
    peak = max(peak, lr)
    peak2 = square(peak)
    s = s + peak2
    c = divide(peak2, s)
    c = where(s, c, 0.0)
    rest = 1.0 - beta1
    part = z * rest
    x = w - part
    x = divide(x, beta1)
    move = d * lr
    z = z - move
    x = interpolate(x, z, c)
    y = interpolate(z, x, beta1)
    update = w - y
    return update, z, v, peak, s
