"""
title: Shampoo
summary: gradients whitened from both sides of a matrix by all that came before, AdaGrad for other tensors
mathematics: |
  L <- L + g g'
  R <- R + g' g
  w <- w - lr (eps I + L)^(-1/4) g (eps I + R)^(-1/4)
  Tensors that are no matrix: v <- v + g^2, w <- w - lr g / sqrt(eps + v)
learning_rate: 0.1
hyperparameters:
  eps: {range: "[0, inf)", doc: "what the sums begin with, against division by zero; 1e-12 to 1e-4 in practice"}
source: "Gupta, Koren and Singer 2018, Shampoo: Preconditioned Stochastic Tensor Optimization"
advice: >-
  The bare rule: no momentum, no length borrowed from another rule, and both roots anew at every step, which is slow
  where a side is long, and a side of n entries takes n^2 numbers: not for embeddings. Sums never fade, so steps shrink as those of AdaGrad. The paper keeps the full matrix g g' of a
  vector and a matrix for every axis of larger tensors; here both get AdaGrad, the diagonal of a vector's matrix.
"""


def train(g, left: LEFT, right: RIGHT, v, lr):
    eps = 1e-06
    rows_of_g = gram_left(g)
    left = left + rows_of_g
    damping = identity_left(g)
    damping = damping * eps
    a = left + damping
    a = inverse_root(a, 4.0)
    columns_of_g = gram_right(g)
    right = right + columns_of_g
    damping = identity_right(g)
    damping = damping * eps
    b = right + damping
    b = inverse_root(b, 4.0)
    x = matmul(a, g)
    x = matmul(x, b)
    g2 = square(g)
    v = v + g2
    root = v + eps
    root = sqrt(root)
    y = divide(g, root)
    update = if_matrix(x, y)
    update = update * lr
    return update, left, right, v
