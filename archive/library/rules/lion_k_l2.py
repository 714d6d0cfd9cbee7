"""
title: Lion-K (l2)
summary: Lion with the direction of the interpolated momentum in place of its signs
mathematics: |
  c = beta1 m + (1 - beta1) g
  w <- w - lr (c / |c| + weight_decay w) (norm over the whole model)
  m <- beta2 m + (1 - beta2) g
learning_rate: 0.01
hyperparameters:
  beta1: {range: "[0, 1]", doc: "weight of the momentum in the step; 0.9 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the momentum; 0.98 to 0.99 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "Chen, Liu, Liang and Liu 2024, Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts"
advice: >-
  With K the l1 norm this is `lion`.
"""


def train(w, g, m, lr):
    beta1 = 0.9
    beta2 = 0.99
    weight_decay = 0.0
    c = interpolate(g, m, beta1)
    length = global_norm(c)
    length = where(length, length, 1.0)
    update = divide(c, length)
    m = interpolate(g, m, beta2)
    decay = w * weight_decay
    update = update + decay
    update = update * lr
    return update, m
