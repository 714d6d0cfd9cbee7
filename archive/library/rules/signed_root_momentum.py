"""
title: Signed root momentum
summary: signs and square roots of the momentum of clipped gradients, with one buffer
mathematics: |
  c = g min(1, bound / |g|), the norm over the whole model
  m <- beta m + (1 - beta) c
  w <- w - lr (sign(m) sqrt(|m|) + weight_decay w)
learning_rate: 0.1
hyperparameters:
  bound: {range: "[0, inf)", doc: "bound of the global norm of gradients"}
  beta: {range: "[0, 1]", doc: "decay rate of the momentum"}
  weight_decay: {range: "[0, inf)", doc: "decoupled weight decay, times the learning rate; 0.013 to 0.11 served best"}
source: "Pride, found by search and promoted in 2026"
advice: >-
  A learning rate of 0.04 to 0.5 served best, 0.1 in the median, with a cosine schedule; a decay of 0.11 on images of MNIST,
  that of the rule elsewhere. With batches of 16 and on transformers Muon did better.
provenance: >-
  Searched from adamw_uncorrected with seed 0, 60,800 candidates and 36 million training steps on digits_mlp,
  digits_autoencoder and char_lm; candidate 9946, promoted 2026-11-26 on two cores of an AMD EPYC (docs/promotion.md).
  Candidate 12685, the same with the learning rate under a root, a bound of 0.25 and no decay of its own, passes against
  AdamW and Lion too.
scores: >-
  Rate and decay tuned per task, 20 fresh seeds: log(test loss of the better of AdamW and Lion / its own) with bootstrap
  intervals and that baseline: mnist_mlp +0.154 [+0.133, +0.171] (adamw); mnist_mlp@batch=16 +0.016 [-0.010, +0.042]
  (adamw); mnist_mlp@batch=256,steps=100 +0.227 [+0.215, +0.240] (adamw); mnist_cnn +0.335 [+0.298, +0.370] (adamw);
  mnist_deep_mlp +0.145 [+0.119, +0.169] (adamw); char_transformer -0.003 [-0.009, +0.003] (lion); terrain_conv +0.175
  [+0.130, +0.240] (adamw); digits_vit +0.034 [-0.048, +0.106] (lion); breast_cancer_logistic +0.360 [+0.323, +0.394]
  (lion). Significantly better on 6 and worse on 0 of 9, median +0.145. Against the best of AdamW, NAdamW, Nesterov, heavy
  ball, Lion and Muon on each task it is better on 5 and worse on 3, median +0.002; with the constants of all tuned 5 and 2,
  +0.027; from 20 seeds more, which no promotion had, 5 and 2, +0.000 and 5 and 3, +0.032. First of ten rules in the ranking.
  An earlier promotion had used the same held-out tasks (docs/promotion.md).
ablation: >-
  Loss of score on the tasks of the search where a statement goes: the decay 0.017 ± 0.021, the clipping and the average
  0.27 ± 0.02. Rounding its constants cost 0.001 ± 0.006.
"""


def train(w, g, m, lr):
    bound = 0.9
    beta = 0.8
    weight_decay = 0.013
    c = clip_by_global_norm(g, bound)
    m = interpolate(c, m, beta)
    root = sqrt(m)
    direction = m / root
    decay = w * weight_decay
    direction = direction + decay
    update = lr * direction
    return update, m
