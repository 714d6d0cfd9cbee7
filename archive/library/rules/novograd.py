"""
title: NovoGrad
summary: momentum of gradients that are normalized tensor by tensor
mathematics: |
  v <- beta2 v + (1 - beta2) |g|^2, at first |g|^2 (norms of each tensor)
  m <- beta1 m + g / (sqrt(v) + eps) + weight_decay w
  w <- w - lr m
learning_rate: 0.01
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the sum of normalized gradients; 0.9 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the squared norm; 0.25 to 0.98 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the squared norm, against division by zero"}
  weight_decay: {range: "[0, inf)", doc: "weight decay, added to the normalized gradient; 0 to 1e-3 in practice"}
source: >-
  Ginsburg et al. 2019, Stochastic Gradient Methods with Layer-wise Adaptive Moments for Training of Deep Networks
advice: >-
  For large batches and speech models, with one number a tensor in place of Adam's second moment. As in optax.
"""


def train(w, g, m, v: LEAF, lr, t):
    beta1 = 0.9
    beta2 = 0.25
    eps = 1e-06
    weight_decay = 0.0
    length = norm(g)
    length2 = square(length)
    later = interpolate(length2, v, beta2)
    v = initial(t, length2, later)
    root = sqrt(v)
    root = root + eps
    d = divide(g, root)
    decay = w * weight_decay
    d = d + decay
    m = m * beta1
    m = m + d
    update = m * lr
    return update, m, v
