"""
title: Signum
summary: the sign of the momentum
mathematics: |
  m <- beta m + (1 - beta) g
  w <- w - lr sign(m)
learning_rate: 0.0001
hyperparameters:
  beta: {range: "[0, 1)", doc: "decay rate of the momentum; 0.9 to 0.99 in practice"}
source: "Bernstein et al. 2018, signSGD: Compressed Optimisation for Non-Convex Problems"
"""


def train(g, m, lr):
    beta = 0.9
    m = interpolate(g, m, beta)
    update = sign(m)
    update = update * lr
    return update, m
