"""
title: AMSGrad (corrected)
summary: Adam whose second moment, without the bias of its start, never falls
mathematics: |
  m <- beta1 m + (1 - beta1) g
  v <- beta2 v + (1 - beta2) g^2
  u <- max(u, v / (1 - beta2^t))
  w <- w - lr (m / (1 - beta1^t)) / (sqrt(u) + eps)
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero; 1e-10 to 1e-6 in practice"}
source: "Reddi, Kale and Kumar 2018, On the Convergence of Adam and Beyond"
advice: >-
  As in optax. `amsgrad` takes the largest value before the bias correction.
"""


def train(g, m, v, u, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    m = interpolate(g, m, beta1)
    g2 = square(g)
    v = interpolate(g2, v, beta2)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    m_hat = divide(m, c1)
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    v_hat = divide(v, c2)
    u = max(u, v_hat)
    root = sqrt(u)
    root = root + eps
    update = divide(m_hat, root)
    update = update * lr
    return update, m, v, u
