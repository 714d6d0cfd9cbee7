"""Bounds of values hold for whatever a program computes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import LAYOUT, draw_inputs
from strategies import programs

from archive import library
from primitives.card import Card, Interval
from primitives.emit import emit_torch
from primitives.emit.ranges import bounds
from primitives.graph import check
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, with_open
from primitives.reference import values, zero_state
from primitives.simplify import canonicalize
from primitives.text import parse

GIVEN = {"lr": Interval.parse("[0, inf)"), "t": Interval.parse("[1, inf)")}


@settings(max_examples=400)
@given(programs(LIBRARY, OPTIMIZER), st.integers(0, 3))
def test_no_value_leaves_its_bounds(program, seed):
    """NaN aside; a bound from 0 up leaves no -0 either. Rounding may pass an end by a few units in the last place."""
    graph = canonicalize(check(program, LIBRARY), LIBRARY, "float64")
    ends, state = bounds(graph, GIVEN), zero_state(graph, LAYOUT)
    for row in draw_inputs(seed):
        with np.errstate(all="ignore"):
            found, _, state = values(graph, LIBRARY, LAYOUT, {name: row[name] for name in graph.inputs}, state)
        for value, (low, high) in zip(found, ends, strict=True):
            known = np.asarray(value)[~np.isnan(value)]
            assert (known >= low - 1e-12 * abs(low)).all()
            assert (known <= high + 1e-12 * abs(high)).all()
            if low >= 0.0:
                assert not np.signbit(known).any()


def test_what_people_know_of_adam_is_found():
    entry = library.load("adamw")
    names = [one.name for one in entry.card.hyperparameters]
    graph = canonicalize(check(with_open(entry.program, names), LIBRARY), LIBRARY, "float64")
    given = GIVEN | {one.name: one.range for one in entry.card.hyperparameters}
    ends = dict(zip([node.op for node in graph.nodes], bounds(graph, given)[graph.first_node :], strict=True))
    assert ends["sqrt"][0] >= 0.0
    assert ends["square"][0] >= 0.0
    assert ends["subtract"] == (0.0, 1.0)
    source = entry.source("torch")
    assert "where" not in source
    assert "abs" not in source
    assert "torch.sqrt(v_hat, out=v_hat)" in source


def test_a_falling_power_of_the_steps_is_at_most_1():
    text = "a = power(t, -0.8)\n    b = 1.0 - a\n    b = sqrt(b)\n    update = g * b"
    program = parse(f"def train(g, t):\n    {text}\n    return update\n", OPTIMIZER, LIBRARY)
    assert "torch.abs" not in emit_torch(program, LIBRARY, Card("rule"))


def test_what_a_remainder_and_a_sum_leave_is_not_negative():
    text = "a = remainder(t, 10.0)\n    b = square(g)\n    b = tensor_sum(b)\n    a = a + b\n    update = sqrt(a)"
    program = parse(f"def train(g, t):\n    {text}\n    return update\n", OPTIMIZER, LIBRARY)
    assert "torch.abs" not in emit_torch(program, LIBRARY, Card("rule"))


def test_a_negative_zero_is_no_positive_zero():
    program = parse("def train(g):\n    update = g * -0.0\n    return update\n", OPTIMIZER, LIBRARY)
    graph = canonicalize(check(program, LIBRARY), LIBRARY, "float64")
    assert all(low < 0.0 for low, _ in bounds(graph, GIVEN))


def test_rounding_does_not_break_a_bound():
    """In float64 z is never below 0; in float32 it is, so the guard must stay."""
    text = "a = max(g, 0.96)\n    b = a * 36.0\n    z = b - 34.56\n    update = sqrt(z)"
    program = parse(f"def train(g):\n    {text}\n    return update\n", OPTIMIZER, LIBRARY)
    assert "torch.abs" in emit_torch(program, LIBRARY, Card("rule"))


def test_the_larger_of_a_zero_and_minus_zero_may_be_either():
    program = parse(
        "def train(g):\n    a = max(g, 0.0)\n    update = divide(1.0, a)\n    return update\n", OPTIMIZER, LIBRARY
    )
    assert "where" in emit_torch(program, LIBRARY, Card("rule"))
