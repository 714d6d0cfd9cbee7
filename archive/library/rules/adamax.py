"""
title: AdaMax
summary: Adam with the largest recent gradient in place of the root mean square
mathematics: |
  m <- beta1 m + (1 - beta1) g
  u <- max(beta2 u, |g| + eps)
  w <- w - lr m / ((1 - beta1^t) u)
learning_rate: 0.002
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the largest gradient; 0.99 to 0.999 in practice"}
  eps: {range: "(0, inf)", doc: "added to the size of the gradient, against division by zero"}
source: "Kingma and Ba 2015, Adam: A Method for Stochastic Optimization"
"""


def train(g, m, u, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    m = interpolate(g, m, beta1)
    old = u * beta2
    size = abs(g)
    size = size + eps
    u = max(old, size)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    m_hat = divide(m, c1)
    update = divide(m_hat, u)
    update = update * lr
    return update, m, u
