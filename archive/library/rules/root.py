"""
title: ROOT
summary: Muon whose momentum is clipped at a quantile first, Adam for other tensors
mathematics: |
  m <- momentum m + g
  u = g + momentum m
  b = quantile(|u|, share) + 1e-9, over the entries of the matrix
  u = min(max(u, -b), b)
  x = u / (|u| + 1e-7), then five times, with s = x x': x <- 3.4445 x + (-4.775 s + 2.0315 s^2) x
  w <- w - lr (0.2 sqrt(max(rows, columns)) x + weight_decay w)
  Tensors that are no matrix: Adam with beta1, beta2 and eps.
learning_rate: 0.001
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the sum of gradients; 0.9 to 0.99 in practice"}
  share: {range: "[0, 1]", doc: "share of the entries that are not clipped; 0.9 in practice, 1 clips none"}
  weight_decay: {range: "[0, inf)", doc: "decoupled decay of matrices, times the learning rate; 0 to 0.1 in practice"}
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment in Adam"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment in Adam"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment in Adam"}
source: "He et al. 2025, ROOT: Robust Orthogonalized Optimizer for Neural Network Training"
advice: >-
  For matrices whose gradients have outliers. The root mean square of a step is about 0.2 lr, that of Adam, so that
  Adam's learning rates fit. The paper tunes the coefficients to the shape of a matrix; here they are Muon's, which its
  code has for any shape outside of its table.
"""


def train(w, g, m, a, v, lr, t):
    momentum = 0.95
    share = 0.9
    weight_decay = 0.1
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    m = m * momentum
    m = m + g
    u = m * momentum
    u = g + u
    sizes = abs(u)
    bound = quantile(sizes, share)
    bound = bound + 1e-09
    lowest = negative(bound)
    u = max(u, lowest)
    u = min(u, bound)
    length = norm(u)
    length = length + 1e-07
    x = divide(u, length)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    x = newton_schulz(x, 3.4445, -4.775, 2.0315)
    height = rows(g)
    width = columns(g)
    side = max(height, width)
    scale = sqrt(side)
    scale = scale * 0.2
    x = x * scale
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
