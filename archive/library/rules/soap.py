"""
title: SOAP
summary: Adam in the eigenbasis of Shampoo's statistics on the shorter side of each matrix
mathematics: |
  The first step moves nothing: s <- (1 - beta2) g g', Q <- eigenvectors of s by falling eigenvalue. After it:
  m <- beta1 m + (1 - beta1) g
  v <- beta2 v + (1 - beta2) (Q' g)^2
  u = lr sqrt(1 - beta2^(t-1)) / (1 - beta1^(t-1)) Q ((Q' m) / (sqrt(v) + eps))
  w <- w - u - lr weight_decay (w - u)
  s <- beta2 s + (1 - beta2) g g'
  Every `frequency` steps: Q <- orthogonal factor of s Q, after the columns of Q (and the rows of v) were put in
  the order in which the diagonal of Q' s Q falls.
  Matrices of more rows than columns: the same of the transposed. Tensors that are no matrix: Q = 1.
learning_rate: 0.003
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.9 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment and of s; 0.95 to 0.99 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment; 1e-10 to 1e-6 in practice"}
  frequency: {range: "[1, inf)", doc: "steps from one basis to the next, a whole number; 1 to 100 in practice"}
  weight_decay: {range: "[0, inf)", doc: "weight decay after the step, times the learning rate; 0 to 0.1 in practice"}
source: "Vyas et al. 2025, SOAP: Improving and Stabilizing Shampoo using Adam"
advice: >-
  One-sided: only the shorter side of a matrix has a basis, as in the variant of the paper that saves memory for a
  little performance; on the longer side the first statistics are singular, so that rounding would choose the basis. A
  decomposition and a new basis are computed at every step, though only every tenth is taken: a larger frequency saves
  no time here. A
  square matrix has the basis of its inputs.
"""


def train(w, g, m, v, left: LEFT, right: RIGHT, ql: LEFT, qr: RIGHT, lr, t):
    beta1 = 0.95
    beta2 = 0.95
    eps = 1e-08
    frequency = 10.0
    weight_decay = 0.01
    done = t - 1.0
    ql_t = transpose(ql)
    qr_t = transpose(qr)
    by_rows = matmul(ql_t, g)
    by_columns = matmul(g, qr)
    turned = if_wide(by_rows, by_columns)
    turned = if_matrix(turned, g)
    m_next = interpolate(g, m, beta1)
    m = initial(t, 0.0, m_next)
    turned = square(turned)
    v_next = interpolate(turned, v, beta2)
    v = initial(t, 0.0, v_next)
    by_rows = matmul(ql_t, m)
    by_columns = matmul(m, qr)
    turned = if_wide(by_rows, by_columns)
    turned = if_matrix(turned, m)
    root = sqrt(v)
    root = root + eps
    x = divide(turned, root)
    by_rows = matmul(ql, x)
    by_columns = matmul(x, qr_t)
    turned = if_wide(by_rows, by_columns)
    u = if_matrix(turned, x)
    steps = max(done, 1.0)
    b1 = power(beta1, steps)
    b1 = 1.0 - b1
    b2 = power(beta2, steps)
    b2 = 1.0 - b2
    rate = sqrt(b2)
    rate = divide(rate, b1)
    rate = rate * lr
    u = u * rate
    decay = w - u
    decay = decay * weight_decay
    decay = decay * lr
    u = u + decay
    update = initial(t, 0.0, u)
    since = remainder(done, frequency)
    s = gram_left(g)
    left = interpolate(s, left, beta2)
    s = gram_right(g)
    right = interpolate(s, right, beta2)
    s = matmul(left, ql)
    sizes = matmul(ql_t, s)
    order = falling(sizes)
    s = matmul(s, order)
    turned = orthogonal(s)
    ql_next = where(since, ql, turned)
    order = transpose(order)
    by_rows = matmul(order, v)
    first = eigenvectors(left)
    ql = initial(t, first, ql_next)
    s = matmul(right, qr)
    sizes = matmul(qr_t, s)
    order = falling(sizes)
    s = matmul(s, order)
    turned = orthogonal(s)
    qr_next = where(since, qr, turned)
    by_columns = matmul(v, order)
    first = eigenvectors(right)
    qr = initial(t, first, qr_next)
    moved = if_wide(by_rows, by_columns)
    moved = where(since, v, moved)
    v = if_matrix(moved, v)
    return update, m, v, left, right, ql, qr
