"""
title: LAMB
summary: AdamW with steps in proportion to the norm of each tensor
mathematics: |
  m <- beta1 m + (1 - beta1) g
  v <- beta2 v + (1 - beta2) g^2
  r = (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps) + weight_decay w
  w <- w - lr r |w| / |r|, 1 where a norm is 0 (norms of each tensor)
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero; 1e-10 to 1e-6 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0 to 0.1 in practice"}
source: "You et al. 2020, Large Batch Optimization for Deep Learning: Training BERT in 76 minutes"
advice: >-
  For large batches. As in the paper and optax; other versions clip the norm of the tensor.
"""


def train(w, g, m, v, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-06
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
    r = divide(m_hat, root)
    decay = w * weight_decay
    r = r + decay
    size = norm(w)
    length = norm(r)
    lengths = size * length
    ratio = divide(size, length)
    ratio = where(lengths, ratio, 1.0)
    update = r * ratio
    update = update * lr
    return update, m, v
