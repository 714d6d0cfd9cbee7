"""
title: SGD
summary: stochastic gradient descent
mathematics: |
  w <- w - lr g
learning_rate: 0.1
source: "Robbins and Monro 1951, A Stochastic Approximation Method"
"""


def train(g, lr):
    update = g * lr
    return update
