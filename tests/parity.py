"""Authorities for the rules of the library, and every execution that must agree with them.

25 steps in float64 on a matrix and a vector, where the gradient is 0.5 w + noise, so that errors feed back.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from oracle import Tensor, execute, lift

from archive import library
from primitives.compile import compile_step
from primitives.graph import check
from primitives.kinds import TENSOR
from primitives.layout import Layout
from primitives.ops import LIBRARY
from primitives.reference import zero_state
from primitives.simplify import canonicalize

SHAPES = ((6, 4), (4,))
STEPS = 25
Weights = list[np.ndarray]


def problem() -> tuple[Weights, list[Weights]]:
    """Weights of either sign, and for each step the noise in the gradient 0.5 w + noise."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in SHAPES]
    return weights, [[0.1 * rng.normal(size=shape) for shape in SHAPES] for _ in range(STEPS)]


# --- authorities ------------------------------------------------------------------------------------------------------


def by_optax(rule: optax.GradientTransformation) -> Weights:
    """Trains with a gradient transformation in float64."""
    with jax.enable_x64(True):
        weights, noises = jax.tree.map(jnp.asarray, problem())

        @jax.jit
        def step(weights, state, noise):
            gradients = jax.tree.map(lambda w, n: 0.5 * w + n, weights, noise)
            updates, state = rule.update(gradients, state, weights)
            return optax.apply_updates(weights, updates), state

        state = rule.init(weights)
        for noise in noises:
            weights, state = step(weights, state, noise)
        return [np.asarray(w) for w in weights]  # type: ignore[union-attr]


def by_torch(make: Callable[[Any], torch.optim.Optimizer]) -> Weights:
    """Trains with an optimizer of PyTorch in float64."""
    weights, noises = problem()
    params = [torch.nn.Parameter(torch.tensor(w)) for w in weights]
    optimizer = make(params)
    for noise in noises:
        for p, n in zip(params, noise, strict=True):
            p.grad = 0.5 * p.detach() + torch.tensor(n)
        optimizer.step()
    return [p.detach().numpy() for p in params]


def by_hand(step: Callable[..., tuple[np.ndarray, Sequence[Any]]], states: int) -> Weights:
    """Trains with a NumPy function `step(w, g, state, t) -> (what to subtract, next state)`, tensor by tensor."""
    weights, noises = problem()
    states_of: list[Sequence[Any]] = [[np.zeros_like(w)] * states for w in weights]
    for t, noise in enumerate(noises, 1):
        for i, (w, n) in enumerate(zip(weights, noise, strict=True)):
            update, states_of[i] = step(w, 0.5 * w + n, states_of[i], t)
            weights[i] = w - update
    return weights


def by_hand_whole(step: Callable[..., tuple[Weights, Sequence[Any]]], state: Sequence[Any] = (0.0,)) -> Weights:
    """Trains with a NumPy function of all tensors joined into one vector."""
    weights, noises = problem()
    layout = Layout(SHAPES)
    w = np.concatenate([x.ravel() for x in weights])
    for noise in noises:
        update, state = step(w, 0.5 * w + np.concatenate([x.ravel() for x in noise]), state)
        w = w - update
    return layout.split(w)


def median_by_length(lr: float) -> Callable[..., Any]:
    """Algorithm of Schaipp et al. 2024, by the norm."""

    def step(w, g, state):
        d = g - state[0]
        m = state[0] + d * min(1.0, 0.1 / np.linalg.norm(d))
        return lr * m, [m]

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


@dataclass(frozen=True)
class Authority:
    """Who knows what a rule does.

    Args:
        name: what the table of the documentation calls it.
        train: gives the weights after training at a learning rate.
    """

    name: str
    train: Callable[[float], Weights]


def of_optax(name: str, make: Callable[[float], optax.GradientTransformation]) -> Authority:
    return Authority(name, lambda lr: by_optax(make(lr)))


def of_torch(name: str, **options: Any) -> Authority:
    return Authority(f"torch.optim.{name}", lambda lr: by_torch(lambda p: getattr(torch.optim, name)(p, lr, **options)))


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
    "lion_k_l2": Authority("NumPy, from the paper", lambda lr: by_hand_whole(lion_k(lr))),
    "cautious_lion": Authority("NumPy, from the authors' code", lambda lr: by_hand(cautious(lr, 1), 1)),
    "cautious_adamw": Authority("NumPy, from the authors' code", lambda lr: by_hand(cautious(lr, 2), 2)),
    "median_clipping_l2": Authority("NumPy, from the paper", lambda lr: by_hand_whole(median_by_length(lr))),
    "median_clipping": Authority("NumPy, from the paper", lambda lr: by_hand(median(lr), 1)),
    "exponentiated_gradient": Authority("NumPy, from the paper", lambda lr: by_hand(exponentiated(lr), 0)),
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
    "lamb": of_optax("optax.lamb", lambda lr: optax.lamb(lr, weight_decay=0.2)),
    "lion_k_l2": Authority("NumPy", lambda lr: by_hand_whole(decayed(lion_k(lr), lr, 0.2))),
    "cautious_lion": Authority("NumPy", lambda lr: by_hand(decayed(cautious(lr, 1), lr, 0.2), 1)),
    "cautious_adamw": Authority("NumPy", lambda lr: by_hand(decayed(cautious(lr, 2), lr, 0.2), 2)),
}
"""The same with a weight decay of 0.2, for every rule that has one (but `fadam`, whose default is not 0)."""


# --- executions -------------------------------------------------------------------------------------------------------


def statement_by_statement(name: str, lr: float) -> Weights:
    """The oracle of the tests, which shares nothing with Pride's executions."""
    program = library.load(name).program
    weights, noises = problem()
    kinds = dict(program.signature.outputs)
    state = {s: lift(np.float64(0.0), kinds[s], SHAPES) for s in program.signature.state}
    for t, noise in enumerate(noises, 1):
        g = Tensor(0.5 * w + n for w, n in zip(weights, noise, strict=True))
        known = {"w": Tensor(weights), "g": g, "lr": np.float64(lr), "t": np.float64(t), **state}
        given = {name: known[name] for name, _ in program.signature.inputs}
        values = execute(program, LIBRARY, given, SHAPES)
        state = {s: lift(values[s], kinds[s], SHAPES) for s in state}
        weights = [w - u for w, u in zip(weights, lift(values["update"], TENSOR, SHAPES), strict=True)]
    return weights


def compiled(name: str, lr: float) -> Weights:
    """The compiled form of the canonical program."""
    graph = canonicalize(check(library.load(name).program, LIBRARY), LIBRARY, "float64")
    layout = Layout(SHAPES)
    weights, noises = problem()
    with jax.enable_x64(True):
        step = jax.jit(compile_step(graph, LIBRARY, layout))
        w = np.concatenate([x.ravel() for x in weights])
        state: Sequence[Any] = zero_state(graph, layout)
        for t, noise in enumerate(noises, 1):
            g = 0.5 * w + np.concatenate([x.ravel() for x in noise])
            values = {"w": w, "g": g, "lr": np.float64(lr), "t": np.float64(t)}
            (update,), state = step({key: values[key] for key in graph.inputs}, state)
            w = w - np.asarray(update)
    return layout.split(w)


def numpy_source(name: str, lr: float) -> Weights:
    """The exported NumPy module."""
    module: dict[str, Any] = {}
    exec(library.load(name).source("python"), module)
    weights, noises = problem()
    state = module["init"](weights)
    for noise in noises:
        grads = [0.5 * w + n for w, n in zip(weights, noise, strict=True)]
        updates, state = module["update"](weights, grads, state, lr)
        weights = [w - u for w, u in zip(weights, updates, strict=True)]
    return weights


EXECUTIONS: dict[str, Callable[[str, float], Weights]] = {
    "statements": statement_by_statement,
    "compiled": compiled,
    "numpy": numpy_source,
    "optax": lambda name, lr: by_optax(library.load(name).optax(lr)),
    "torch": lambda name, lr: by_torch(lambda params: library.load(name).torch(params, lr)),
    "torch, joined": lambda name, lr: by_torch(lambda params: library.load(name).torch(params, lr, foreach=True)),
}


def difference(name: str, execution: str, lr: float) -> float:
    """The largest difference from the authority after training, relative to the largest move where that is above 1."""
    start, _ = problem()
    mine, reference = EXECUTIONS[execution](name, lr), AUTHORITIES[name].train(lr)
    for w, expected in zip(mine, reference, strict=True):
        assert w.dtype == expected.dtype == np.float64
    moved = max(np.abs(expected - first).max() for expected, first in zip(reference, start, strict=True))
    assert moved > 0.0
    return max(float(np.abs(w - expected).max()) for w, expected in zip(mine, reference, strict=True)) / max(moved, 1.0)
