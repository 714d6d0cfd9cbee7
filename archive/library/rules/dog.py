"""
title: DoG
summary: gradient descent whose steps are the distance travelled over the length of all gradients
mathematics: |
  r <- max(r, |w - w0|), at first initial (1 + |w0|)
  s <- s + |g|^2
  w <- w - lr r / sqrt(s + eps) g
  Norms over the whole model, w0 the first weights.
learning_rate: 1.0
hyperparameters:
  initial: {range: "(0, inf)", doc: "first distance, relative to 1 + |w0|; 1e-6 to 1e-4 in practice"}
  eps: {range: "[0, inf)", doc: "added to the sum of squared gradients, against division by zero"}
source: "Ivgi, Hinder and Carmon 2023, DoG is SGD's Best Friend: A Parameter-Free Dynamic Step Size Schedule"
advice: >-
  For a run without a learning rate to tune: leave it at 1. The first steps are tiny, and the distance grows from
  there; where it stays tiny, raise `initial`. The paper evaluates an average of the weights, which this rule does not
  keep. As in optax, with its "heuristic" first step.
"""


def train(w, g, w0, r: SCALAR, s: SCALAR, lr, t):
    initial = 1e-06
    eps = 1e-08
    w0 = initial(t, w, w0)
    first = global_norm(w)
    first = first + 1.0
    first = first * initial
    r = initial(t, first, r)
    way = w - w0
    distance = global_norm(way)
    r = max(r, distance)
    length = global_norm(g)
    length2 = square(length)
    s = s + length2
    below = s + eps
    below = sqrt(below)
    rate = divide(r, below)
    rate = rate * lr
    update = g * rate
    return update, w0, r, s
