"""
title: Turbo-Muon
summary: Muon with rows scaled before, so that four Newton-Schulz steps do; Adam for other tensors
mathematics: |
  m <- momentum m + g
  u = g + momentum m
  For matrices of rows <= columns, the others transposed: n_i = max(sum over j of |u u'|_ij, 1e-7)
  x_i = u_i / sqrt(n_i) for each row i
  Four times, with s = x x' and a, b, c of that time: x <- a x + (b s + c s^2) x
  w <- w - lr (sqrt(max(1, fan_out / fan_in)) x + weight_decay w)
  Tensors that are no matrix: Adam with beta1, beta2 and eps.
learning_rate: 0.02
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the sum of gradients; 0.9 to 0.99 in practice"}
  weight_decay: {range: "[0, inf)", doc: "decoupled decay of matrices, times the learning rate; 0 to 0.1 in practice"}
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment in Adam"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment in Adam"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment in Adam"}
source: "Boissin et al. 2025, Turbo-Muon: Accelerating Orthogonality-Based Optimization with Pre-Conditioning"
advice: >-
  Four Newton-Schulz steps for Muon's five; the scaling costs a product here, so a step takes about as long. The
  coefficients are those of the authors' code, the last four of Dion's. Of a square matrix
  the inputs are scaled.
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
    s = gram_left(u)
    s = abs(s)
    by_row = matmul(s, 1.0)
    s = gram_right(u)
    s = abs(s)
    by_column = matmul(1.0, s)
    sums = if_wide(by_row, by_column)
    sums = max(sums, 1e-07)
    lengths = sqrt(sums)
    x = divide(u, lengths)
    x = newton_schulz(x, 3.9505, -6.3029, 2.6377)
    x = newton_schulz(x, 3.7418, -5.5913, 2.3037)
    x = newton_schulz(x, 2.8769, -3.1427, 1.2046)
    x = newton_schulz(x, 2.8366, -3.0525, 1.2012)
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
