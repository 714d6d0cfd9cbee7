"""
title: signSGD
summary: the sign of the gradient
mathematics: |
  w <- w - lr sign(g)
learning_rate: 0.0001
source: "Bernstein et al. 2018, signSGD: Compressed Optimisation for Non-Convex Problems"
"""


def train(g, lr):
    update = sign(g)
    update = update * lr
    return update
