"""
title: RMSprop
summary: steps divided by the root of the mean squared gradient
mathematics: |
  v <- decay v + (1 - decay) g^2
  w <- w - lr g / (sqrt(v) + eps)
learning_rate: 0.01
hyperparameters:
  decay: {range: "[0, 1)", doc: "decay rate of the mean square; 0.9 to 0.99 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero; 1e-10 to 1e-6 in practice"}
source: "Tieleman and Hinton 2012, Lecture 6.5 of Neural Networks for Machine Learning"
advice: >-
  The eps stands outside the root, as in PyTorch.
"""


def train(g, v, lr):
    decay = 0.99
    eps = 1e-08
    g2 = square(g)
    v = interpolate(g2, v, decay)
    root = sqrt(v)
    root = root + eps
    update = divide(g, root)
    update = update * lr
    return update, v
