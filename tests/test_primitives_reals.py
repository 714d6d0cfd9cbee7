"""Rewriting over the reals: every rule is an identity, programs keep their meaning and never grow."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strategies import SEARCHED, programs

from archive import library
from primitives.graph import Graph, check
from primitives.identities import RULES, Operation, Rule, Term, parse_term
from primitives.kinds import SCALAR, TENSOR
from primitives.layout import Layout
from primitives.ops import LIBRARY
from primitives.program import COPY, OPTIMIZER, Interface, Program, Statement
from primitives.reals import rewrite_over_reals
from primitives.reference import step, values, zero_state
from primitives.simplify import canonical_key, canonicalize, to_program
from primitives.text import parse, render

LAYOUT = Layout(((3, 2), (4,)))
POLYNOMIAL = LIBRARY.restricted(
    ["add", "subtract", "multiply", "max", "min", "abs", "negative", "square", "cube", "interpolate", "norm", "dot"]
)
"""Continuous everywhere and without a guarded division: rewriting may move only last bits."""
TAME = st.sampled_from((0.0, 1.0, -1.0, 0.5, 0.9, 0.1, 2.0, -0.25))


def rule_graph(body: str, state: str = "", dtype: str = "float64") -> Graph:
    lines = "".join(f"    {line.strip()}\n" for line in body.split(";"))
    tail = f", {state}" if state else ""
    program = parse(f"def train(w, g{tail}, lr):\n{lines}    return update{tail}", OPTIMIZER, LIBRARY)
    return canonicalize(check(program, LIBRARY), LIBRARY, dtype)


def text(graph: Graph) -> str:
    return render(to_program(graph, ("update",), inputs=("w", "g", "lr")), LIBRARY)


def rewritten(body: str, state: str = "") -> Graph:
    return rewrite_over_reals(rule_graph(body, state), LIBRARY)


# --- rules ------------------------------------------------------------------------------------------------------------


def variables(term: Term) -> set[str]:
    if isinstance(term, str):
        return {term}
    return set().union(*map(variables, term.args)) if isinstance(term, Operation) else set()


def evaluate(term: Term, bound: dict[str, np.ndarray]) -> np.ndarray:
    if isinstance(term, str):
        return bound[term]
    if isinstance(term, Operation):
        return np.asarray(LIBRARY[term.op].fn(np, *[evaluate(arg, bound) for arg in term.args]))
    return np.asarray(float(term))


def samples(rule: Rule) -> Iterator[dict[str, np.ndarray]]:
    """Values of the variables, away from 0, in the domains of all functions; c + d = 1 where the rule asks for it."""
    names = sorted(variables(parse_term(rule.pattern)) | variables(parse_term(rule.replacement)))
    for low, high in ((0.1, 0.9), (-0.9, -0.1), (1.1, 3.0), (-3.0, -1.1)):
        for seed in range(3):
            rng = np.random.default_rng(seed)
            bound = {name: rng.uniform(low, high, 8) for name in names}
            for name in names:
                if name in ("a", "b"):  # SCALAR where the third argument of `interpolate` is meant
                    bound[name] = bound[name][0]
                elif name in ("c", "d", "p"):
                    bound[name] = np.asarray(rng.uniform(0.1, 0.9) * (1.0 if name == "p" else rng.choice([-1.0, 1.0])))
            if rule.when is not None:
                bound["d"] = 1.0 - bound["c"]
            yield bound


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_every_rule_is_an_identity_of_the_reals(rule):
    pattern, replacement = parse_term(rule.pattern), parse_term(rule.replacement)
    tried = 0
    for bound in samples(rule):
        with np.errstate(all="ignore"):
            left, right = np.broadcast_arrays(evaluate(pattern, bound), evaluate(replacement, bound))
        defined = np.isfinite(left) & np.isfinite(right)
        tried += int(defined.sum())
        np.testing.assert_allclose(left[defined], right[defined], rtol=2e-6, atol=2e-6)
    assert tried >= 12


INTERFACE = Interface(
    function="f",
    inputs=(("x", TENSOR), ("y", TENSOR), ("z", TENSOR), ("a", SCALAR), ("b", SCALAR)),
    outputs=(("update", TENSOR),),
)
NUMBERS = {"c": 0.25, "d": 0.75, "p": 3.0}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.pattern)
def test_every_rule_is_applied(rule):
    """The program of a pattern gets smaller, less deep or cheaper, and ends where the replacement ends."""
    ends = []
    for side in rule.pattern, rule.replacement:
        term = parse_term(side)
        statements: list[Statement] = []
        last = write(term, statements)
        statements.append(Statement("update", COPY, (last,)))
        signature = INTERFACE.signature(sorted(variables(term) - NUMBERS.keys()), ["update"])
        graph = canonicalize(check(Program(signature, tuple(statements)), LIBRARY), LIBRARY, "float64")
        ends.append(rewrite_over_reals(graph, LIBRARY))
        if side == rule.pattern:
            assert canonical_key(ends[0]) != canonical_key(graph)
    assert ends[0].size == ends[1].size


def write(term: Term, statements: list[Statement]) -> str | float:
    """Adds the statements that compute a term and returns the variable or constant that holds it."""
    if isinstance(term, str):
        return NUMBERS.get(term, term)
    if not isinstance(term, Operation):
        return float(term)
    args = tuple(write(arg, statements) for arg in term.args)
    statements.append(Statement(f"v{len(statements)}", term.op, args))
    return statements[-1].target


# --- programs ---------------------------------------------------------------------------------------------------------


def test_raw_lion_shrinks_to_the_rule_that_it_is():
    """Nine operations and one moving average: sign(0.9 v + 0.1 g) with g = arcsin(clip(g)), and weight decay."""
    before = canonicalize(check(parse(library.text("raw_lion"), OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, "float32")
    after = rewrite_over_reals(before, LIBRARY)
    assert before.size == 12
    assert after.size == 9
    assert len(after.state) == 1
    ops = sorted(node.op for node in after.nodes)
    assert ops == sorted(
        ["clip_by_global_norm", "arcsin", "interpolate", "interpolate", "sign", "add", *["multiply"] * 3]
    )
    # 0.8999999761581421 * 1.109133005142212: the moving average that Lion keeps
    assert any(abs(c - 0.9982196782) < 1e-9 for c in after.constants)
    assert run(after) == pytest.approx(run(before), rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("name", library.names())
def test_known_rules_keep_their_updates(name):
    before = canonicalize(check(parse(library.text(name), OPTIMIZER, LIBRARY), LIBRARY), LIBRARY, "float32")
    after = rewrite_over_reals(before, LIBRARY)
    assert after.size <= before.size
    assert run(after) == pytest.approx(run(before), rel=1e-5, abs=1e-9)


def run(graph: Graph) -> np.ndarray:
    """Updates over five steps on random inputs, flat."""
    state, updates = zero_state(graph, LAYOUT), []
    for t in range(5):
        (update,), state = step(graph, LIBRARY, LAYOUT, draw_inputs(t), state)
        updates.append(update)
    return np.concatenate(updates)


def draw_inputs(t: int) -> dict:
    rng = np.random.default_rng(t)
    w, g = rng.normal(size=LAYOUT.size), rng.uniform(0.1, 0.9, LAYOUT.size) * rng.choice([-1.0, 1.0], LAYOUT.size)
    found = {"w": w, "g": g, "lr": np.float64(rng.uniform(0.01, 0.5)), "t": np.float64(t + 1)}
    more = {"value": np.float64(rng.uniform(0.5, 2.0)), "noise": rng.normal(size=LAYOUT.size)}
    return {**found, **more, "hessian_diagonal": rng.uniform(0.1, 0.9, LAYOUT.size)}


@settings(max_examples=150)
@given(programs(POLYNOMIAL, SEARCHED, constants=TAME))
def test_continuous_programs_keep_their_updates(program):
    before = canonicalize(check(program, LIBRARY), LIBRARY, "float64")
    after = rewrite_over_reals(before, LIBRARY)
    assert after.size <= before.size
    # the largest number on the way bounds what a cancellation may leave
    scale, state = 1.0, zero_state(before, LAYOUT)
    for t in range(5):
        every, _, state = values(before, LIBRARY, LAYOUT, draw_inputs(t), state)
        scale = max(scale, *(float(np.max(np.abs(x))) for x in every))
    assume(scale < 1e6)
    # a last bit of the largest number passes through at most a few products of that size
    np.testing.assert_allclose(run(after), run(before), rtol=1e-6, atol=1e-15 * scale**2)


@settings(max_examples=150)
@given(programs(LIBRARY, OPTIMIZER, constants=TAME))
def test_what_comes_out_is_a_program_that_no_rule_shrinks(program):
    before = canonicalize(check(program, LIBRARY), LIBRARY, "float64")
    after = rewrite_over_reals(check(program, LIBRARY), LIBRARY)
    assert after.size <= before.size
    assert len(after.state) <= len(before.state)
    again = check(parse(text(after), OPTIMIZER, LIBRARY), LIBRARY)
    assert canonical_key(canonicalize(again, LIBRARY, "float64")) == canonical_key(after)
    assert canonical_key(rewrite_over_reals(after, LIBRARY)) == canonical_key(after)


def test_functions_of_tensors_are_not_folded():
    """The Gram matrix of a number is none of a tensor filled with it, and no number."""
    graph = rule_graph("a = gram_left(0.0);update = tensor_sum(a)")
    assert [node.op for node in rewrite_over_reals(graph, LIBRARY).nodes] == ["gram_left", "tensor_sum"]


def test_constants_are_folded():
    graph = rewritten("a = sqrt(0.25); b = get_pi(); c = a * b; d = c + lr; e = d + 1.0; update = g * e")
    assert graph.size == 2
    assert graph.constants == pytest.approx((0.5 * np.pi + 1.0,))


def test_a_constant_that_is_not_finite_is_not_folded():
    assert rewritten("a = exp(1e4); update = g * a").size == 2


def test_a_difference_that_is_zero_stays_a_tensor_under_a_reduction():
    """x - x is the number 0 where entries are all that counts, but exp(0) has another norm as a tensor."""
    assert rewritten("x = g - g; update = w + x").size == 0
    body = "x = g - g; y = exp(x); n = norm(y); update = w * n"
    np.testing.assert_allclose(run(rewritten(body)), run(rule_graph(body)))


def test_state_of_a_written_out_average_becomes_a_blend():
    graph = rewritten("a = m * 0.9; b = g * 0.1; m = a + b; update = m * lr", "m")
    assert [node.op for node in graph.nodes] == ["interpolate", "multiply"]
    assert "interpolate" not in text(rewritten("a = m * 0.9; b = g * 0.2; m = a + b; update = m * lr", "m"))


def test_rules_keep_to_the_vocabulary():
    small = LIBRARY.restricted(["multiply", "sqrt", "square", "guarded_divide"])
    body = "a = square(g)\n    b = sqrt(a)\n    update = g / b"
    program = parse(f"def train(g):\n    {body}\n    return update", OPTIMIZER, small)
    graph = rewrite_over_reals(check(program, small), small)
    assert graph.size == 3  # neither abs nor sign is there
    assert rewrite_over_reals(check(program, LIBRARY), LIBRARY).size == 1


def test_the_text_of_a_rule_names_known_functions():
    for rule in RULES:
        for side in rule.pattern, rule.replacement:
            assert names(parse_term(side)) <= set(LIBRARY)


def names(term: Term) -> set[str]:
    return {term.op}.union(*map(names, term.args)) if isinstance(term, Operation) else set()
