"""
title: Nesterov momentum
summary: gradient descent with momentum that looks ahead
mathematics: |
  m <- momentum m + g
  w <- w - lr (g + momentum m)
learning_rate: 0.01
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the sum of gradients; 0.9 to 0.99 in practice"}
source: "Nesterov 1983; in this form Sutskever et al. 2013, On the Importance of Initialization and Momentum in Deep Learning"
"""


def train(g, m, lr):
    momentum = 0.9
    m = m * momentum
    m = m + g
    update = m * momentum
    update = update + g
    update = update * lr
    return update, m
