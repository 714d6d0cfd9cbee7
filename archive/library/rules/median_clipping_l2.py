"""
title: Median gradient clipping (l2)
summary: momentum that follows the gradient by steps of bounded length
mathematics: |
  d = g - m
  m <- m + d min(1, tau / |d|) (norm over the whole model)
  w <- w - lr m
learning_rate: 0.01
hyperparameters:
  tau: {range: "(0, inf)", doc: "greatest length of a step of the estimate"}
source: "Schaipp et al. 2024, SGD with Clipping is Secretly Estimating the Median Gradient"
advice: >-
  By its length, the estimate for the l2 median.
"""


def train(g, m, lr):
    tau = 0.1
    away = g - m
    away = clip_by_global_norm(away, tau)
    m = m + away
    update = m * lr
    return update, m
