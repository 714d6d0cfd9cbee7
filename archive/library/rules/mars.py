"""
title: MARS
summary: AdamW on gradients whose variance is reduced by the last gradient
mathematics: |
  c = g + gamma beta1 / (1 - beta1) (g - the last g), 0 being before the first
  c <- c / max(1, |c|), the norm of each tensor
  m <- beta1 m + (1 - beta1) c
  v <- beta2 v + (1 - beta2) c^2
  w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
learning_rate: 0.003
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.9 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.99 in practice"}
  gamma: {range: "[0, inf)", doc: "how far gradients are corrected; 0.01 to 0.05 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero"}
source: "Yuan et al. 2024, MARS: Unleashing the Power of Variance Reduction for Training Large Models"
advice: >-
  For language models, in place of AdamW at a larger learning rate. This is the approximate form: the correction takes
  the last gradient as it was, of the last batch, where the exact form computes it anew on the new one. Tensors of any
  shape are treated alike, and weight decay is left out.
"""


def train(g, m, v, last, lr, t):
    beta1 = 0.95
    beta2 = 0.99
    gamma = 0.025
    eps = 1e-08
    rest = 1.0 - beta1
    weight = divide(beta1, rest)
    weight = gamma * weight
    change = g - last
    change = change * weight
    c = g + change
    length = norm(c)
    length = max(length, 1.0)
    c = divide(c, length)
    m = interpolate(c, m, beta1)
    c2 = square(c)
    v = interpolate(c2, v, beta2)
    last = g
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    m_hat = divide(m, c1)
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    v_hat = divide(v, c2)
    root = sqrt(v_hat)
    root = root + eps
    update = divide(m_hat, root)
    update = update * lr
    return update, m, v, last
