"""
title: Muon
summary: momentum whose matrices are made orthogonal by Newton-Schulz steps, Adam for other tensors
mathematics: |
  m <- momentum m + g
  u = g + momentum m
  x = u / max(|u|, 1e-7), then five times, with s = x x': x <- 3.4445 x + (-4.775 s + 2.0315 s^2) x
  w <- w - lr (sqrt(max(1, fan_out / fan_in)) x + weight_decay w)
  Tensors that are no matrix: Adam with beta1, beta2 and eps.
learning_rate: 0.02
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the sum of gradients; 0.9 to 0.99 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay of matrices, times the learning rate; 0 to 0.1 in practice"}
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment in Adam"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment in Adam"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment in Adam"}
source: "Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks"
advice: >-
  For the matrices of hidden layers; embeddings and the last layer do better with AdamW, in a group of their own.
"""


def train(w, g, m, a, v, lr, t):
    momentum = 0.95
    weight_decay = 0.0
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    m = m * momentum
    m = m + g
    u = m * momentum
    u = g + u
    length = norm(u)
    length = max(length, 1e-07)
    x = divide(u, length)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    outs = fan_out(g)
    ins = fan_in(g)
    ratio = divide(outs, ins)
    ratio = max(ratio, 1.0)
    ratio = sqrt(ratio)
    x = x * ratio
    decay = w * weight_decay
    x = x + decay
    a = interpolate(g, a, beta1)
    g2 = square(g)
    v = interpolate(g2, v, beta2)
    b1 = power(beta1, t)
    b1 = 1.0 - b1
    a_hat = divide(a, b1)
    b2 = power(beta2, t)
    b2 = 1.0 - b2
    v_hat = divide(v, b2)
    root = sqrt(v_hat)
    root = root + eps
    y = divide(a_hat, root)
    update = if_matrix(x, y)
    update = update * lr
    return update, m, a, v
