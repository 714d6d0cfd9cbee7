"""
title: MomSPS
summary: heavy ball whose step is the Polyak step, damped by the momentum
mathematics: |
  gamma = (1 - beta) min((value - f_min) / (c |g|^2), lr), 0 where g is 0 (norm over the whole model)
  p <- beta p - gamma g
  w <- w + p
learning_rate: 10.0
hyperparameters:
  beta: {range: "[0, 1)", doc: "decay rate of the sum of steps; 0.9 in practice"}
  c: {range: "(0, inf)", doc: "divides the Polyak step; 0.4 in the paper's experiments, 1 in its code"}
  f_min: {range: "(-inf, inf)", doc: "lower bound of the loss; 0 where every example can be fitted"}
source: >-
  Oikonomou and Loizou 2025, Stochastic Polyak Step-sizes and Momentum: Convergence Guarantees and Practical Performance
advice: >-
  For models that fit their data: there the step needs no tuning. The learning rate is the largest step, so a schedule
  only bounds it. It reads the loss of the batch that the gradient is of. MomSPS_max of the authors' code, where p is
  written as the difference of the last two weights.
"""


def train(g, p, lr, value):
    beta = 0.9
    c = 1.0
    f_min = 0.0
    gap = value - f_min
    length = global_norm(g)
    length2 = square(length)
    length2 = length2 * c
    gamma = divide(gap, length2)
    gamma = min(gamma, lr)
    gamma = where(length2, gamma, 0.0)
    damping = 1.0 - beta
    gamma = gamma * damping
    move = g * gamma
    p = p * beta
    p = p - move
    update = negative(p)
    return update, p
