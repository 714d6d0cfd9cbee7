"""
title: AdaHessian
summary: Adam with the diagonal of the Hessian in place of the gradient in the second moment
mathematics: |
  m <- beta1 m + (1 - beta1) g
  v <- beta2 v + (1 - beta2) hessian_diagonal^2
  w <- w - lr (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)
learning_rate: 0.1
hyperparameters:
  beta1: {range: "[0, 1)", doc: "decay rate of the first moment; 0.9 in practice"}
  beta2: {range: "[0, 1)", doc: "decay rate of the squared curvature; 0.99 to 0.999 in practice"}
  eps: {range: "[0, inf)", doc: "added to the root of the second moment, against division by zero"}
source: "Yao et al. 2021, ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning"
advice: >-
  Needs an estimate of the diagonal of the Hessian at every step, such as z times (Hessian times z) with random signs z:
  a second pass back through the model. The power of the curvature is 1. The paper averages the estimate over the
  entries of each convolution; here it is taken as it is given, so average before.
"""


def train(g, m, v, lr, t, hessian_diagonal):
    beta1 = 0.9
    beta2 = 0.999
    eps = 1e-16
    m = interpolate(g, m, beta1)
    h2 = square(hessian_diagonal)
    v = interpolate(h2, v, beta2)
    b1 = power(beta1, t)
    c1 = 1.0 - b1
    m_hat = divide(m, c1)
    b2 = power(beta2, t)
    c2 = 1.0 - b2
    v_hat = divide(v, c2)
    root = sqrt(v_hat)
    root = root + eps
    update = divide(m_hat, root)
    update = update * lr
    return update, m, v
