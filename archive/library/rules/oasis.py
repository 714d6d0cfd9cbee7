"""
title: OASIS
summary: the gradient divided by the size of a moving average of the Hessian's diagonal
mathematics: |
  d <- beta d + (1 - beta) hessian_diagonal, hessian_diagonal itself at t = 1
  w <- w - lr g / max(|d|, alpha)
learning_rate: 0.1
hyperparameters:
  beta: {range: "[0, 1)", doc: "decay rate of the diagonal; 0.95 to 0.999 in practice"}
  alpha: {range: "(0, inf)", doc: "least curvature that is divided by: steps are at most lr / alpha times the gradient"}
source: >-
  Jahani et al. 2022, Doubly Adaptive Scaled Algorithm for Machine Learning Using Second-Order Information
advice: >-
  Needs an estimate of the diagonal of the Hessian at every step, such as z times (Hessian times z) with random signs z.
  The paper also adapts the learning rate; this is its variant with a given one, 1 being a Newton step. The paper begins
  with an average of several estimates: a good first one matters, for it is forgotten slowly.
"""


def train(g, d, lr, t, hessian_diagonal):
    beta = 0.999
    alpha = 0.001
    d = initial(t, hessian_diagonal, d)
    d = interpolate(hessian_diagonal, d, beta)
    size = abs(d)
    size = max(size, alpha)
    update = divide(g, size)
    update = update * lr
    return update, d
