"""
title: Gravity
summary: momentum of gradients that are damped the more the larger they are in their tensor
mathematics: |
  v = alpha noise / lr before the first step
  b = (beta t + 1) / (t + 2)
  v <- b v + (1 - b) g / (1 + (g max|g|)^2), max over each tensor
  w <- w - lr v
learning_rate: 0.1
hyperparameters:
  alpha: {range: "[0, inf)", doc: "size of the first velocity, which is random: the first step is of about this length"}
  beta: {range: "[0, 1)", doc: "decay rate of the velocity after many steps; 0.9 in practice"}
source: "Bahrami and Zadeh 2021, Gravity Optimizer: a Kinematic Approach on Optimization in Deep Learning"
advice: >-
  The first learning rate must not be 0, for the velocity is divided by it; only the first noise is used. The damping
  depends on the scale of the loss: gradients far below 1 are hardly damped.
"""


def train(g, v, lr, t, noise):
    alpha = 0.01
    beta = 0.9
    start = divide(alpha, lr)
    start = noise * start
    v = initial(t, start, v)
    above = beta * t
    above = above + 1.0
    below = t + 2.0
    b = divide(above, below)
    largest = max_abs(g)
    relative = g * largest
    relative = square(relative)
    relative = relative + 1.0
    damped = divide(g, relative)
    v = interpolate(damped, v, b)
    update = v * lr
    return update, v
