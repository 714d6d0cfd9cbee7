"""
title: ALR-SMAG
summary: momentum whose step is the loss above its lower bound over the squared momentum
mathematics: |
  d <- beta d + g
  gamma = min((value - f_min) / (c |d|^2), lr), 0 where d is 0 (norm over the whole model)
  w <- w - gamma d
learning_rate: 0.1
hyperparameters:
  beta: {range: "[0, 1)", doc: "decay rate of the sum of gradients; 0.9 in practice"}
  c: {range: "(0, inf)", doc: "divides the Polyak step; larger is more careful"}
  f_min: {range: "(-inf, inf)", doc: "lower bound of the loss; 0 where every example can be fitted"}
source: >-
  Wang, Johansson and Zhang 2023, Generalized Polyak Step Size for First Order Optimization with Momentum
advice: >-
  For models that fit their data. The learning rate is the largest step, so a schedule only bounds it. It reads the
  loss of the batch that the gradient is of. As in the paper; its weight decay is left out.
"""


def train(g, d, lr, value):
    beta = 0.9
    c = 1.0
    f_min = 0.0
    d = d * beta
    d = d + g
    gap = value - f_min
    length = global_norm(d)
    length2 = square(length)
    length2 = length2 * c
    gamma = divide(gap, length2)
    gamma = min(gamma, lr)
    gamma = where(length2, gamma, 0.0)
    update = d * gamma
    return update, d
