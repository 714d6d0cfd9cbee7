"""
title: SANIA AdaGrad-SQR
summary: Polyak step in the metric of summed squared gradients, invariant to scaling
mathematics: |
  b <- b + g^2
  d = g / max(b, eps)
  u = 2 (value - f_min) / <g, d>, 0 where g is 0 (product over the whole model)
  w <- w - lr (1 - sqrt(max(1 - u, 0))) d
learning_rate: 1.0
hyperparameters:
  eps: {range: "(0, inf)", doc: "lower bound of the sum of squared gradients, against division by zero"}
  f_min: {range: "(-inf, inf)", doc: "lower bound of the loss; 0 where every example can be fitted"}
source: >-
  Abdukhakimov, Xiang, Kamzolov, Gower and Takac 2023, SANIA: Polyak-type Optimization Framework Leads to
  Scale Invariant Stochastic Algorithms
advice: >-
  For badly scaled problems that the model can fit, from a start with small gradients: large ones shrink all later
  steps, where `sania_adam` forgets them. The learning rate is the largest step along d, and the rest is the Polyak
  step: leave it at 1. It reads the loss of the batch that the gradient is of. As in the authors' code, where the sum
  is divided by, not its root; `eps` bounds it, so scaling changes nothing above that bound only.
"""


def train(g, b, lr, value):
    eps = 0.1
    f_min = 0.0
    g2 = square(g)
    b = b + g2
    scale = max(b, eps)
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
