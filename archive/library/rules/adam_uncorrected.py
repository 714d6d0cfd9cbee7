"""
title: Adam (uncorrected)
summary: Adam that keeps the bias of its start
mathematics: |
  m <- 0.9 m + 0.1 g
  v <- 0.999 v + 0.001 g^2
  w <- w - lr m / (sqrt(v) + 1e-8)
learning_rate: 0.001
source: "Kingma and Ba 2015, Adam: A Method for Stochastic Optimization"
advice: >-
  The first steps are longer than Adam's: m begins at a tenth of the gradient, sqrt(v) at a thirtieth.
  In the words of the published search space.
"""

def train(w, g, m, v, lr):
    g2 = square(g)
    m = interpolate(g, m, 0.9)
    v = interpolate(g2, v, 0.999)
    sqrt_v = sqrt(v)
    update = m / sqrt_v
    update = update * lr
    return update, m, v
