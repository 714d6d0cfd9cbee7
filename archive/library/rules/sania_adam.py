"""
title: SANIA Adam-SQR
summary: Polyak step in the metric of the second moment of gradients, invariant to scaling
mathematics: |
  b <- beta2 b + (1 - beta2) g^2
  d = g / max(b / (1 - beta2^t), eps)
  u = 2 (value - f_min) / <g, d>, 0 where g is 0 (product over the whole model)
  w <- w - lr (1 - sqrt(max(1 - u, 0))) d
learning_rate: 1.0
hyperparameters:
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.99 to 0.999 in practice"}
  eps: {range: "(0, inf)", doc: "lower bound of the second moment, against division by zero"}
  f_min: {range: "(-inf, inf)", doc: "lower bound of the loss; 0 where every example can be fitted"}
source: >-
  Abdukhakimov, Xiang, Kamzolov, Gower and Takac 2023, SANIA: Polyak-type Optimization Framework Leads to
  Scale Invariant Stochastic Algorithms
advice: >-
  For badly scaled problems that the model can fit. The learning rate is the largest step along d, and the rest is the
  Polyak step: leave it at 1. It reads the loss of the batch that the gradient is of. As in the authors' code: no
  first moment, and the second is divided by, not its root; `eps` bounds it, so scaling changes nothing above that
  bound only.
"""


def train(g, b, lr, t, value):
    beta2 = 0.999
    eps = 0.1
    f_min = 0.0
    g2 = square(g)
    b = interpolate(g2, b, beta2)
    b2 = power(beta2, t)
    b2 = 1.0 - b2
    scale = divide(b, b2)
    scale = max(scale, eps)
    d = divide(g, scale)
    gap = value - f_min
    gap = gap * 2.0
    length2 = dot(g, d)
    u = divide(gap, length2)
    u = where(length2, u, 0.0)
    inside = 1.0 - u
    inside = max(inside, 0.0)
    root = sqrt(inside)
    size = 1.0 - root
    size = size * lr
    update = d * size
    return update, b
