"""
title: AdEMAMix
summary: Adam with a second, much longer memory of gradients
mathematics: |
  m <- beta1 m + (1 - beta1) g
  n <- beta3 n + (1 - beta3) g
  v <- beta2 v + (1 - beta2) g^2
  w <- w - lr (m / (1 - beta1^t) + alpha n) / (sqrt(v / (1 - beta2^t)) + eps)
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.999 in practice"}
  beta3: {range: "[0, 1)", doc: "decay rate of the long memory; 0.999 to 0.9999 in practice"}
  alpha: {range: "[0, inf)", doc: "weight of the long memory; 4 to 10 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero; 1e-10 to 1e-6 in practice"}
source: "Pagliardini, Ablin and Grangier 2024, The AdEMAMix Optimizer: Better, Faster, Older"
advice: >-
  For long runs. The paper warms alpha and beta3 up; here they are constant.
"""


def train(g, m, n, v, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    beta3 = 0.9999
    alpha = 5.0
    eps = 1e-08
    m = interpolate(g, m, beta1)
    g2 = square(g)
    v = interpolate(g2, v, beta2)
    n = interpolate(g, n, beta3)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    m_hat = divide(m, c1)
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    v_hat = divide(v, c2)
    root = sqrt(v_hat)
    root = root + eps
    old = n * alpha
    mixed = m_hat + old
    update = divide(mixed, root)
    update = update * lr
    return update, m, n, v
