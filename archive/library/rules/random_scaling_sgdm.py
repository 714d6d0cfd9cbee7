"""
title: SGDM with random scaling
summary: momentum whose step is multiplied by an exponential random number
mathematics: |
  c = w - mean(w)
  s = (sum(noise)^2 / n + <c, noise>^2 / |c|^2) / 2
  m <- momentum m + (1 - momentum) g
  w <- w - lr s m
  Means, sums, products and norms over the n weights of the model.
learning_rate: 0.01
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the mean of gradients; 0.9 to 0.99 in practice"}
source: "Zhang and Cutkosky 2024, Random Scaling and Momentum for Non-smooth Non-convex Optimization"
advice: >-
  For losses with kinks, such as those of networks with ReLU, where the paper has guarantees for it. s is the sum of
  two squared normal numbers, halved, which is exactly an exponential one of mean 1: the noise along (1, ..., 1) and
  along the weights less their mean, which are orthogonal. Where all weights are equal only the first is left, and a
  constant 1/2.
"""


def train(w, g, m, lr, noise):
    momentum = 0.9
    entries = count(w)
    n = global_sum(entries)
    along = global_sum(noise)
    along = square(along)
    along = divide(along, n)
    middle = global_sum(w)
    middle = divide(middle, n)
    c = w - middle
    length = global_norm(c)
    length2 = square(length)
    across = dot(c, noise)
    across = square(across)
    across = divide(across, length2)
    across = where(length2, across, 1.0)
    s = along + across
    s = s * 0.5
    m = interpolate(g, m, momentum)
    rate = s * lr
    update = m * rate
    return update, m
