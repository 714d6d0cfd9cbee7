"""The library's rules against optax: 25 steps in float64 on a matrix and a vector."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from oracle import Tensor, execute, lift

from archive import library
from primitives.ops import HERO
from primitives.program import OPTIMIZER
from primitives.text import parse

SHAPES = ((6, 4), (4,))
STEPS = 25


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


# guarded division moves the bias correction by 1e-8 / (1 - beta^t), at most 1e-5 of v at t = 1
RULES: dict[str, tuple[Callable[[float], optax.GradientTransformation], float]] = {
    "sgd": (optax.sgd, 1e-14),
    "heavy_ball": (lambda lr: optax.sgd(lr, momentum=0.9), 1e-14),
    "nesterov": (lambda lr: optax.sgd(lr, momentum=0.9, nesterov=True), 1e-14),
    "rmsprop": (lambda lr: optax.rmsprop(lr, decay=0.99, eps=1e-8, eps_in_sqrt=False), 1e-14),
    "adam": (optax.adam, 1e-6),
    "adamw": (lambda lr: optax.adamw(lr, weight_decay=0.01), 1e-6),
    "adam_uncorrected": (lambda lr: moments_without_correction(lr, 0.0), 1e-13),
    "adamw_uncorrected": (lambda lr: moments_without_correction(lr, 0.01), 1e-13),
    "sign_sgd": (optax.sign_sgd, 1e-14),
    "signum": (lambda lr: optax.signum(lr, beta=0.9), 1e-14),
    "lion": (lambda lr: optax.lion(lr, b1=0.9, b2=0.99, weight_decay=0.1), 1e-14),
    "raw_lion": (found_lion, 1e-14),
}


def problem() -> tuple[list[np.ndarray], list[list[np.ndarray]]]:
    """Weights of either sign, and for each step the noise in the gradient 0.5 w + noise."""
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in SHAPES]
    return weights, [[0.1 * rng.normal(size=shape) for shape in SHAPES] for _ in range(STEPS)]


def ours(name: str, lr: float) -> list[np.ndarray]:
    program = parse(library.text(name), OPTIMIZER, HERO)
    weights, noises = problem()
    state = {s: lift(np.float64(0.0), 2, SHAPES) for s in program.signature.state}
    for t, noise in enumerate(noises, 1):
        g = Tensor(0.5 * w + n for w, n in zip(weights, noise, strict=True))
        known = {"w": Tensor(weights), "g": g, "lr": np.float64(lr), "t": np.float64(t), **state}
        given = {name: known[name] for name, _ in program.signature.inputs}
        values = execute(program, HERO, given, SHAPES)
        state = {s: lift(values[s], 2, SHAPES) for s in state}
        weights = [w - u for w, u in zip(weights, lift(values["update"], 2, SHAPES), strict=True)]
    return weights


def theirs(rule: optax.GradientTransformation) -> list[np.ndarray]:
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


def test_every_rule_has_an_authority():
    assert set(RULES) == set(library.names())


@pytest.mark.parametrize("name", RULES)
def test_parity(name):
    rule, tolerance = RULES[name]
    start, _ = problem()
    for lr in (0.1, 1e-3):
        mine, reference = ours(name, lr), theirs(rule(lr))
        for w, expected, first in zip(mine, reference, start, strict=True):
            assert w.dtype == expected.dtype == np.float64
            moved = np.abs(expected - first).max()
            assert moved > 0.0
            np.testing.assert_allclose(w, expected, rtol=0.0, atol=tolerance * max(moved, 1.0))


def test_bias_correction_is_seen():
    assert np.abs(ours("adam", 0.1)[0] - ours("adam_uncorrected", 0.1)[0]).max() > 1e-2
    assert np.abs(ours("adamw", 0.1)[0] - ours("adam", 0.1)[0]).max() > 1e-3


def test_names_are_sorted_and_texts_name_their_source():
    names = library.names()
    assert list(names) == sorted(names)
    for name in names:
        assert library.text(name).startswith("# ")


def test_the_published_program_is_kept_whole():
    program = parse(library.text("raw_lion"), OPTIMIZER, HERO)
    assert len(program.statements) == 21
    assert program.signature.state == ("m", "v")


@pytest.mark.parametrize("name", ["adams", "../secret", "__init__", "", "adam.py", "a\0b", "x" * 100_000])
def test_unknown_names(name):
    with pytest.raises(ValueError, match="a rule must be one of adam, adam_uncorrected") as caught:
        library.text(name)
    if name == "adams":
        assert "did you mean 'adam'?" in str(caught.value)
