"""
title: Median gradient clipping
summary: momentum that follows the gradient by bounded steps
mathematics: |
  m <- m + max(-tau, min(tau, g - m))
  w <- w - lr m
learning_rate: 0.01
hyperparameters:
  tau: {range: "(0, inf)", doc: "most that an entry of the estimate moves in a step"}
source: "Schaipp et al. 2024, SGD with Clipping is Secretly Estimating the Median Gradient"
advice: >-
  Component by component, the estimate for the l1 median; robust to gradients with heavy tails.
"""


def train(g, m, lr):
    tau = 0.1
    away = g - m
    least = negative(tau)
    away = min(away, tau)
    away = max(away, least)
    m = m + away
    update = m * lr
    return update, m
