"""
title: Signed root momentum
summary: signs and square roots of the momentum of clipped gradients, with one buffer
mathematics: |
  c = g min(1, bound / |g|), the norm over the whole model
  m <- beta m + (1 - beta) c
  w <- w - sqrt(lr) sign(m) sqrt(|m|) - lr weight_decay w
learning_rate: 0.02
hyperparameters:
  bound: {range: "[0, inf)", doc: "bound of the global norm of gradients"}
  beta: {range: "[0, 1]", doc: "decay rate of the momentum"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0.1 to 1 served best, 0 on regression"}
source: "Pride, found by search and promoted in 2026"
advice: >-
  The learning rate stands under a root: 0.001 to 0.1 served best, with a cosine schedule, and a decay of 0.1 to 1. On the
  transformers Muon did better.
provenance: >-
  Searched from adamw_uncorrected with seed 0, 60,800 candidates and 36 million training steps on digits_mlp,
  digits_autoencoder and char_lm; candidate 12685, promoted 2026-11-26 on two cores of an AMD EPYC (docs/promotion.md).
scores: >-
  Rate and decay tuned per task, 20 fresh seeds: log(test loss of the better of AdamW and Lion / its own) with bootstrap
  intervals and that baseline: mnist_mlp +0.081 [+0.059, +0.099] (adamw); mnist_mlp@batch=16 +0.075 [+0.053, +0.099] (adamw); mnist_mlp@batch=256,steps=100 +0.220 [+0.208, +0.232] (adamw); mnist_cnn +0.193 [+0.164, +0.220] (adamw); mnist_deep_mlp +0.014 [-0.016, +0.047] (adamw); char_transformer +0.022 [+0.017, +0.028] (lion); terrain_conv +0.168 [+0.122, +0.233] (adamw); digits_vit +0.085 [+0.010, +0.151] (lion); breast_cancer_logistic +0.464 [+0.427, +0.497] (lion). Significantly better on 7 and worse on 0 of 9, median +0.125; with the constants of
  all three tuned 7 and 0, +0.124. Against the best of AdamW, NAdamW, Nesterov, heavy ball, Lion and Muon on each task it
  is better on 3 and worse on 3, median -0.007.
ablation: >-
  Loss of score on the tasks of the search where a statement goes: the clipping 0.091 ± 0.007, the root of the learning
  rate 0.129 ± 0.031, the average 0.245 ± 0.053, the root of the momentum 1.2, its sign 1.6. Rounding both constants cost 0.006.
"""


def train(w, g, m, lr):
    bound = 0.25
    beta = 0.8
    weight_decay = 0.0
    c = clip_by_global_norm(g, bound)
    m = interpolate(c, m, beta)
    root = sqrt(m)
    update = m / root
    rate = sqrt(lr)
    update = rate * update
    decay = w * weight_decay
    decay = decay * lr
    update = update + decay
    return update, m
