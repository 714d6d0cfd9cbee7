"""The fingerprint: equal for equal behaviour, different for what differs in training, the same everywhere."""

import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import programs

from archive import library
from primitives import fingerprint as module
from primitives.fingerprint import Probe, fingerprint, observe, optimizer_probe
from primitives.graph import Graph, check
from primitives.kinds import SCALAR, TENSOR
from primitives.layout import Layout
from primitives.ops import HERO, LIBRARY
from primitives.primitive import Primitive, Vocabulary
from primitives.program import OPTIMIZER, Interface
from primitives.reference import step, zero_state
from primitives.simplify import canonicalize
from primitives.text import parse

PROBE = optimizer_probe()
SGD = -4985330129910935244
"""Fingerprint of `update = g * lr`."""


def graph(text: str) -> Graph:
    return check(parse(text, OPTIMIZER, LIBRARY), LIBRARY)


def rule(body: str, state: str = "") -> Graph:
    lines = "".join(f"    {line.strip()}\n" for line in body.split(";"))
    tail = f", {state}" if state else ""
    return graph(f"def train(w, g{tail}, lr, t):\n{lines}    return update{tail}")


def behaviour(body: str, state: str = "") -> int | None:
    return fingerprint(rule(body, state), LIBRARY, PROBE)


@settings(max_examples=100)
@given(programs(LIBRARY, OPTIMIZER))
def test_what_is_observed_are_the_reference_outputs_to_the_bit(program):
    lowered = check(program, LIBRARY)
    state, updates = zero_state(lowered, PROBE.layout), []
    for row in range(PROBE.steps):
        inputs = {name: column[row] for name, column in PROBE.inputs.items()}
        (update,), state = step(lowered, LIBRARY, PROBE.layout, inputs, state)
        updates.append(update)
    expected, observed = np.stack(updates), observe(lowered, LIBRARY, PROBE)
    if np.isfinite(expected[: -PROBE.beyond]).all():
        np.testing.assert_array_equal(observed, expected)
        assert fingerprint(lowered, LIBRARY, PROBE) is not None
    else:
        assert observed is None
        assert fingerprint(lowered, LIBRARY, PROBE) is None


# --- what must be equal -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "state"),
    [
        ("update = g * lr", "update = lr * g", ""),
        ("x = g * lr; update = x * 0.1", "x = lr * 0.1; update = g * x", ""),
        ("x = g * lr; y = w * lr; update = x + y", "x = g + w; update = x * lr", ""),
        ("x = square(g); update = sqrt(x)", "update = abs(g)", ""),
        ("x = g - g; update = w + x", "update = w", ""),
        ("update = g - g", "update = g * 0.0", ""),
        ("update = negative(0.0)", "update = 0.0", ""),
        ("x = w * -0.0; update = x * 1.0", "update = 0.0", ""),
        ("update = lr", "x = w - w; update = x + lr", ""),
        ("x = norm(g); update = x * lr", "x = dot(g, g); y = norm(g); update = y * lr", ""),
        ("m = interpolate(g, m, 0.9); update = m", "x = g * 0.1; y = m * 0.9; m = x + y; update = m", "m"),
        ("m = m + g; update = m * 0.1", "x = g * 0.1; m = m + x; update = m", "m"),
        ("update = m; m = g", "update = m; v = v + 1.0; m = g", "m, v"),
        ("update = v; v = m; m = g", "update = m; m = v; v = g", "m, v"),
        ("update = g * 1e-43", "update = 0.0", ""),
    ],
)
def test_equal_behaviour(one, other, state):
    """Order of operations, algebra, names of state, dead state, the sign of zero, what float32 can't tell from zero."""
    assert behaviour(one, state) == behaviour(other, state) is not None


@pytest.mark.parametrize("name", library.names())
def test_fingerprint_of_known_rules_survives_noise(name, monkeypatch):
    """Twenty bits are kept and rounded to nearest: relative noise of 1e-13 in every output changes no fingerprint."""
    lowered = graph(library.text(name))
    expected = fingerprint(lowered, LIBRARY, PROBE)
    assert expected is not None
    rng = np.random.default_rng(0)

    def noisy(*args):
        observed = observe(*args)
        assert observed is not None
        return observed * (1.0 + 1e-13 * rng.uniform(-1.0, 1.0, observed.shape))

    monkeypatch.setattr(module, "observe", noisy)
    assert all(fingerprint(lowered, LIBRARY, PROBE) == expected for _ in range(20))


# --- what must differ -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "state"),
    [
        ("update = g * lr", "update = g * 0.001", ""),
        ("update = g * lr", "x = min(lr, 0.2); update = g * x", ""),
        ("update = g * lr", "x = max(lr, 0.001); update = g * x", ""),
        ("update = g", "update = arcsin(g)", ""),
        ("update = g", "update = tanh(g)", ""),
        ("update = g", "update = arctanh(g)", ""),
        ("update = g", "update = clip(g, lr)", ""),
        ("update = clip(g, lr)", "n = global_norm(g); x = g / n; update = x * lr", ""),
        ("update = clip(g, 0.5)", "update = g", ""),
        ("update = sign(g)", "x = abs(g); update = g / x", ""),
        ("x = square(g); y = sqrt(x); update = g / y", "x = square(g); y = x + 1e-8; z = sqrt(y); update = g / z", ""),
        ("update = norm(g)", "update = global_norm(g)", ""),
        ("update = g", "update = abs(g)", ""),
        ("update = g", "update = m; m = g", "m"),
        ("update = m; m = g", "update = m; m = v; v = g", "m, v"),
        ("m = interpolate(g, m, 0.9); update = m", "m = interpolate(g, m, 0.9001); update = m", "m"),
        ("m = interpolate(g, m, 0.9); update = m", "update = m; m = interpolate(g, m, 0.9)", "m"),
        ("m = m + g; update = m", "m = m + g; update = m + w", "m"),
        ("x = g * w; update = max(x, 0.0)", "update = 0.0", ""),
        ("x = g * w; update = min(x, 0.0)", "update = 0.0", ""),
        ("x = m * g; m = g; y = sign(x); update = max(y, 0.0)", "update = 0.0", "m"),
        ("x = m * g; m = g; y = sign(x); update = min(y, 0.0)", "update = 0.0", "m"),
        ("update = g / t", "x = min(t, 10.0); update = g / x", ""),
        ("x = g * 1e-6; update = x + w", "update = w", ""),
        ("x = g * 1.00001; update = x", "update = g", ""),
        ("update = exp(w)", "update = exp2(w)", ""),
    ],
)
def test_behaviour_that_differs_in_training_differs_on_the_probe(one, other, state):
    first, second = behaviour(one, state), behaviour(other, state)
    assert first is not None
    assert first != second


def test_functions_of_the_gradient_differ():
    """Every function of one value that lives on the probe does something of its own with `g`, and with `w`."""
    for argument in "g", "w":
        found = {
            p.name: behaviour(f"update = {p.name}({argument})") for p in HERO.values() if p.executable and p.arity == 1
        }
        alive = {name: key for name, key in found.items() if key is not None}
        assert {"arcsin", "arccos", "arctanh", "tanh", "cbrt", "sqrt", "sign", "norm", "global_norm"} <= set(alive)
        for one, other in combinations(alive, 2):
            assert alive[one] != alive[other], (one, other)


def test_known_rules_differ():
    keys = {name: fingerprint(graph(library.text(name)), LIBRARY, PROBE) for name in library.names()}
    assert len(set(keys.values())) == len(keys)


# --- no fingerprint ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "update = log(g)",
        "update = reciprocal(g)",
        "x = w * 1e4; update = exp(x)",
        "update = arccosh(g)",
        "update = arcsin(t)",
        "x = w * 1e308; update = x * t",
    ],
)
def test_what_is_not_finite_has_no_fingerprint(body):
    assert behaviour(body) is None


def test_a_program_that_is_not_finite_is_stopped_at_once():
    calls = []

    def blow_up(xp, x):
        calls.append(x)
        return x / 0.0

    vocabulary = Vocabulary((Primitive("blow_up", blow_up, (None,), "x / 0", "{0} / 0.0"),))
    program = parse("def train(w):\n    update = blow_up(w)\n    return update", OPTIMIZER, vocabulary)
    assert fingerprint(check(program, vocabulary), vocabulary, PROBE) is None
    assert len(calls) == 1


def test_state_that_nothing_shows_may_overflow():
    assert behaviour("v = v + 1e300; v = v * 1e300; update = g", "v") == behaviour("update = g")


# --- the probe --------------------------------------------------------------------------------------------------------


def test_the_probe_holds_what_it_must():
    g, w = np.stack([np.asarray(x) for x in PROBE.inputs["g"]]), np.stack([np.asarray(x) for x in PROBE.inputs["w"]])
    lr = np.array(PROBE.inputs["lr"])
    assert [len(shape) for shape in PROBE.layout.shapes] == [2, 2, 1]
    assert {rows <= columns for rows, columns in PROBE.layout.shapes[:2]} == {True, False}
    assert np.abs(g[: -PROBE.beyond]).max() < 1.0
    assert np.linalg.norm(g[-1]) > 100.0
    assert np.abs(w).max() < 1.0
    assert np.abs(g).max() > 0.5
    for magnitude in (0.0, 1e-10, 1e-3):
        assert (np.abs(g) == magnitude).any()
    assert ((g == 0.0).all(0)).any()
    assert ((g == 0.0).any(0) & (g != 0.0).any(0)).any()
    assert not np.signbit(g[g == 0.0]).any()
    for x in (g * w, g[1:] * g[:-1]):
        assert (x > 0.0).any()
        assert (x < 0.0).any()
    norms = np.linalg.norm(g, axis=1)
    assert (norms > lr).any()
    assert (norms < lr).any()
    assert len(set(lr)) == PROBE.steps
    assert lr.max() / lr.min() >= 100.0
    first, _, second = (
        np.concatenate(x) for x in zip(*(map(np.ravel, PROBE.layout.split(row)) for row in g), strict=True)
    )
    assert np.linalg.norm(first) > 10.0 * np.linalg.norm(second)
    assert (w[0, -3:] == 0.0).all()
    assert (w[1:, -3:] != 0.0).all()
    assert (np.diff(w, axis=0) != 0.0).any(0).all()


def test_the_fingerprint_is_the_same_in_every_process():
    """The number is written down: only products of the probe's numbers enter it, so it holds on every machine."""
    script = (
        "from primitives.fingerprint import *; from primitives.graph import check; from primitives.ops import LIBRARY;"
        "from primitives.program import OPTIMIZER; from primitives.text import parse;"
        "p = parse('def train(g, lr):\\n    update = g * lr\\n    return update', OPTIMIZER, LIBRARY);"
        "print(fingerprint(check(p, LIBRARY), LIBRARY, optimizer_probe()))"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", script],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[1])},
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(done.stdout) == SGD == behaviour("update = g * lr")


def test_other_domains_have_probes_of_their_own():
    """One tensor of points, a SCALAR output, no state and no optimizer in it."""
    interface = Interface("f", (("x", TENSOR), ("a", SCALAR)), (("y", SCALAR), ("z", TENSOR)))
    probe = Probe(Layout(((8,),)), {"x": [np.linspace(-1, 1, 8)] * 2, "a": [np.float64(2.0), np.float64(3.0)]})
    program = parse("def f(x, a):\n    z = x * a\n    y = dot(z, x)\n    return y, z", interface, LIBRARY)
    observed = observe(canonicalize(check(program, LIBRARY), LIBRARY, "float64"), LIBRARY, probe)
    assert observed is not None
    assert observed.shape == (2, 9)
    np.testing.assert_allclose(observed[1, 1:], 3.0 * np.linspace(-1, 1, 8))
    np.testing.assert_allclose(observed[1, 0], 3.0 * np.sum(np.linspace(-1, 1, 8) ** 2))


def test_a_program_without_inputs_has_a_fingerprint():
    assert fingerprint(graph("def train():\n    update = get_pi()\n    return update"), LIBRARY, PROBE) is not None


def test_a_probe_of_unequal_lengths_is_refused():
    with pytest.raises(ValueError, match="same number of steps"):
        Probe(Layout(((2,),)), {"x": [np.zeros(2)], "a": []})


@pytest.mark.parametrize("bound", [0.1, 0.3, 0.9, 1.26, 5.0])
@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
def test_a_bound_on_the_norm_of_a_momentum_shows(decay: float, bound: float) -> None:
    """Fails before the fix: momenta of the probe had norms below 1, those of training have not."""
    free = f"def train(g, m, lr):\n    m = interpolate(g, m, {decay})\n    update = m * lr\n    return update, m\n"
    clipped = free.replace("    update", f"    m = clip_by_global_norm(m, {bound})\n    update", 1)
    keys = [fingerprint(check(parse(text, OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, PROBE) for text in (free, clipped)]
    assert keys[0] != keys[1]


def test_no_value_at_the_large_gradient_is_behaviour() -> None:
    texts = [
        f"def train(g, lr):\n    x = {function}(g)\n    update = x * lr\n    return update\n"
        for function in ("arcsin", "arctanh")
    ]
    keys = [fingerprint(check(parse(text, OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, PROBE) for text in texts]
    assert None not in keys
    assert keys[0] != keys[1]


@pytest.mark.parametrize("bound", [0.01, 0.03, 0.1, 0.3, 0.84])
@pytest.mark.parametrize("rule", ["sign(g)", "cbrt(g)"])
def test_a_bound_on_the_norm_of_the_update_shows(rule: str, bound: float) -> None:
    free = f"def train(w, g, lr):\n    u = {rule}\n    update = u * lr\n    return update\n"
    clipped = free.replace("    return", f"    update = clip_by_global_norm(update, {bound})\n    return")
    keys = [fingerprint(check(parse(text, OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, PROBE) for text in (free, clipped)]
    assert keys[0] != keys[1]
