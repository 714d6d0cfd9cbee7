"""
title: FAdam
summary: Adam as a natural gradient, with a weight decay in its metric
mathematics: |
  b = beta2 (1 - beta2^(t - 1)) / (1 - beta2^t)
  f <- b f + (1 - b) g^2
  e = min(eps, 0.01 rms(g))
  u = clip(g / (sqrt(f) + e)), clip(x) = x / max(1, rms(x)), rms over each tensor
  m <- beta1 m + (1 - beta1) u
  w <- w - lr (m + weight_decay clip(w / (sqrt(f) + e)))
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "most that is added to the root of the Fisher information"}
  weight_decay: {range: "[0, inf)", doc: "weight decay, in the metric of the Fisher information"}
source: "Hwang 2024, FAdam: Adam is a Natural Gradient Optimizer using Diagonal Empirical Fisher Information"
"""


def train(w, g, m, f, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    weight_decay = 0.1
    past = t - 1.0
    b_past = power(beta2, past)
    b_now = power(beta2, t)
    above = 1.0 - b_past
    below = 1.0 - b_now
    b = divide(above, below)
    b = b * beta2
    g2 = square(g)
    rest = 1.0 - b
    old = f * b
    new = g2 * rest
    f = old + new
    size = mean(g2)
    size = sqrt(size)
    size = size * 0.01
    e = min(size, eps)
    root = sqrt(f)
    root = root + e
    u = divide(g, root)
    u2 = square(u)
    length = mean(u2)
    length = sqrt(length)
    length = max(length, 1.0)
    u = divide(u, length)
    m = interpolate(u, m, beta1)
    d = divide(w, root)
    d2 = square(d)
    length = mean(d2)
    length = sqrt(length)
    length = max(length, 1.0)
    d = divide(d, length)
    d = d * weight_decay
    update = m + d
    update = update * lr
    return update, m, f
