"""
title: Exponentiated gradient
summary: multiplicative steps, which keep the sign of every parameter
mathematics: |
  w <- w exp(-lr sign(w) g)
learning_rate: 0.1
source: "Cornford et al. 2024, Brain-like Learning with Exponentiated Gradients; Kivinen and Warmuth 1997"
advice: >-
  A parameter that is zero stays zero.
"""


def train(w, g, lr):
    side = sign(w)
    step = side * g
    step = step * lr
    step = negative(step)
    growth = expm1(step)
    update = w * growth
    update = negative(update)
    return update
