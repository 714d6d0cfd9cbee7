"""
title: LARS
summary: momentum with steps in proportion to the norm of each tensor
mathematics: |
  d = g + weight_decay w
  r = trust |w| / |d|, 1 where a norm is 0 (norms of each tensor)
  m <- momentum m + lr r d
  w <- w - m
learning_rate: 0.1
hyperparameters:
  momentum: {range: "[0, 1)", doc: "decay rate of the sum of gradients; 0.9 to 0.99 in practice"}
  trust: {range: "(0, inf)", doc: "length of a step relative to that of the tensor, at learning rate 1"}
  weight_decay: {range: "[0, inf)", doc: "weight decay, added to the gradient"}
source: "You, Gitman and Ginsburg 2017, Large Batch Training of Convolutional Networks"
advice: >-
  For large batches. As in optax: the learning rate enters the momentum, and all tensors are scaled.
"""


def train(w, g, m, lr):
    momentum = 0.9
    trust = 0.001
    weight_decay = 0.0
    decay = w * weight_decay
    d = g + decay
    size = norm(w)
    length = norm(d)
    lengths = size * length
    ratio = size * trust
    ratio = divide(ratio, length)
    ratio = where(lengths, ratio, 1.0)
    step = d * ratio
    step = step * lr
    m = m * momentum
    m = m + step
    update = m
    return update, m
