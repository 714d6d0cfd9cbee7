"""Authorities for the rules of the library: whoever knows what a rule does, trained on one small problem.

25 steps in float64 on a matrix and a vector, where the gradient is 0.5 w + shift, so that errors feed back. The matrix
is in JAX's layout, (inputs, outputs); PyTorch trains on its transpose.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytorch_optimizer
import torch
import torch.optim._muon as muon_module

from primitives.layout import Layout

with warnings.catch_warnings(action="ignore"):  # it scripts its functions, which PyTorch gives up
    import geoopt

SHAPES = ((6, 4), (4, 6), (4,))
STEPS = 25
OFFSET = 1.0
"""What keeps the loss positive: its minimum is `OFFSET` less the squared length of the shifts."""
Weights = list[np.ndarray]


# --- the problem ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Problem:
    """What every authority and every execution trains on.

    Args:
        weights: the initial weights, of either sign.
        shifts: for each step, what stands beside 0.5 w in the gradient.
        hessians: for each step, what is given as the diagonal of the Hessian; some entries are negative.
        noises: for each step, standard normal numbers.
    """

    weights: Weights
    shifts: list[Weights]
    hessians: list[Weights]
    noises: list[Weights]


def problem(name: str = "") -> Problem:
    """The problem for a rule: the same for all, but rules on the sphere begin there."""
    rng, more = np.random.default_rng(0), np.random.default_rng(1)
    weights = [rng.normal(size=shape) for shape in SHAPES]
    if name in SPHERICAL:
        weights = [w / np.linalg.norm(w) for w in weights]
    return Problem(
        weights,
        [[0.1 * rng.normal(size=shape) for shape in SHAPES] for _ in range(STEPS)],
        [[0.5 + 0.3 * more.normal(size=shape) for shape in SHAPES] for _ in range(STEPS)],
        [[more.normal(size=shape) for shape in SHAPES] for _ in range(STEPS)],
    )


SPHERICAL = {"riemannian_adam_sphere"}
"""Rules that need tensors of length 1."""


def gradient(weights: Sequence[Any], shifts: Sequence[Any]) -> list[Any]:
    """The gradient of `loss`, tensor by tensor."""
    return [0.5 * w + s for w, s in zip(weights, shifts, strict=True)]


def loss(weights: Sequence[Any], shifts: Sequence[Any]) -> Any:
    """The loss whose gradient is 0.5 w + shift."""
    return sum((0.25 * w**2 + s * w).sum() for w, s in zip(weights, shifts, strict=True)) + OFFSET


# --- training with them -----------------------------------------------------------------------------------------------


def by_optax(rule: optax.GradientTransformation, on: Problem | None = None) -> Weights:
    """Trains with a gradient transformation in float64; it is given loss, Hessian diagonal and noise as well."""
    on = on or problem()
    rule = optax.with_extra_args_support(rule)
    with jax.enable_x64(True):

        @jax.jit
        def step(weights, state, shifts, hessian, noise):
            updates, state = rule.update(
                gradient(weights, shifts),
                state,
                weights,
                value=loss(weights, shifts),
                hessian_diagonal=hessian,
                noise=noise,
            )
            return optax.apply_updates(weights, updates), state

        weights, *given = jax.tree.map(jnp.asarray, [on.weights, on.shifts, on.hessians, on.noises])
        state = rule.init(weights)
        for shifts, hessian, noise in zip(*given, strict=True):
            weights, state = step(weights, state, shifts, hessian, noise)
        return [np.asarray(w) for w in weights]


TorchStep = Callable[[Any, torch.Tensor, list[torch.Tensor], list[torch.Tensor]], Any]
"""Calls an optimizer's `step`, given the loss, the Hessian diagonal and the noise."""


def by_torch(make: Callable[[Any], Any], step: TorchStep | None = None, on: Problem | None = None) -> Weights:
    """Trains with an optimizer of PyTorch in float64, on the transposes of matrices, which is PyTorch's layout."""
    on = on or problem()

    def given(arrays):
        return [torch.tensor(x.T).contiguous() for x in arrays]

    params = [torch.nn.Parameter(w) for w in given(on.weights)]
    optimizer = make(params)
    for shifts, hessian, noise in zip(on.shifts, on.hessians, on.noises, strict=True):
        old = [p.detach() for p in params]
        value = loss(old, given(shifts))
        for p, g in zip(params, gradient(old, given(shifts)), strict=True):
            p.grad = g
        if step is None:
            optimizer.step()
        else:
            step(optimizer, value, given(hessian), given(noise))
    return [np.ascontiguousarray(p.detach().numpy().T) for p in params]


def by_hand(step: Callable[..., tuple[np.ndarray, Sequence[Any]]], states: int) -> Weights:
    """Trains with a NumPy function `step(w, g, state, t) -> (what to subtract, next state)`, tensor by tensor."""
    on = problem()
    weights = on.weights
    states_of: list[Sequence[Any]] = [[np.zeros_like(w)] * states for w in weights]
    for t, shifts in enumerate(on.shifts, 1):
        for i, (w, g) in enumerate(zip(weights, gradient(weights, shifts), strict=True)):
            update, states_of[i] = step(w, g, states_of[i], t)
            weights[i] = w - update
    return weights


def by_hand_joined(step: Callable[..., tuple[Weights, Sequence[Any]]], state: Sequence[Any] = (0.0,)) -> Weights:
    """Trains with a NumPy function of all tensors joined into one vector."""
    on = problem()
    w = np.concatenate([x.ravel() for x in on.weights])
    for shifts in on.shifts:
        update, state = step(w, 0.5 * w + np.concatenate([x.ravel() for x in shifts]), state)
        w = w - update
    return Layout(SHAPES).split(w)


HandStep = Callable[[Weights, Weights, Any, int, float, Weights, Weights], tuple[Weights, Any]]
"""`step(weights, gradients, state, t, loss, hessian diagonal, noise) -> (what to subtract, next state)`."""


def by_hand_whole(step: HandStep, state: Any = None) -> Weights:
    """Trains with a NumPy function that sees all tensors and everything that is given."""
    on = problem()
    weights = on.weights
    for t, (shifts, hessian, noise) in enumerate(zip(on.shifts, on.hessians, on.noises, strict=True), 1):
        value = float(loss(weights, shifts))
        updates, state = step(weights, gradient(weights, shifts), state, t, value, hessian, noise)
        weights = [w - u for w, u in zip(weights, updates, strict=True)]
    return weights


# --- oracles ----------------------------------------------------------------------------------------------------------


def median_by_length(lr: float) -> Callable[..., Any]:
    """Algorithm of Schaipp et al. 2024, by the norm."""

    def step(w, g, state):
        d = g - state[0]
        m = state[0] + d * min(1.0, 0.1 / np.linalg.norm(d))
        return lr * m, [m]

    return step


def signed_root(lr: float, decay: float = 0.013) -> Callable[..., Any]:
    """Sign and root of the length of each entry of the momentum of clipped gradients; 1e-8 guards the division."""

    def step(w, g, state):
        clipped = g * min(1.0, 0.9 / np.linalg.norm(g))
        m = 0.8 * state[0] + 0.2 * clipped
        root = np.sqrt(np.abs(m))
        return lr * (np.sign(m) * np.abs(m) / (root + 1e-8) + decay * w), [m]

    return step


def cube_root(lr: float, decay: float = 0.0) -> Callable[..., Any]:
    """Cube roots of the entries of the gradient, bounded in their norm."""

    def step(w, g, state):
        roots = np.sign(g) * np.abs(g) ** (1 / 3)
        return np.sqrt(lr) * roots * min(1.0, 3.0 / np.linalg.norm(roots)) + lr * decay * w, []

    return step


def lion_k(lr: float) -> Callable[..., Any]:
    """Lion-K of Chen et al. 2024 with the l2 norm, whose gradient is c / |c|."""

    def step(w, g, state):
        c = 0.9 * state[0] + 0.1 * g
        return lr * c / np.linalg.norm(c), [0.99 * state[0] + 0.01 * g]

    return step


def cautious(lr: float, moments: int) -> Callable[..., Any]:
    """Cautious Lion (one moment) or AdamW (two), as Liang et al. 2024 mask them."""

    def step(w, g, state, t):
        if moments == 1:
            u, following = np.sign(0.9 * state[0] + 0.1 * g), [0.99 * state[0] + 0.01 * g]
        else:
            m, v = 0.9 * state[0] + 0.1 * g, 0.999 * state[1] + 0.001 * g**2
            u, following = m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), [m, v]
        mask = (u * g > 0).astype(float)
        return lr * u * mask / max(mask.mean(), 1e-3), following

    return step


def fadam(lr: float) -> Callable[..., Any]:
    """Algorithm 1 of Hwang 2024, tensor by tensor."""

    def clip(x):
        return x / max(1.0, np.sqrt(np.mean(x**2)))

    def step(w, g, state, t):
        m, f = state if t > 1 else (np.zeros_like(w), np.ones_like(w))
        b = 0.999 * (1 - 0.999 ** (t - 1)) / (1 - 0.999**t)
        f = b * f + (1 - b) * g**2
        root = np.sqrt(f) + min(1e-8, 0.01 * np.sqrt(np.mean(g**2)))
        m = 0.9 * m + 0.1 * clip(g / root)
        return lr * (m + 0.1 * clip(w / root)), (m, f)

    return step


def moments_without_correction(lr: float, decay: float) -> optax.GradientTransformation:
    """Adam without bias correction, put together from optax's moving averages."""
    first, second = optax.ema(0.9, debias=False), optax.ema(0.999, debias=False)

    def init(params):
        return first.init(params), second.init(params)

    def update(updates, state, params):
        m, first_state = first.update(updates, state[0])
        v, second_state = second.update(jax.tree.map(jnp.square, updates), state[1])
        step = jax.tree.map(lambda m, v, w: -lr * (m / (jnp.sqrt(v) + 1e-8) + decay * w), m, v, params)
        return step, (first_state, second_state)

    return optax.GradientTransformation(init, update)  # type: ignore[arg-type]


def found_lion(lr: float) -> optax.GradientTransformation:
    """What the raw program means: a clipped gradient, one moving average, a sign, weight decay."""
    clip, decay, beta = optax.clip_by_global_norm(lr), 0.4601978361606598, 0.8999999761581421

    def update(updates, state, params):
        clipped, _ = clip.update(updates, optax.EmptyState())
        g = jax.tree.map(jnp.arcsin, clipped)
        mixed = jax.tree.map(lambda g, v: (1 - beta) * g + beta * v, g, state)
        rate = lr * 0.0002171761734643951
        step = jax.tree.map(lambda m, w: -rate * (m / (jnp.abs(m) + 1e-8) + decay * w), mixed, params)
        outer = 1.109133005142212
        return step, jax.tree.map(lambda g, m: (1 - outer) * g + outer * m, g, mixed)

    return optax.GradientTransformation(lambda params: jax.tree.map(jnp.zeros_like, params), update)  # type: ignore[arg-type]


def median(lr: float) -> Callable[..., Any]:
    """Algorithm of Schaipp et al. 2024, component-wise."""

    def step(w, g, state, t):
        m = state[0] + np.clip(g - state[0], -0.1, 0.1)
        return lr * m, [m]

    return step


def exponentiated(lr: float) -> Callable[..., Any]:
    """Multiplicative steps, as the paper writes them."""
    return lambda w, g, state, t: (w - w * np.exp(-lr * np.sign(w) * g), [])


# --- rules of the whole model -----------------------------------------------------------------------------------------


def flat(tensors: Sequence[np.ndarray]) -> np.ndarray:
    """All tensors as one vector."""
    return np.concatenate([x.ravel() for x in tensors])


def zeros() -> Weights:
    """A state of zeros."""
    return [np.zeros(shape) for shape in SHAPES]


def ldog(lr: float, initial: float = 1e-6) -> optax.GradientTransformation:
    """Layer-wise distance over gradients of Ivgi et al. 2023, its initial weights in float64."""
    return optax.chain(optax.scale_by_distance_over_gradients(initial, param_dtype=jnp.float64), optax.scale(-lr))


def induced_metric(lr: float, decay: float = 0.0) -> HandStep:
    """Plain variant of Harvey's induced metric: momentum 0.9, xi 0.1, beta 0.8, as the authors' modules have them."""

    def step(weights, grads, state, t, value, hessian, noise):
        momentum, q = state
        q = 0.8 * q + (1 - 0.8) * 0.1 * np.sum(flat(grads) ** 2)
        scale = 1 / (1 + abs(q / (1 - 0.8**t)))
        momentum = [0.9 * m + (1 - 0.9) * g for m, g in zip(momentum, grads, strict=True)]
        updates = [lr * scale * m / (1 - 0.9**t) + lr * decay * w for m, w in zip(momentum, weights, strict=True)]
        return updates, (momentum, q)

    return step


def ali_g(lr: float) -> HandStep:
    """ALI-G of Berrada et al. 2020 with momentum 0.9; eps 1e-5 as in the authors' code."""

    def step(weights, grads, velocity, t, value, hessian, noise):
        gamma = min(value / (np.sum(flat(grads) ** 2) + 1e-5), lr)
        velocity = [0.9 * v - gamma * g for v, g in zip(velocity, grads, strict=True)]
        return [gamma * g - 0.9 * v for v, g in zip(velocity, grads, strict=True)], velocity

    return step


def mom_sps(lr: float) -> HandStep:
    """MomSPS_max of Oikonomou and Loizou 2025: beta 0.9, c 1, lower bound 0, the learning rate as largest step."""

    def step(weights, grads, last, t, value, hessian, noise):
        last = last or weights
        gamma = (1 - 0.9) * min(value / (1.0 * np.sum(flat(grads) ** 2)), lr)
        updates = [gamma * g - 0.9 * (w - o) for w, g, o in zip(weights, grads, last, strict=True)]
        return updates, weights

    return step


def alr_smag(lr: float) -> HandStep:
    """ALR-SMAG of Wang, Johansson and Zhang 2023: beta 0.9, c 1, lower bound 0, the learning rate as largest step."""

    def step(weights, grads, directions, t, value, hessian, noise):
        directions = [0.9 * d + g for d, g in zip(directions, grads, strict=True)]
        gamma = min(lr, value / (1.0 * np.sum(flat(directions) ** 2)))
        return [gamma * d for d in directions], directions

    return step


def sania(lr: float, beta: float | None = None) -> HandStep:
    """SANIA of Abdukhakimov et al. 2023: AdaGrad-SQR, or Adam-SQR where a decay rate is given; eps 0.1 bounds B."""

    def step(weights, grads, state, t, value, hessian, noise):
        if beta is None:
            state = [b + g**2 for b, g in zip(state, grads, strict=True)]
            scales = [np.maximum(b, 0.1) for b in state]
        else:
            state = [beta * b + (1 - beta) * g**2 for b, g in zip(state, grads, strict=True)]
            scales = [np.maximum(b / (1 - beta**t), 0.1) for b in state]
        directions = [g / b for g, b in zip(grads, scales, strict=True)]
        ratio = 2 * value / np.sum(flat(grads) * flat(directions))
        length = 1 - np.sqrt(1 - ratio) if ratio < 1 else 1.0
        return [lr * length * d for d in directions], state

    return step


def random_scaling(lr: float) -> HandStep:
    """Random scaling of Zhang and Cutkosky 2024 with momentum 0.9.

    The exponential number is half the sum of two squared normal ones: the noise along (1, ..., 1) and along the weights
    less their mean, which are orthogonal.
    """

    def step(weights, grads, momentum, t, value, hessian, noise):
        w, z = flat(weights), flat(noise)
        centred = w - np.mean(w)
        first, second = np.sum(z) / np.sqrt(z.size), np.sum(centred * z) / np.sqrt(np.sum(centred**2))
        momentum = [0.9 * m + (1 - 0.9) * g for m, g in zip(momentum, grads, strict=True)]
        return [lr * (first**2 + second**2) / 2 * m for m in momentum], momentum

    return step


# --- rules of tensors -------------------------------------------------------------------------------------------------


def mars(lr: float) -> Callable[..., Any]:
    """MARS-AdamW (approximate) of Yuan et al. 2024, on tensors of any rank: gamma 0.025, betas 0.95 and 0.99."""

    def step(w, g, state, t):
        m, v, last = state
        c = g + 0.025 * (0.95 / (1 - 0.95)) * (g - last)
        c = c / max(1.0, np.linalg.norm(c))
        m, v = 0.95 * m + (1 - 0.95) * c, 0.99 * v + (1 - 0.99) * c**2
        return lr * m / ((np.sqrt(v) / np.sqrt(1 - 0.99**t) + 1e-8) * (1 - 0.95**t)), (m, v, g)

    return step


def optimistic_amsgrad(lr: float) -> Callable[..., Any]:
    """Optimistic AMSGrad of Wang et al. 2019, element by element, with 2 g - g_before as the next gradient's guess."""

    def step(w, g, state, t):
        theta, v, largest, guess, last, ahead = state
        last = last if t > 1 else g
        before, theta = theta, 0.9 * theta + (1 - 0.9) * g
        v = 0.999 * v + (1 - 0.999) * (g - guess) ** 2
        largest = np.maximum(largest, v)
        root = np.sqrt(largest) + 1e-8
        guess = 2 * g - last
        further = lr * (0.9 * before + (1 - 0.9) * guess) / root
        return lr * theta / root + further - ahead, (theta, v, largest, guess, g, further)

    return step


def by_gravity(lr: float) -> Weights:
    """Trains with Gravity of Bahrami and Zadeh 2021; the first noise makes the initial velocity."""

    def step(optimizer, value, hessian, noise):
        for p, z in zip(optimizer.param_groups[0]["params"], noise, strict=True):
            if p not in optimizer.state:
                optimizer.state[p]["v"] = 0.01 / lr * z
        optimizer.step()

    return by_torch(lambda p: pytorch_optimizer.Gravity(p, lr, foreach=False), step)


def adafactor(lr: float) -> optax.GradientTransformation:
    """Adafactor of Shazeer and Stern 2018 without momentum; optax's own decay rates are in float32."""

    def decay_rate(i, exponent):
        return 1.0 - jnp.asarray(i + 1, jnp.float64) ** -exponent

    factored = optax.scale_by_factored_rms(min_dim_size_to_factor=1, decay_rate_fn=decay_rate)
    return optax.chain(factored, optax.clip_by_block_rms(1.0), optax.scale_by_param_block_rms(1e-3), optax.scale(-lr))


def by_geoopt(lr: float) -> Weights:
    """Trains with Riemannian Adam of Becigneul and Ganea 2019, each tensor a point on the unit sphere."""
    on = problem("riemannian_adam_sphere")
    sphere = geoopt.Sphere()
    params = [geoopt.ManifoldParameter(torch.tensor(w.ravel()), manifold=sphere) for w in on.weights]  # type: ignore[call-arg]
    optimizer = geoopt.optim.RiemannianAdam(params, lr)
    for shifts in on.shifts:
        for p, s in zip(params, shifts, strict=True):
            p.grad = 0.5 * p.detach() + torch.tensor(s.ravel())
        optimizer.step()
    return [p.detach().numpy().reshape(w.shape) for p, w in zip(params, on.weights, strict=True)]


# --- rules of matrices ------------------------------------------------------------------------------------------------


def adam(lr: float) -> Callable[..., Any]:
    """Adam of Kingma and Ba 2015, for tensors that are no matrices."""

    def step(w, g, state, t):
        m, v = 0.9 * state[0] + 0.1 * g, 0.999 * state[1] + 0.001 * g**2
        return lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8), (m, v)

    return step


def on_matrices(step: Callable[..., Any], others: Callable[..., Any]) -> Callable[..., Any]:
    """One rule for matrices and another for other tensors."""
    return lambda w, g, state, t: (step if w.ndim == 2 else others)(w, g, state, t)


ITERATIONS = [(3.4445, -4.7750, 2.0315)] * 5
"""Coefficients of Newton-Schulz iterations, as Muon has them."""
TURBO = [(3.9505, -6.3029, 2.6377), (3.7418, -5.5913, 2.3037), (2.8769, -3.1427, 1.2046), (2.8366, -3.0525, 1.2012)]
"""The last four of Dion's coefficients."""


def newton_schulz(x: Any, coefficients: Sequence[tuple[float, float, float]]) -> Any:
    """The polar factor, nearly, of a matrix with no more rows than columns; for arrays and tensors alike."""
    for a, b, c in coefficients:
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


def oriented(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """A function of a matrix with no more rows than columns, for any matrix."""
    return function(x.T).T if x.shape[0] > x.shape[1] else function(x)


class Several:
    """Optimizers of PyTorch that step together."""

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        self.optimizers = optimizers

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


def by_muon(lr: float, decay: float = 0.0) -> Weights:
    """Trains with torch.optim.Muon, whose iterations in bfloat16 are replaced by the same ones in float64."""

    def orthogonal(x, coefficients, steps, eps):
        wide = x.T if x.size(0) > x.size(1) else x
        wide = newton_schulz(wide / wide.norm().clamp(min=eps), [coefficients] * steps)
        return wide.T if x.size(0) > x.size(1) else wide

    def make(params):
        matrices, others = [p for p in params if p.ndim == 2], [p for p in params if p.ndim != 2]
        return Several(torch.optim.Muon(matrices, lr, weight_decay=decay), torch.optim.Adam(others, lr))

    with mock.patch.object(muon_module, "_zeropower_via_newtonschulz", orthogonal):
        return by_torch(make)


def turbo_muon(lr: float, decay: float = 0.0) -> Callable[..., Any]:
    """Turbo-Muon of Boissin et al. 2025: Muon, but rows are scaled before, and there are four iterations."""

    def orthogonal(x):
        scale = 1 / np.sqrt(np.maximum(np.abs(x @ x.T).sum(axis=1), 1e-7))
        return newton_schulz(scale[:, None] * x, TURBO)

    def step(w, g, state, t):
        m = 0.95 * state[0] + g
        factor = np.sqrt(max(1.0, w.shape[1] / w.shape[0]))
        return lr * factor * oriented(orthogonal, g + 0.95 * m) + lr * decay * w, [m, None]

    return on_matrices(step, adam(lr))


def root(lr: float, decay: float = 0.1) -> Callable[..., Any]:
    """ROOT of He et al. 2025: momentum 0.95, what exceeds the 0.9 quantile cut off, Muon's coefficients."""

    def step(w, g, state, t):
        m = 0.95 * state[0] + g
        u = g + 0.95 * m
        bound = np.quantile(np.abs(u), 0.9) + 1e-9
        u = np.clip(u, -bound, bound)
        u = oriented(lambda x: newton_schulz(x / (np.linalg.norm(x) + 1e-7), ITERATIONS), u)
        return lr * 0.2 * np.sqrt(max(w.shape)) * u + lr * decay * w, [m, None]

    return on_matrices(step, adam(lr))


def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
    """The power of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def asgo(lr: float, decay: float = 0.1) -> Callable[..., Any]:
    """ASGO of An et al. 2025 with an exact inverse root; momentum 0.9, beta 0.8, eps 1e-10."""

    def step(w, g, state, t):
        m, v = state if t > 1 else (np.zeros_like(w), np.zeros([min(w.shape)] * 2))
        m, left = 0.9 * m + (1 - 0.9) * g, w.shape[0] <= w.shape[1]
        v = 0.8 * v + (1 - 0.8) * (g @ g.T if left else g.T @ g)
        inverse = power(v + 1e-10 * np.eye(len(v)), -0.5)
        u = inverse @ m if left else m @ inverse
        return lr * 0.2 * np.sqrt(w.size) * u / np.linalg.norm(u) + lr * decay * w, (m, v)

    return on_matrices(step, adam(lr))


def by_shampoo(lr: float) -> Weights:
    """Trains with pytorch_optimizer.Shampoo; vectors have the diagonal of its full matrix, which is AdaGrad."""

    def vector(w, g, state, t):
        total = state[0] + g**2
        return lr * g / np.sqrt(1e-6 + total), [total]

    matrix = by_torch(lambda p: pytorch_optimizer.Shampoo([x for x in p if x.ndim == 2], lr))
    others = by_hand(vector, 1)
    return [a if a.ndim == 2 else b for a, b in zip(matrix, others, strict=True)]


def soap(
    lr: float,
    decay: float = 0.01,
    every: int = 10,
    second: float = 0.95,
    sides: Callable[[np.ndarray], tuple[bool, bool]] | None = None,
) -> Any:
    """SOAP of Vyas et al. 2025: beta1 0.95, beta2 by default as well, eps 1e-8, bases anew `every` so many steps.

    Where there is one for every side, bases of 6 x 4 matrices aren't unique at first: the statistics of the longer side
    are singular. So only the shorter side has a basis, which the paper calls one-sided.
    """
    sides = sides or (lambda w: (w.shape[0] <= w.shape[1], w.shape[0] > w.shape[1]))

    def step(w, g, state, t):
        chosen = sides(w) if w.ndim == 2 else ()
        if t == 1:
            grams = [(g, g.T)[i] @ (g.T, g)[i] * (1 - second) if used else None for i, used in enumerate(chosen)]
            bases = [None if a is None else np.linalg.eigh(a)[1][:, ::-1] for a in grams]
            return np.zeros_like(w), (np.zeros_like(w), np.zeros_like(w), grams, bases)
        m, v, grams, bases = state

        def turned(x, back=False):
            for i, q in enumerate(bases):
                if q is not None:
                    q = q.T if back else q
                    x = q.T @ x if i == 0 else x @ q
            return x

        m = 0.95 * m + (1 - 0.95) * g
        v = second * v + (1 - second) * turned(g) ** 2
        size = lr * np.sqrt(1 - second ** (t - 1)) / (1 - 0.95 ** (t - 1))
        u = size * turned(turned(m) / (np.sqrt(v) + 1e-8), back=True)
        update = u + lr * decay * (w - u)
        for i, a in enumerate(grams):
            if a is not None:
                grams[i] = second * a + (1 - second) * (g, g.T)[i] @ (g.T, g)[i]
        if (t - 1) % every == 0:
            for i, (a, q) in enumerate(zip(grams, bases, strict=True)):
                if q is not None:
                    order = np.argsort(-np.einsum("ij,ij->j", q, a @ q), kind="stable")
                    v = np.take(v, order, axis=i)
                    bases = [*bases[:i], np.linalg.qr(a @ q[:, order])[0], *bases[i + 1 :]]
        return update, (m, v, grams, bases)

    return step


def psgd_kron(lr: float, speed: float = 0.1) -> HandStep:
    """PSGD in the Lie group of triangular factors (Li 2019, Pooladzandi and Li 2024), whitening the momentum.

    dQ = E Q for every factor Q of the preconditioner Q^T Q, the step divided by E's largest entry; vectors have a
    diagonal factor.
    """

    def fitted(q, e):
        e = np.triu(e) if e.ndim == 2 else e
        e = speed * e / np.abs(e).max()
        return q - (e @ q if e.ndim == 2 else e * q)

    def step(weights, grads, state, t, value, hessian, noise):
        state = state or [
            (np.zeros_like(w), *([np.eye(n) for n in w.shape] if w.ndim == 2 else [np.ones_like(w)])) for w in weights
        ]
        updates, following = [], []
        for g, z, (m, *factors) in zip(grads, noise, state, strict=True):
            m = 0.9 * m + (1 - 0.9) * g
            h = m / (1 - 0.9**t)
            fit = h + 1e-9 * z
            if g.ndim == 2:
                left, right = factors
                a = left @ fit @ right.T
                b = np.linalg.solve(left.T, z) @ np.linalg.inv(right)
                left, right = fitted(left, a @ a.T - b @ b.T), fitted(right, a.T @ a - b.T @ b)
                updates.append(lr * left.T @ left @ h @ right.T @ right)
                following.append((m, left, right))
            else:
                (q,) = factors
                q = fitted(q, (q * fit) ** 2 - (z / q) ** 2)
                updates.append(lr * q**2 * h)
                following.append((m, q))
        return updates, following

    return step


def lion_k_nuclear(lr: float, decay: float = 0.0) -> Callable[..., Any]:
    """Lion-K of Chen et al. 2024 with the nuclear norm, whose gradient is the polar factor; vectors are columns."""

    def step(w, g, state, t):
        c = 0.9 * state[0] + 0.1 * g
        u, _, v = np.linalg.svd(c.reshape(len(c), -1), full_matrices=False)
        return lr * ((u @ v).reshape(c.shape) + decay * w), [0.99 * state[0] + 0.01 * g]

    return step


# --- rules with curvature ---------------------------------------------------------------------------------------------


def sophia(lr: float, gamma: float = 0.01, decay: float = 1e-4) -> optax.GradientTransformation:
    """Sophia of Liu et al. 2024, its Hessian diagonal given."""

    def diagonal(updates, state, params=None, *, hessian_diagonal, **_):
        return hessian_diagonal, state

    given = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), diagonal)  # type: ignore[arg-type]
    return optax.contrib.sophia(lr, gamma=gamma, weight_decay=decay, hessian_diagonal_fn=given)


def oasis(lr: float, alpha: float = 1e-3) -> HandStep:
    """OASIS of Jahani et al. 2022 at a fixed learning rate: beta 0.999; the first diagonal is taken whole."""

    def step(weights, grads, diagonals, t, value, hessian, noise):
        diagonals = diagonals or hessian
        diagonals = [0.999 * d + (1 - 0.999) * h for d, h in zip(diagonals, hessian, strict=True)]
        return [lr * g / np.maximum(np.abs(d), alpha) for g, d in zip(grads, diagonals, strict=True)], diagonals

    return step


@dataclass(frozen=True)
class Authority:
    """Who knows what a rule does.

    Args:
        name: what the table of the documentation calls it.
        train: gives the weights after training at a learning rate.
        rates: learning rates at which every branch of the rule is taken.
    """

    name: str
    train: Callable[[float], Weights]
    rates: tuple[float, ...] = (0.1, 1e-3)


def of_optax(name: str, make: Callable[[float], optax.GradientTransformation]) -> Authority:
    return Authority(name, lambda lr: by_optax(make(lr)))


def of_torch(name: str, **options: Any) -> Authority:
    return Authority(f"torch.optim.{name}", lambda lr: by_torch(lambda p: getattr(torch.optim, name)(p, lr, **options)))


def of_po(name: str, **options: Any) -> Authority:
    """An optimizer of the package pytorch_optimizer."""
    make = getattr(pytorch_optimizer, name)
    return Authority(f"pytorch_optimizer.{name}", lambda lr: by_torch(lambda p: make(p, lr, **options)))


CAPS = (0.1, 1.7)
"""Learning rates of rules that take them as the largest step: the loss decides at the second."""
CAUTIOUS = ("cautious_lion", "cautious_adamw")
"""Rules that the library makes of others."""
AUTHORITIES = {
    "sgd": of_optax("optax.sgd", optax.sgd),
    "heavy_ball": of_optax("optax.sgd(momentum)", lambda lr: optax.sgd(lr, momentum=0.9)),
    "nesterov": of_torch("SGD", momentum=0.9, nesterov=True),
    "adagrad": of_torch("Adagrad", eps=1e-10),
    "rmsprop": of_torch("RMSprop", alpha=0.99, eps=1e-8),
    "adadelta": of_torch("Adadelta", rho=0.9, eps=1e-6),
    "adam": of_optax("optax.adam", optax.adam),
    "adamw": of_torch("AdamW", weight_decay=0.01),
    "adamax": of_torch("Adamax"),
    "nadam": of_optax("optax.nadam", optax.nadam),
    "amsgrad": of_torch("Adam", amsgrad=True),
    "amsgrad_corrected": of_optax("optax.amsgrad", optax.amsgrad),
    "adam_uncorrected": of_optax("optax.ema", lambda lr: moments_without_correction(lr, 0.0)),
    "adamw_uncorrected": of_optax("optax.ema", lambda lr: moments_without_correction(lr, 0.01)),
    "sign_sgd": of_optax("optax.sign_sgd", optax.sign_sgd),
    "signum": of_optax("optax.signum", lambda lr: optax.signum(lr, beta=0.9)),
    "lion": of_optax("optax.lion", lambda lr: optax.lion(lr, b1=0.9, b2=0.99, weight_decay=0.1)),
    "raw_lion": of_optax("the paper's program, by hand", found_lion),
    "ademamix": of_optax("optax.contrib.ademamix", optax.contrib.ademamix),
    "nadamw": of_optax("optax.nadamw", optax.nadamw),
    "lars": of_optax("optax.lars", optax.lars),
    "lamb": of_optax("optax.lamb", optax.lamb),
    "normalized_gd": of_optax(
        "optax.contrib.normalize", lambda lr: optax.chain(optax.contrib.normalize(), optax.scale(-lr))
    ),
    "optimistic_gd": of_optax("optax.optimistic_gradient_descent", optax.optimistic_gradient_descent),
    "fadam": Authority("NumPy, from the paper", lambda lr: by_hand(fadam(lr), 2)),
    "lion_k_l2": Authority("NumPy, from the paper", lambda lr: by_hand_joined(lion_k(lr))),
    "cautious_lion": Authority(
        "NumPy, from the authors' code", lambda lr: by_hand(decayed(cautious(lr, 1), lr, 0.1), 1)
    ),
    "cautious_adamw": Authority(
        "NumPy, from the authors' code", lambda lr: by_hand(decayed(cautious(lr, 2), lr, 0.01), 2)
    ),
    "signed_root_momentum": Authority("NumPy, from its formulas", lambda lr: by_hand_joined(signed_root(lr))),
    "cube_root_descent": Authority("NumPy, from its formulas", lambda lr: by_hand_joined(cube_root(lr))),
    "median_clipping_l2": Authority("NumPy, from the paper", lambda lr: by_hand_joined(median_by_length(lr))),
    "median_clipping": Authority("NumPy, from the paper", lambda lr: by_hand(median(lr), 1)),
    "exponentiated_gradient": Authority("NumPy, from the paper", lambda lr: by_hand(exponentiated(lr), 0)),
    "schedule_free_sgd": of_optax("optax.contrib.schedule_free_sgd", optax.contrib.schedule_free_sgd),
    "schedule_free_adamw": of_optax("optax.contrib.schedule_free_adamw", optax.contrib.schedule_free_adamw),
    "prodigy": of_optax("optax.contrib.prodigy", optax.contrib.prodigy),
    "dog": of_optax("optax.contrib.dog", optax.contrib.dog),
    "ldog": of_optax("optax.scale_by_distance_over_gradients", ldog),
    "novograd": of_optax("optax.novograd", optax.novograd),
    "induced_metric": Authority(
        "NumPy, from the authors' code", lambda lr: by_hand_whole(induced_metric(lr), (zeros(), 0.0))
    ),
    "polyak_sgd": Authority("optax.polyak_sgd", lambda lr: by_optax(optax.polyak_sgd(lr)), CAPS),
    "ali_g": Authority("NumPy, from the authors' code", lambda lr: by_hand_whole(ali_g(lr), zeros()), CAPS),
    "mom_sps": Authority("NumPy, from the authors' code", lambda lr: by_hand_whole(mom_sps(lr)), CAPS),
    "alr_smag": Authority("NumPy, from the paper", lambda lr: by_hand_whole(alr_smag(lr), zeros()), CAPS),
    "sania_adagrad": Authority("NumPy, from the authors' code", lambda lr: by_hand_whole(sania(lr), zeros())),
    "sania_adam": Authority("NumPy, from the authors' code", lambda lr: by_hand_whole(sania(lr, 0.999), zeros())),
    "random_scaling_sgdm": Authority("NumPy, from the paper", lambda lr: by_hand_whole(random_scaling(lr), zeros())),
    "mars": Authority("NumPy, from the authors' code", lambda lr: by_hand(mars(lr), 3)),
    "optimistic_amsgrad": Authority("NumPy, from the paper", lambda lr: by_hand(optimistic_amsgrad(lr), 6)),
    "gravity": Authority("pytorch_optimizer.Gravity", by_gravity),
    "adamp": of_po("AdamP"),
    "sgdp": of_po("SGDP", momentum=0.9),
    "adafactor": of_optax("optax.scale_by_factored_rms", adafactor),
    "riemannian_adam_sphere": Authority("geoopt.optim.RiemannianAdam", by_geoopt),
    "muon": Authority("torch.optim.Muon in float64", by_muon),
    "turbo_muon": Authority("NumPy, from the authors' code", lambda lr: by_hand(turbo_muon(lr), 2)),
    "root": Authority("NumPy, from the authors' code", lambda lr: by_hand(root(lr), 2)),
    "asgo": Authority("NumPy, from the authors' code", lambda lr: by_hand(asgo(lr), 2)),
    "shampoo": Authority("pytorch_optimizer.Shampoo", by_shampoo),
    "soap": Authority("NumPy, from the authors' code", lambda lr: by_hand(soap(lr), 0)),
    "psgd_kron": Authority("NumPy, from the paper", lambda lr: by_hand_whole(psgd_kron(lr))),
    "lion_k_nuclear": Authority("NumPy, from the paper", lambda lr: by_hand(lion_k_nuclear(lr), 1)),
    "sophia": of_optax("optax.contrib.sophia", sophia),
    "adahessian": Authority(
        "pytorch_optimizer.AdaHessian",
        lambda lr: by_torch(
            lambda p: pytorch_optimizer.AdaHessian(p, lr),
            lambda optimizer, value, hessian, noise: optimizer.step(hessian=hessian),
        ),
    ),
    "oasis": Authority("NumPy, from the paper", lambda lr: by_hand_whole(oasis(lr))),
}
"""Whoever a rule is compared with, at the hyper-parameters of its card."""


def decayed(step: Callable[..., Any], lr: float, decay: float) -> Callable[..., Any]:
    """A rule with decoupled weight decay."""

    def with_decay(w, g, state, *rest):
        update, following = step(w, g, state, *rest)
        return update + lr * decay * w, following

    return with_decay


DECAYED = {
    "adamw": of_optax("optax.adamw", lambda lr: optax.adamw(lr, weight_decay=0.2)),
    "nadamw": of_optax("optax.nadamw", lambda lr: optax.nadamw(lr, weight_decay=0.2)),
    "lion": of_optax("optax.lion", lambda lr: optax.lion(lr, weight_decay=0.2)),
    "lars": of_optax("optax.lars", lambda lr: optax.lars(lr, weight_decay=0.2)),
    "signed_root_momentum": Authority("NumPy, from its formulas", lambda lr: by_hand_joined(signed_root(lr, 0.2))),
    "cube_root_descent": Authority("NumPy, from its formulas", lambda lr: by_hand_joined(cube_root(lr, 0.2))),
    "lamb": of_optax("optax.lamb", lambda lr: optax.lamb(lr, weight_decay=0.2)),
    "lion_k_l2": Authority("NumPy", lambda lr: by_hand_joined(decayed(lion_k(lr), lr, 0.2))),
    "cautious_lion": Authority("NumPy", lambda lr: by_hand(decayed(cautious(lr, 1), lr, 0.2), 1)),
    "cautious_adamw": Authority("NumPy", lambda lr: by_hand(decayed(cautious(lr, 2), lr, 0.2), 2)),
    "schedule_free_adamw": of_optax(
        "optax.contrib.schedule_free_adamw", lambda lr: optax.contrib.schedule_free_adamw(lr, weight_decay=0.2)
    ),
    "prodigy": of_optax("optax.contrib.prodigy", lambda lr: optax.contrib.prodigy(lr, weight_decay=0.2)),
    "novograd": of_optax("optax.novograd", lambda lr: optax.novograd(lr, weight_decay=0.2)),
    "induced_metric": Authority("NumPy", lambda lr: by_hand_whole(induced_metric(lr, 0.2), (zeros(), 0.0))),
    "muon": Authority("torch.optim.Muon in float64", lambda lr: by_muon(lr, 0.2)),
    "turbo_muon": Authority("NumPy", lambda lr: by_hand(turbo_muon(lr, 0.2), 2)),
    "root": Authority("NumPy", lambda lr: by_hand(root(lr, 0.2), 2)),
    "asgo": Authority("NumPy", lambda lr: by_hand(asgo(lr, 0.2), 2)),
    "soap": Authority("NumPy", lambda lr: by_hand(soap(lr, 0.2), 0)),
    "lion_k_nuclear": Authority("NumPy", lambda lr: by_hand(lion_k_nuclear(lr, 0.2), 1)),
    "sophia": of_optax("optax.contrib.sophia", lambda lr: sophia(lr, decay=0.2)),
}
"""The same with a weight decay of 0.2, for every rule that has one (but `fadam`, whose default is not 0)."""


VARIANTS: dict[str, tuple[dict[str, Any], Authority]] = {
    "prodigy": ({"d0": 0.1}, of_optax("optax.contrib.prodigy", lambda lr: optax.contrib.prodigy(lr, estim_lr0=0.1))),
    "dog": (
        {"initial": 0.1},
        of_optax("optax.contrib.dog", lambda lr: optax.contrib.dog(lr, init_step=("heuristic", 0.1))),
    ),
    "ldog": ({"initial": 0.1}, of_optax("optax.scale_by_distance_over_gradients", lambda lr: ldog(lr, 0.1))),
    "adamp": ({"delta": 2.4}, of_po("AdamP", delta=2.4)),
    "sgdp": ({"delta": 1.5}, of_po("SGDP", momentum=0.9, delta=1.5)),
    "soap": (
        {"frequency": 2.0, "beta2": 0.5},
        Authority("NumPy, from the authors' code", lambda lr: by_hand(soap(lr, every=2, second=0.5), 0)),
    ),
    "sophia": ({"gamma": 100.0}, of_optax("optax.contrib.sophia", lambda lr: sophia(lr, 100.0))),
    "oasis": ({"alpha": 0.5}, Authority("NumPy, from the paper", lambda lr: by_hand_whole(oasis(lr, 0.5)))),
}
"""Authorities at other hyper-parameters, for rules whose defaults hardly move the weights or leave a branch alone."""
