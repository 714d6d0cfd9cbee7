"""
title: NAdamW
summary: NAdam with decoupled weight decay
mathematics: |
  m <- beta1 m + (1 - beta1) g
  v <- beta2 v + (1 - beta2) g^2
  m' = beta1 m / (1 - beta1^(t + 1)) + (1 - beta1) g / (1 - beta1^t)
  w <- w - lr (m' / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay w)
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero; 1e-10 to 1e-6 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "Dozat 2016, Incorporating Nesterov Momentum into Adam; Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization"
advice: >-
  The decay is that of optax, 0.0001.
"""


def train(w, g, m, v, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    weight_decay = 0.0001
    m = interpolate(g, m, beta1)
    g2 = square(g)
    v = interpolate(g2, v, beta2)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    next_b1 = b1 * beta1
    next_c1 = 1.0 - next_b1
    ahead = m * beta1
    ahead = divide(ahead, next_c1)
    rest = 1.0 - beta1
    now = g * rest
    now = divide(now, c1)
    m_hat = ahead + now
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    v_hat = divide(v, c2)
    root = sqrt(v_hat)
    root = root + eps
    update = divide(m_hat, root)
    decay = w * weight_decay
    update = update + decay
    update = update * lr
    return update, m, v
