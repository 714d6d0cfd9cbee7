"""
title: SGDP
summary: momentum without its part along weights whose length does not matter
mathematics: |
  m <- momentum m + g, p = m
  Where outputs have several inputs, p loses its part along w if g is nearly at right angles to w:
  p <- p - <u, p> u, u = w / |w| of each output, if the largest |cos(g, w)| of an output < delta / sqrt(fan_in),
  else the same with u of the whole tensor, if its |cos(g, w)| < delta / sqrt(number of entries).
  w <- w - lr p
learning_rate: 0.1
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the sum of gradients; 0.9 to 0.99 in practice"}
  delta: {range: "[0, inf)", doc: "largest cosine between gradient and weights that counts as a right angle; 0.1 in practice"}
  eps: {range: "(0, inf)", doc: "least length that is divided by, and added to that of the weights"}
source: "Heo et al. 2021, AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights"
advice: >-
  For weights before a normalization, whose length momentum would let grow. As in pytorch_optimizer; the authors' own
  package also changes the momentum it keeps. The paper's smaller weight decay of such weights is left out, as is its
  variant with Nesterov momentum; outputs with a single input are left alone.
"""


def train(w, g, m, lr):
    momentum = 0.9
    delta = 0.1
    eps = 1e-08
    m = m * momentum
    m = m + g
    p = m
    gw = g * w
    g2 = square(g)
    w2 = square(w)
    product = channel_sum(gw)
    g_length = channel_sum(g2)
    g_length = sqrt(g_length)
    g_length = max(g_length, eps)
    w_length = channel_sum(w2)
    w_length = sqrt(w_length)
    below = max(w_length, eps)
    below = g_length * below
    cosine = divide(product, below)
    cosine = max_abs(cosine)
    ins = fan_in(g)
    most = sqrt(ins)
    most = divide(delta, most)
    by_output = most - cosine
    unit = w_length + eps
    unit = divide(w, unit)
    along = unit * p
    along = channel_sum(along)
    along = unit * along
    x = p - along
    product = tensor_sum(gw)
    product = abs(product)
    g_length = norm(g)
    g_length = max(g_length, eps)
    w_length = norm(w)
    below = max(w_length, eps)
    below = g_length * below
    cosine = divide(product, below)
    outs = fan_out(g)
    most = ins * outs
    most = sqrt(most)
    most = divide(delta, most)
    by_tensor = most - cosine
    unit = w_length + eps
    unit = divide(w, unit)
    along = unit * p
    along = tensor_sum(along)
    along = unit * along
    y = p - along
    y = where(by_tensor, y, p)
    y = where(by_output, x, y)
    several = ins - 1.0
    p = where(several, y, p)
    update = p * lr
    return update, m
