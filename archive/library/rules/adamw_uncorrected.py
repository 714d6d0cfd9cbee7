"""
title: AdamW (uncorrected)
summary: AdamW that keeps the bias of its start
mathematics: |
  m <- 0.9 m + 0.1 g
  v <- 0.999 v + 0.001 g^2
  w <- w - lr (m / (sqrt(v) + 1e-8) + 0.01 w)
learning_rate: 0.001
source: "Chen et al. 2023, Symbolic Discovery of Optimization Algorithms"
advice: >-
  Where the published search starts, without its own scale `lr * 0.001`.
"""

def train(w, g, m, v, lr):
    g2 = square(g)
    m = interpolate(g, m, 0.9)
    v = interpolate(g2, v, 0.999)
    sqrt_v = sqrt(v)
    update = m / sqrt_v
    wd = w * 0.01
    update = update + wd
    update = update * lr
    return update, m, v
