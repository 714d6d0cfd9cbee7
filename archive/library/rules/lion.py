"""
title: Lion
summary: the sign of an interpolation between gradient and momentum, with decoupled weight decay
mathematics: |
  c = beta1 m + (1 - beta1) g
  w <- w - lr (sign(c) + weight_decay w)
  m <- beta2 m + (1 - beta2) g
learning_rate: 0.0001
hyperparameters:
  beta1: {range: "[0, 1]", doc: "weight of the momentum in the step; 0.9 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the momentum; 0.98 to 0.99 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "Chen et al. 2023, Symbolic Discovery of Optimization Algorithms"
advice: >-
  Learning rates a third to a tenth of AdamW's, and a weight decay as many times larger. Gains most with large batches.
"""


def train(w, g, m, lr):
    beta1 = 0.9
    beta2 = 0.99
    weight_decay = 0.1
    update = interpolate(g, m, beta1)
    update = sign(update)
    m = interpolate(g, m, beta2)
    decay = w * weight_decay
    update = update + decay
    update = update * lr
    return update, m
