"""
title: Prodigy
summary: Adam that estimates its learning rate from the distance to the solution
mathematics: |
  k = d lr sqrt(1 - beta2^t) / (1 - beta1^t), d = d0 at first
  r <- sqrt(beta2) r + (d / d0) k <g, w0 - w>
  m <- beta1 m + (1 - beta1) d g
  v <- beta2 v + (1 - beta2) d^2 g^2
  s <- sqrt(beta2) s + (d / d0) k g
  d <- max(d, d_coef r / |s|_1)
  w <- w - k (m / (sqrt(v) + d eps) + weight_decay w)
  Products and norms over the whole model, w0 the first weights.
learning_rate: 1.0
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.99 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, times d; 1e-10 to 1e-6 in practice"}
  d0: {range: "(0, inf)", doc: "first estimate of the distance, rather too small; 1e-8 to 1e-4 in practice"}
  d_coef: {range: "(0, inf)", doc: "factor of the estimate; 0.5 to 2 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times d and the learning rate; 0 to 0.1 in practice"}
source: "Mishchenko and Defazio 2023, Prodigy: An Expeditiously Adaptive Parameter-Free Learner"
advice: >-
  For a run without a learning rate to tune: leave it at 1, or let a schedule fall from 1. The first steps are tiny,
  while the estimate grows. As in optax, always with bias correction.
"""


def train(w, g, m, v, s, w0, d: SCALAR, r: SCALAR, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    d0 = 1e-06
    d_coef = 1.0
    weight_decay = 0.0
    w0 = initial(t, w, w0)
    d = initial(t, d0, d)
    beta3 = sqrt(beta2)
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    c2 = sqrt(c2)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    k = divide(c2, c1)
    k = k * lr
    k = k * d
    growth = divide(d, d0)
    growth = growth * k
    back = w0 - w
    gain = dot(g, back)
    gain = gain * growth
    r = r * beta3
    r = r + gain
    scaled = g * d
    m = interpolate(scaled, m, beta1)
    scaled2 = square(scaled)
    v = interpolate(scaled2, v, beta2)
    grown = g * growth
    s = s * beta3
    s = s + grown
    sizes = abs(s)
    length = global_sum(sizes)
    estimate = r * d_coef
    estimate = divide(estimate, length)
    estimate = where(length, estimate, 0.0)
    d = max(d, estimate)
    least = d * eps
    root = sqrt(v)
    root = root + least
    update = divide(m, root)
    decay = w * weight_decay
    update = update + decay
    update = update * k
    return update, m, v, s, w0, d, r
