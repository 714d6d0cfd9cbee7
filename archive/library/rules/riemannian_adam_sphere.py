"""
title: Riemannian Adam on the sphere
summary: Adam for tensors of length 1, with one second moment a tensor
mathematics: |
  r = g - <w, g> w
  m <- beta1 m + (1 - beta1) r
  v <- beta2 v + (1 - beta2) |r|^2
  y = w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
  w <- y / |y|, then m <- m - <w, m> w
  Products and norms of each tensor.
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the squared norm; 0.95 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero"}
source: "Becigneul and Ganea 2019, Riemannian Adaptive Optimization Methods"
advice: >-
  For tensors that must keep length 1, each of which is one point of a sphere: they must begin there, for a tensor of
  another length is moved to it. As in geoopt, steps end by scaling back to length 1 and momentum is carried along by
  projection.
"""


def train(w, g, m, v: LEAF, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    wg = w * g
    out = tensor_sum(wg)
    out = w * out
    r = g - out
    m = interpolate(r, m, beta1)
    length = norm(r)
    length2 = square(length)
    v = interpolate(length2, v, beta2)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    m_hat = divide(m, c1)
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    v_hat = divide(v, c2)
    root = sqrt(v_hat)
    root = root + eps
    step = divide(m_hat, root)
    step = step * lr
    y = w - step
    radius = norm(y)
    y = divide(y, radius)
    update = w - y
    ym = y * m
    out = tensor_sum(ym)
    out = y * out
    m = m - out
    return update, m, v
