"""
title: Cautious AdamW
summary: AdamW that moves only where its step agrees with the gradient
mathematics: |
  m <- beta1 m + (1 - beta1) g
  v <- beta2 v + (1 - beta2) g^2
  u = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
  mask = 1 where u g > 0, else 0
  w <- w - lr (u mask / max(mean(mask), 0.001) + weight_decay w) (mean over each tensor)
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero; 1e-10 to 1e-6 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "Liang et al. 2024, Cautious Optimizers: Improving Training with One Line of Code; the scale is that of the authors' code"
"""


def train(w, g, m, v, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    weight_decay = 0.0
    m = interpolate(g, m, beta1)
    g2 = square(g)
    v = interpolate(g2, v, beta2)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    m_hat = divide(m, c1)
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    v_hat = divide(v, c2)
    root = sqrt(v_hat)
    root = root + eps
    update = divide(m_hat, root)
    agrees = update * g
    mask = where(agrees, 1.0, 0.0)
    share = mean(mask)
    share = max(share, 0.001)
    mask = divide(mask, share)
    update = update * mask
    decay = w * weight_decay
    update = update + decay
    update = update * lr
    return update, m, v
