"""
title: ALI-G
summary: Nesterov momentum with the Polyak step of a loss whose least value is 0
mathematics: |
  gamma = min(value / (|g|^2 + eps), lr) (norm over the whole model)
  v <- momentum v - gamma g
  w <- w - gamma g + momentum v
learning_rate: 0.1
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the sum of steps; 0.9 in practice"}
  eps: {range: "[0, inf)", doc: "added to the squared norm, against division by zero; 1e-5 in practice"}
source: "Berrada, Zisserman and Kumar 2020, Training Neural Networks for and by Interpolation"
advice: >-
  For models that fit their data, whose loss goes to 0. The learning rate is the largest step, and needs no schedule;
  tune it from 0.1 to 10 in factors of 10. It reads the loss of the batch that the gradient is of. As in the authors'
  code; the paper's projection on a ball, in place of weight decay, is left out.
"""


def train(g, v, lr, value):
    momentum = 0.9
    eps = 1e-05
    length = global_norm(g)
    length2 = square(length)
    length2 = length2 + eps
    gamma = divide(value, length2)
    gamma = min(gamma, lr)
    move = g * gamma
    v = v * momentum
    v = v - move
    ahead = v * momentum
    update = move - ahead
    return update, v
