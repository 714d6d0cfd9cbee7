"""
title: Optimistic gradient descent
summary: steps along the gradient that the last two extrapolate to
mathematics: |
  w <- w - lr (2 g - h), h the gradient before (at first g)
  h <- g
learning_rate: 0.1
source: "Popov 1980; Daskalakis et al. 2018, Training GANs with Optimism"
advice: >-
  For games and saddle points.
"""


def train(g, h, lr, t):
    begin = 1.5 - t
    h = where(begin, g, h)
    update = g * 2.0
    update = update - h
    update = update * lr
    h = g
    return update, h
