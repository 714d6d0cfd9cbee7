"""
title: Polyak SGD
summary: gradient descent whose step is the loss above its lower bound over the squared gradient
mathematics: |
  gamma = min((value - f_min) / (|g|^2 + eps), lr), 0 where |g|^2 + eps is 0 (norm over the whole model)
  w <- w - gamma g
learning_rate: 1.0
hyperparameters:
  f_min: {range: "(-inf, inf)", doc: "lower bound of the loss; 0 where every example can be fitted"}
  eps: {range: "[0, inf)", doc: "added to the squared norm, against division by zero"}
source: "Loizou, Vaswani, Laradji and Lacoste-Julien 2021, Stochastic Polyak Step-size for SGD"
advice: >-
  For models that fit their data: there the step needs no tuning. The learning rate is the largest step, so a schedule
  only bounds it. It reads the loss of the batch that the gradient is of. As in optax, without the paper's factor 1 /
  c.
"""


def train(g, lr, value):
    f_min = 0.0
    eps = 0.0
    gap = value - f_min
    length = global_norm(g)
    length2 = square(length)
    length2 = length2 + eps
    gamma = divide(gap, length2)
    gamma = min(gamma, lr)
    gamma = where(length2, gamma, 0.0)
    update = g * gamma
    return update
