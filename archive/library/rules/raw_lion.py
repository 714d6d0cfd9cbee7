"""
title: Raw Lion
summary: what the published search found, as it was found; it simplifies to Lion
mathematics: |
  g' = arcsin(clip(g, lr))
  m = 0.9 v + 0.1 g'
  v <- 1.109 m - 0.109 g'
  w <- w - 0.000217 lr (m / (|m| + 1e-8) + 0.46 w)
learning_rate: 1.0
source: "Chen et al. 2023, Symbolic Discovery of Optimization Algorithms"
advice: >-
  For tests and comparison; use `lion`.
"""

def train(w, g, m, v, lr):
    g = clip(g, lr)
    m = clip(m, lr)
    v845 = sqrt(0.6270633339881897)
    v968 = sign(v)
    v968 = v - v
    g = arcsin(g)
    m = interp(g, v, 0.8999999761581421)
    v1 = m * m
    v = interp(g, m, 1.109133005142212)
    v845 = tanh(v845)
    lr = lr * 0.0002171761734643951
    update = m * lr
    v1 = sqrt(v1)
    update = update / v1
    wd = lr * 0.4601978361606598
    v1 = square(v1)
    wd = wd * w
    m = cosh(update)
    lr = tan(1.4572199583053589)
    update = update + wd
    lr = cos(v845)
    return update, m, v
