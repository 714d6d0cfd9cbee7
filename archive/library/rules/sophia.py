"""
title: Sophia
summary: momentum divided by the diagonal of the Hessian, each entry of a step clipped
mathematics: |
  m <- beta1 m + (1 - beta1) g
  u = (m / (1 - beta1^t)) / max(gamma h, eps)
  w <- w - lr (min(max(u, -clip), clip) + weight_decay w)
  At steps 1, 1 + interval, 1 + 2 interval ..., after that: h <- beta2 h + (1 - beta2) hessian_diagonal
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.9 to 0.965 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the Hessian's diagonal; 0.99 in practice"}
  gamma: {range: "(0, inf)", doc: "scale of the diagonal: a smaller one clips more entries; 0.01 to 0.05 in practice"}
  clip: {range: "(0, inf)", doc: "largest entry of a step, at learning rate 1"}
  interval: {range: "[1, inf)", doc: "steps from one look at the Hessian to the next, a whole number; 10 in practice"}
  eps: {range: "(0, inf)", doc: "least divisor: where the curvature is below it, or negative, a step is clipped"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0.0001 to 0.2 in practice"}
source: "Liu et al. 2024, Sophia: A Scalable Stochastic Second-order Optimizer for Language Model Pre-training"
advice: >-
  Needs an estimate of the diagonal of the Hessian, such as z times (Hessian times z) with random signs z, or the
  squared gradient of labels drawn from the model times the size of the batch. It is read every `interval` steps; zeros
  may be given at the others. As in optax, the first step does not see its own estimate yet, so all its entries are
  clipped.
"""


def train(w, g, m, h, lr, t, hessian_diagonal):
    beta1 = 0.965
    beta2 = 0.99
    gamma = 0.01
    clip = 1.0
    interval = 10.0
    eps = 1e-08
    weight_decay = 0.0001
    m = interpolate(g, m, beta1)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    m_hat = divide(m, c1)
    below = h * gamma
    below = max(below, eps)
    u = divide(m_hat, below)
    low = negative(clip)
    u = max(u, low)
    u = min(u, clip)
    decay = w * weight_decay
    update = u + decay
    update = update * lr
    done = t - 1.0
    since = remainder(done, interval)
    new = interpolate(hessian_diagonal, h, beta2)
    h = where(since, h, new)
    return update, m, h
