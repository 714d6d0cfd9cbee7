"""
title: Adafactor
summary: RMSprop whose squares are kept as one number a row and one a column of each matrix
mathematics: |
  b = 1 - t^(-exponent), s = g^2 + eps
  r <- b r + (1 - b) mean of s in each row
  c <- b c + (1 - b) mean of s in each column
  u = g / sqrt(r c / mean(r))
  u <- u / max(1, rms(u) / clip), rms over each tensor
  w <- w - lr max(least, rms(w)) u
  A vector is a matrix of one column: there r c / mean(r) is r, the memory of s itself.
learning_rate: 0.01
hyperparameters:
  exponent: {range: "(0, inf)", doc: "how fast the memory of squares grows, faster the larger; 0.8 in practice"}
  eps: {range: "[0, inf)", doc: "added to the squared gradient"}
  clip: {range: "(0, inf)", doc: "largest root mean square of a step before it is scaled; 1 in practice"}
  least: {range: "[0, inf)", doc: "least scale of a tensor; one that begins at zero could not move"}
source: "Shazeer and Stern 2018, Adafactor: Adaptive Learning Rates with Sublinear Memory Cost"
advice: >-
  Where memory is short. The learning rate is relative to the size of each tensor; the paper's is
  min(0.01, 1 / sqrt(t)), to be given as a schedule. No momentum, as in the paper; optax's `adafactor` has it as an option.
  All matrices are factored, small ones too. Kernels of convolutions, tensors of more than two axes, are split into the
  first axis and all others, which saves little; optax splits the two longest.
"""


def train(w, g, r: ROW, c: COLUMN, lr, t):
    exponent = 0.8
    eps = 1e-30
    clip = 1.0
    least = 0.001
    falling = negative(exponent)
    rest = power(t, falling)
    b = 1.0 - rest
    s = square(g)
    s = s + eps
    across = row_sum(s)
    width = columns(g)
    across = divide(across, width)
    r = interpolate(across, r, b)
    down = column_sum(s)
    height = rows(g)
    down = divide(down, height)
    c = interpolate(down, c, b)
    scale = mean(r)
    share = divide(r, scale)
    share = sqrt(share)
    u = divide(g, share)
    root = sqrt(c)
    u = divide(u, root)
    u2 = square(u)
    length = mean(u2)
    length = sqrt(length)
    length = divide(length, clip)
    length = max(length, 1.0)
    u = divide(u, length)
    w2 = square(w)
    size = mean(w2)
    size = sqrt(size)
    size = max(size, least)
    update = u * size
    update = update * lr
    return update, r, c
