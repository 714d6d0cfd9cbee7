"""
title: Induced metric
summary: momentum with shorter steps where the loss is steep, from the metric of its surface
mathematics: |
  q <- beta q + (1 - beta) xi |g|^2 (norm over the whole model)
  m <- momentum m + (1 - momentum) g
  w <- w - lr (m / (1 - momentum^t) / (1 + q / (1 - beta^t)) + weight_decay w)
learning_rate: 0.1
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the mean of gradients; 0.9 in practice"}
  xi: {range: "[0, inf)", doc: "weight of the loss in the metric: how much steepness shortens a step"}
  beta: {range: "[0, 1)", doc: "decay rate of the squared norm; 0.8 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "Harvey 2025, induced-metric optimisers (github.com/harveyThomas4692/Induced-Metric-Optimiser)"
advice: >-
  A smooth form of gradient clipping: large gradients are shortened, small ones left alone. The plain variant of the
  authors' code; those with the logarithm of the loss and with RMSprop are not in this library.
"""


def train(w, g, m, q: SCALAR, lr, t):
    momentum = 0.9
    xi = 0.1
    beta = 0.8
    weight_decay = 0.0
    length = global_norm(g)
    steep = square(length)
    steep = steep * xi
    q = interpolate(steep, q, beta)
    m = interpolate(g, m, momentum)
    b = power(beta, t)
    b = 1.0 - b
    q_hat = divide(q, b)
    factor = q_hat + 1.0
    b1 = power(momentum, t)
    b1 = 1.0 - b1
    m_hat = divide(m, b1)
    update = divide(m_hat, factor)
    decay = w * weight_decay
    update = update + decay
    update = update * lr
    return update, m, q
