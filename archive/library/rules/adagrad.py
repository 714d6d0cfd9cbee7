"""
title: AdaGrad
summary: steps divided by the root of the sum of all squared gradients
mathematics: |
  s <- s + g^2
  w <- w - lr g / (sqrt(s) + eps)
learning_rate: 0.01
hyperparameters:
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero; 1e-10 to 1e-6 in practice"}
source: "Duchi, Hazan and Singer 2011, Adaptive Subgradient Methods for Online Learning and Stochastic Optimization"
advice: >-
  The steps only shrink: for convex problems and sparse features. The sum begins at 0, as in PyTorch; optax begins at 0.1 and has eps in the root.
"""


def train(g, s, lr):
    eps = 1e-10
    g2 = square(g)
    s = s + g2
    root = sqrt(s)
    root = root + eps
    update = divide(g, root)
    update = update * lr
    return update, s
