"""
title: Cautious Lion
summary: Lion that moves only where its step agrees with the gradient
mathematics: |
  c = beta1 m + (1 - beta1) g
  mask = 1 where sign(c) g > 0, else 0
  w <- w - lr (sign(c) mask / max(mean(mask), 0.001) + weight_decay w) (mean over each tensor)
  m <- beta2 m + (1 - beta2) g
learning_rate: 0.0001
hyperparameters:
  beta1: {range: "[0, 1]", doc: "weight of the momentum in the step; 0.9 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the momentum; 0.98 to 0.99 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "Liang et al. 2024, Cautious Optimizers: Improving Training with One Line of Code; the scale is that of the authors' code"
"""


def train(w, g, m, lr):
    beta1 = 0.9
    beta2 = 0.99
    weight_decay = 0.0
    update = interpolate(g, m, beta1)
    update = sign(update)
    m = interpolate(g, m, beta2)
    agrees = update * g
    mask = where(agrees, 1.0, 0.0)
    share = mean(mask)
    share = max(share, 0.001)
    mask = divide(mask, share)
    update = update * mask
    decay = w * weight_decay
    update = update + decay
    update = update * lr
    return update, m
