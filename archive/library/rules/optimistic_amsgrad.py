"""
title: Optimistic AMSGrad
summary: AMSGrad that steps ahead along a guess of the next gradient
mathematics: |
  v <- beta2 v + (1 - beta2) (g - guess)^2, n <- max(n, v)
  guess <- 2 g - the last g, g itself at t = 1
  a = lr (beta1 m + (1 - beta1) guess) / (sqrt(n) + eps)
  m <- beta1 m + (1 - beta1) g
  w <- w - lr m / (sqrt(n) + eps) - a + ahead, then ahead <- a
learning_rate: 0.001
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.8 to 0.95 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the squared errors of the guess; 0.95 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero; 1e-10 to 1e-6 in practice"}
source: "Wang, Li, Karimi and Li 2019, An Optimistic Acceleration of AMSGrad for Nonconvex Optimization"
advice: >-
  For games and for gradients that change slowly. The guess goes on along the last two gradients, where the paper
  extrapolates from several; no bias correction, so first steps are long: at the defaults 6 lr at the
  first step and more for some tens of steps, so take a small lr.
"""


def train(g, m, v, n, guess, last, ahead, lr, t):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-08
    error = g - guess
    error = square(error)
    v = interpolate(error, v, beta2)
    n = max(n, v)
    root = sqrt(n)
    root = root + eps
    last = initial(t, g, last)
    twice = g * 2.0
    guess = twice - last
    last = g
    a = interpolate(guess, m, beta1)
    a = divide(a, root)
    a = a * lr
    m = interpolate(g, m, beta1)
    step = divide(m, root)
    step = step * lr
    update = step + a
    update = update - ahead
    ahead = a
    return update, m, v, n, guess, last, ahead
