"""
title: ASGO
summary: momentum whitened on the shorter side of each matrix, Adam for other tensors
mathematics: |
  m <- momentum m + (1 - momentum) g
  s <- beta s + (1 - beta) g g'
  u = (s + damping I)^(-1/2) m
  w <- w - lr (0.2 sqrt(rows columns) u / |u| + weight_decay w)
  Matrices of more rows than columns: g' g and u = m (s + damping I)^(-1/2).
  Tensors that are no matrix: Adam with beta1, beta2 and eps.
learning_rate: 0.01
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the gradient; 0.9 to 0.95 in practice"}
  beta: {range: "[0, 1)", doc: "decay rate of the products of gradients"}
  damping: {range: "[0, inf)", doc: "added to the eigenvalues, against division by zero"}
  weight_decay: {range: "[0, inf)", doc: "decoupled decay of matrices, times the learning rate; 0 to 0.1 in practice"}
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment in Adam"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment in Adam"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment in Adam"}
source: "An et al. 2025, ASGO: Adaptive Structured Gradient Optimization"
advice: >-
  One side of Shampoo's two, with the whole root on it. The root mean square of a step is 0.2 lr, about that of Adam,
  so that Adam's learning rates fit. The root is exact, by eigenvectors, at every step; the authors' code approximates
  it by polynomials. A square matrix has its inputs whitened.
"""


def train(w, g, m, left: LEFT, right: RIGHT, a, v, lr, t):
    momentum = 0.9
    beta = 0.8
    damping = 1e-10
    weight_decay = 0.1
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    m = interpolate(g, m, momentum)
    gram = gram_left(g)
    left = interpolate(gram, left, beta)
    s = identity_left(g)
    s = s * damping
    s = left + s
    s = inverse_root(s, 2.0)
    by_rows = matmul(s, m)
    gram = gram_right(g)
    right = interpolate(gram, right, beta)
    s = identity_right(g)
    s = s * damping
    s = right + s
    s = inverse_root(s, 2.0)
    by_columns = matmul(m, s)
    u = if_wide(by_rows, by_columns)
    length = norm(u)
    length = where(length, length, 1.0)
    u = divide(u, length)
    height = rows(g)
    width = columns(g)
    entries = height * width
    scale = sqrt(entries)
    scale = scale * 0.2
    x = u * scale
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
    return update, m, left, right, a, v
