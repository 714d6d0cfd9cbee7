"""
title: PSGD (Kron)
summary: momentum whitened on both sides of a matrix by factors that take steps of their own
mathematics: |
  m <- momentum m + (1 - momentum) g
  h = m / (1 - momentum^t)
  a = L (h + damping noise) R',  b = L'^-1 noise R^-1; L and R are upper triangular and begin as identities
  E = upper triangle of a a' - b b',  L <- L - precond_lr E L / max|E|
  E = upper triangle of a' a - b' b,  R <- R - precond_lr E R / max|E|  (a and b those above)
  w <- w - lr L' L h R' R
  Tensors that are no matrix, q begins at 1: E = (q (h + damping noise))^2 - (noise / q)^2
  q <- q - precond_lr E q / max|E|
  w <- w - lr q^2 h
learning_rate: 0.001
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the gradient; 0.9 to 0.95 in practice"}
  precond_lr: {range: "(0, 1)", doc: "learning rate of the preconditioner; 0.01 to 0.1 in practice"}
  damping: {range: "[0, inf)", doc: "of the noise that is added to what the preconditioner fits, against zeros"}
source: >-
  Li 2019, Preconditioner on Matrix Lie Group for SGD; Pooladzandi and Li 2024, Curvature-Informed SGD via General
  Purpose Lie-Group Preconditioners
advice: >-
  No eigenvectors, only products and triangular matrices, but at every step; the authors' code can fit at some steps
  only. The classical form: steps of the factors are divided by the largest entry of E, where newer code estimates a
  Lipschitz constant, and the two factors are not balanced. A side of n entries takes n^2 numbers: not for embeddings.
"""


def train(g, m, left: LEFT, right: RIGHT, q, lr, t, noise):
    momentum = 0.9
    precond_lr = 0.1
    damping = 1e-09
    m = interpolate(g, m, momentum)
    b1 = power(momentum, t)
    b1 = 1.0 - b1
    h = divide(m, b1)
    fitted = noise * damping
    fitted = h + fitted
    unit_l = identity_left(g)
    unit_r = identity_right(g)
    left = initial(t, unit_l, left)
    right = initial(t, unit_r, right)
    right_t = transpose(right)
    a = matmul(left, fitted)
    a = matmul(a, right_t)
    inverse_l = solve_upper(left, unit_l)
    inverse_l = transpose(inverse_l)
    inverse_r = solve_upper(right, unit_r)
    b = matmul(inverse_l, noise)
    b = matmul(b, inverse_r)
    e = gram_left(a)
    f = gram_left(b)
    e = e - f
    e = upper(e)
    largest = max_abs(e)
    e = divide(e, largest)
    e = e * precond_lr
    e = matmul(e, left)
    left = left - e
    e = gram_right(a)
    f = gram_right(b)
    e = e - f
    e = upper(e)
    largest = max_abs(e)
    e = divide(e, largest)
    e = e * precond_lr
    e = matmul(e, right)
    right = right - e
    left_t = transpose(left)
    right_t = transpose(right)
    x = matmul(left, h)
    x = matmul(left_t, x)
    x = matmul(x, right_t)
    x = matmul(x, right)
    q = initial(t, 1.0, q)
    a = q * fitted
    a = square(a)
    b = divide(noise, q)
    b = square(b)
    e = a - b
    largest = max_abs(e)
    e = divide(e, largest)
    e = e * precond_lr
    e = e * q
    q = q - e
    q2 = square(q)
    y = q2 * h
    update = if_matrix(x, y)
    update = update * lr
    return update, m, left, right, q
