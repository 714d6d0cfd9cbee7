"""
title: Lion-K (nuclear)
summary: Lion with the nearest orthogonal matrix to its momentum in place of signs
mathematics: |
  c = beta1 m + (1 - beta1) g
  x = p q' of the singular value decomposition c = p diag(s) q'
  w <- w - lr (x + weight_decay w)
  m <- beta2 m + (1 - beta2) g
  Tensors that are no matrix: x = c / |c|, the norm that of the tensor
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1]", doc: "weight of the momentum in the step; 0.9 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the momentum; 0.95 to 0.99 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "Chen, Liu, Liang and Liu 2024, Lion Secretly Solves Constrained Optimization: As Lyapunov Predicts"
advice: >-
  `muon` is nearly this, with Newton-Schulz steps for the decomposition, which is exact here and slow for large
  matrices. Directions that the momentum does not have, not even at rounding, stay where they are.
"""


def train(w, g, m, lr):
    beta1 = 0.9
    beta2 = 0.99
    weight_decay = 0.0
    c = interpolate(g, m, beta1)
    x = polar(c)
    length = norm(c)
    length = where(length, length, 1.0)
    y = divide(c, length)
    update = if_matrix(x, y)
    decay = w * weight_decay
    update = update + decay
    update = update * lr
    m = interpolate(g, m, beta2)
    return update, m
