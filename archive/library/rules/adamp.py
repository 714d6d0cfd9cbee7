"""
title: AdamP
summary: Adam without the part of its steps along weights whose length does not matter
mathematics: |
  m <- beta1 m + (1 - beta1) g
  v <- beta2 v + (1 - beta2) g^2
  p = m sqrt(1 - beta2^t) / (sqrt(v) + eps)
  Where outputs have several inputs, p loses its part along w if g is nearly at right angles to w:
  p <- p - <u, p> u, u = w / |w| of each output, if the largest |cos(g, w)| of an output < delta / sqrt(fan_in),
  else the same with u of the whole tensor, if its |cos(g, w)| < delta / sqrt(number of entries).
  w <- w - lr p / (1 - beta1^t)
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the second moment; 0.95 to 0.999 in practice"}
  delta: {range: "[0, inf)", doc: "largest cosine between gradient and weights that counts as a right angle; 0.1 in practice"}
  eps: {range: "(0, inf)", doc: "added to the root of the second moment, and to lengths that are divided by"}
source: "Heo et al. 2021, AdamP: Slowing Down the Slowdown for Momentum Optimizers on Scale-invariant Weights"
advice: >-
  For weights before a normalization, whose length momentum would let grow. As in pytorch_optimizer, where eps is added
  before the bias correction; the authors' package adds it after. The paper's smaller weight decay of such weights is
  left out, and outputs with a single input are left alone.
"""


def train(w, g, m, v, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    delta = 0.1
    eps = 1e-08
    m = interpolate(g, m, beta1)
    g2 = square(g)
    v = interpolate(g2, v, beta2)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    correction = sqrt(c2)
    p = m * correction
    root = sqrt(v)
    root = root + eps
    p = divide(p, root)
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
    update = divide(p, c1)
    update = update * lr
    return update, m, v
