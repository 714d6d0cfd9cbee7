"""
title: Heavy ball
summary: gradient descent with momentum
mathematics: |
  m <- momentum m + g
  w <- w - lr m
learning_rate: 0.01
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the sum of gradients; 0.9 to 0.99 in practice"}
source: "Polyak 1964, Some Methods of Speeding Up the Convergence of Iteration Methods"
advice: >-
  The best learning rate is about 1 - momentum times that of plain gradient descent.
"""


def train(g, m, lr):
    momentum = 0.9
    m = m * momentum
    m = m + g
    update = m * lr
    return update, m
