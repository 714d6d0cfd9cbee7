"""
title: Normalized gradient descent
summary: steps of fixed length along the gradient
mathematics: |
  w <- w - lr g / |g| (norm over the whole model)
learning_rate: 0.1
source: "Nesterov 1984, Minimization Methods for Nonsmooth Convex and Quasiconvex Functions"
advice: >-
  The step is as long as the learning rate says, so the learning rate must fall.
"""


def train(g, lr):
    length = global_norm(g)
    length = where(length, length, 1.0)
    update = divide(g, length)
    update = update * lr
    return update
