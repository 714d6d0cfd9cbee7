"""Bounds of values hold for whatever a program computes."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import LAYOUT, draw_inputs
from strategies import programs

from archive import library
from primitives.card import Interval
from primitives.emit.ranges import bounds
from primitives.graph import check
from primitives.kinds import SCALAR
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
            assert (known >= low - 1e-12 * abs(low)).all() or (low > 0.0 and (known >= 0.0).all())
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
    assert "torch.sqrt(v_hat)" in source


def test_a_negative_zero_is_no_positive_zero():
    for text in ("a = g * 0.0\n    update = sqrt(a)", "a = negative(0.0)\n    update = sqrt(a)"):
        program = parse(
            f"def train(g, lr):\n    {text}\n    update = update + g\n    return update\n", OPTIMIZER, LIBRARY
        )
        graph = canonicalize(check(program, LIBRARY), LIBRARY, "float64")
        ends = bounds(graph, GIVEN)
        for node in graph.nodes:
            if node.op == "sqrt":
                assert ends[node.args[0]][0] < 0.0 or graph.kinds[node.args[0]] == SCALAR
