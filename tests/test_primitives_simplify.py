"""Law 3: canonicalizing never changes a bit of meaning; and what must not matter for the canonical key."""

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from archive.library import names, text
from primitives.fingerprint import fingerprint, observe, optimizer_probe
from primitives.graph import Graph, check
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, Program, ProgramError, Signature, Statement
from primitives.simplify import canonical_key, canonicalize, to_program
from primitives.text import parse, render
from tests.strategies import programs

FINITE = st.floats(-4.0, 4.0)
ANY = st.one_of(
    st.sampled_from((0.9, 0.0, -0.0, 1.0, -1.0)), FINITE, st.floats(width=32, allow_nan=False, allow_infinity=False)
)
PROGRAMS = programs(LIBRARY, OPTIMIZER, constants=ANY)
TAME = programs(LIBRARY, OPTIMIZER, constants=FINITE)


def canonical(program: Program) -> Graph:
    return canonicalize(check(program, LIBRARY), LIBRARY, "float32")


def key(source: str | Program) -> int:
    return canonical_key(canonical(parse(source, OPTIMIZER, LIBRARY) if isinstance(source, str) else source))


def rounded(graph: Graph) -> Graph:
    """The graph with its constants as they execute."""
    return replace(graph, constants=tuple(float(np.float32(c)) for c in graph.constants))


def behaviour(graph: Graph) -> np.ndarray | None:
    return observe(graph, LIBRARY, optimizer_probe())


@given(PROGRAMS)
def test_canonical_form_behaves_to_the_bit_as_the_program(program):
    form = canonical(program)
    before, after = behaviour(rounded(check(program, LIBRARY))), behaviour(form)
    assert (before is None) == (after is None)
    if before is not None and after is not None:
        np.testing.assert_array_equal(before, after)


@given(PROGRAMS)
def test_canonical_form_is_a_fixpoint(program):
    form = canonical(program)
    again = canonicalize(form, LIBRARY, "float32")
    assert canonical_key(again) == canonical_key(form)
    assert again == form


@given(PROGRAMS)
def test_canonical_form_as_text_is_the_same_program(program):
    form = canonical(program)
    written = render(to_program(form, ("update",), inputs=("w", "g", "lr", "t")), LIBRARY)
    assert key(written) == canonical_key(form)


@given(PROGRAMS)
def test_canonical_form_is_never_larger(program):
    lowered, form = check(program, LIBRARY), canonical(program)
    assert form.size <= lowered.size
    assert len(form.state) <= len(lowered.state)


@given(TAME, st.randoms(use_true_random=False))
def test_names_order_and_operands_do_not_matter(program, random):
    assert key(disguise(program, random)) == key(program)


@given(TAME, st.randoms(use_true_random=False))
def test_dead_code_does_not_matter(program, random):
    place = random.randint(0, len(program.statements))
    dead = Statement("nothing_reads_this", "cos", (0.5,))
    statements = (*program.statements[:place], dead, *program.statements[place:])
    assert key(Program(program.signature, statements)) == key(program)


def disguise(program: Program, random: random.Random) -> Program:
    """The same program under other names, other names of state, other operand order, another order of statements."""
    graph = check(program, LIBRARY)
    # single assignment, so that statements may change places as long as values come before their use
    statements = list(to_program(graph, ("update",), inputs=OPTIMIZER_INPUTS).statements)
    assume(len({s.target for s in statements}) == len(statements))
    state = program.signature.state
    assume(not set(state) & {s.target for s in statements[:-1]} or not state)
    last = [s for s in statements if s.target in state]  # behind all that reads the old value
    statements = [s for s in statements if s.target not in state]
    random.shuffle(statements)
    statements += last
    known = {name for name, _ in program.signature.inputs} | set(graph.inputs)
    ordered: list[Statement] = []
    while statements:
        ready = next(s for s in statements if all(not isinstance(a, str) or a in known for a in s.args))
        assert ready.target not in state or all(s.target in state for s in statements)
        statements.remove(ready)
        known.add(ready.target)
        args = ready.args
        if ready.op in LIBRARY and LIBRARY[ready.op].commutative and random.random() < 0.5:
            args = (args[1], args[0])
        ordered.append(Statement(ready.target, ready.op, args))
    fresh = {name: f"other_{i}" for i, name in enumerate({s.target for s in ordered} - {"update"} - set(state))}
    fresh |= {name: f"kept_{len(state) - i}" for i, name in enumerate(state)}

    def renamed(argument):
        return fresh.get(argument, argument) if isinstance(argument, str) else argument

    ordered = [Statement(renamed(t), op, tuple(map(renamed, args))) for t, op, args in ordered]
    kinds = dict(program.signature.inputs)
    data = [(name, kind) for name, kind in program.signature.inputs if name not in state]
    held = [(fresh[name], kinds[name]) for name in reversed(state)]
    outputs = [program.signature.outputs[0], *held]
    return Program(Signature((*data, *held), tuple(outputs)), tuple(ordered))


OPTIMIZER_INPUTS = tuple(name for name, _ in OPTIMIZER.inputs)


def rule(body: str, state: str = "m, v") -> str:
    lines = "\n".join(f"    {line.strip()}" for line in body.strip().splitlines())
    return f"def train(w, g, {state}, lr):\n{lines}\n    return update, {state}\n"


def test_raw_lion_shrinks_to_twelve_statements_and_one_buffer():
    program = parse(text("raw_lion"), OPTIMIZER, LIBRARY)
    form = canonical(program)
    assert form.size <= 12
    assert len(form.state) == 1
    probe = optimizer_probe()
    raw = rounded(check(program, LIBRARY))
    assert fingerprint(form, LIBRARY, probe) == fingerprint(raw, LIBRARY, probe) is not None


def test_state_that_only_feeds_itself_is_dead():
    assert key(rule("m = m + g\nupdate = g * lr")) == key("def train(g, lr):\n    update = g * lr\n    return update")


def test_state_read_only_after_it_is_written_is_no_state():
    body = "m = g * 0.5\nupdate = m * lr"
    assert len(canonical(parse(rule(body), OPTIMIZER, LIBRARY)).state) == 0


def test_equal_state_variables_merge():
    twice = "m = interpolate(g, m, 0.9)\nv = interpolate(g, v, 0.9)\nupdate = m * v"
    once = "m = interpolate(g, m, 0.9)\nupdate = square(m)"
    assert key(rule(twice)) == key(rule(once))


def test_state_variables_that_exchange_equal_values_merge():
    crossed = "a = v + g\nv = m + g\nm = a + 0.0\nm = v * 1.0\nupdate = v * m"
    assert len(canonical(parse(rule(crossed), OPTIMIZER, LIBRARY)).state) == 1


def test_state_with_different_rates_stays_apart():
    body = "m = interpolate(g, m, 0.9)\nv = interpolate(g, v, 0.99)\nupdate = m * v"
    assert len(canonical(parse(rule(body), OPTIMIZER, LIBRARY)).state) == 2


def test_state_that_is_never_written_is_zero():
    assert key(rule("update = m + g", "m")) == key("def train(g, lr):\n    update = 0.0 + g\n    return update")


def test_state_that_is_never_written_stays_where_a_norm_sees_its_size():
    body = "a = m + 1.0\na = norm(a)\nupdate = g * a"
    assert len(canonical(parse(rule(body, "m"), OPTIMIZER, LIBRARY)).state) == 1


def test_exchanged_state_survives_as_text():
    body = "a = m * 1.0\nm = v + g\nv = a * 1.0\nupdate = m * lr"
    form = canonical(parse(rule(body), OPTIMIZER, LIBRARY))
    written = render(to_program(form, ("update",), inputs=OPTIMIZER_INPUTS), LIBRARY)
    assert key(written) == canonical_key(form)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("update = g * g", "update = square(g)"),
        ("update = g - 0.5", "update = g + -0.5"),
        ("a = negative(lr)\nupdate = g - a", "update = g + lr"),
        ("a = negative(g)\nupdate = lr + a", "update = lr - g"),
        ("update = g * 1.0", "update = abs(g)\nupdate = g * 1.0"),
        ("a = abs(g)\nupdate = sqrt(a)", "update = sqrt(g)"),
        ("a = negative(g)\na = norm(a)\nupdate = g * a", "a = norm(g)\nupdate = a * g"),
        ("a = sign(g)\nupdate = sign(a)", "update = sign(g)"),
        ("a = g * 1.0\nb = negative(0.5)\nupdate = a + b", "update = g - 0.5"),
        ("a = square(g)\nupdate = abs(a)", "update = g * g"),
        ("a = sqrt(-0.5)\nupdate = g * a", "a = sqrt(0.5)\nupdate = g * a"),
        ("a = norm(-0.0)\nupdate = g + a", "a = norm(0.0)\nupdate = g + a"),
        ("a = negative(m)\na = abs(a)\nupdate = g + a", "a = abs(m)\nupdate = g + a"),  # m is 0 for ever
        ("update = g * 0.1", "update = g * 0.10000000149011612"),
        ("a = negative(g)\nupdate = a - 0.5", "update = -0.5 - g"),
        ("a = negative(g)\nb = negative(w)\nupdate = a - b", "update = w - g"),
        ("a = negative(g)\nb = negative(w)\nupdate = a + b", "a = negative(g)\nb = negative(w)\nupdate = b + a"),
    ],
)
def test_exact_identities(one, other):
    assert key(rule(one)) == key(rule(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a = g - g\nupdate = g + a", "update = g + 0.0"),  # inf - inf is NaN
        ("a = g * 0.0\nupdate = g + a", "update = g + 0.0"),  # inf * 0 is NaN
        ("update = g - lr", "update = lr - g"),
        ("update = g / lr", "update = lr / g"),
        ("update = g * 0.5", "update = g * 0.25"),
        ("a = g + lr\nupdate = a + w", "a = lr + w\nupdate = g + a"),  # addition does not associate
        ("update = interpolate(g, m, 0.9)\nm = g * 1.0", "update = interpolate(m, g, 0.9)\nm = g * 1.0"),
    ],
)
def test_what_differs_by_a_bit_stays_apart(one, other):
    assert key(rule(one)) != key(rule(other))


def test_state_that_differs_by_constants_that_python_hashes_alike_stays_apart():
    assert hash(-1.0) == hash(-2.0)
    text = rule("a = m - v\nm = g - 1.0\nv = g - 2.0\nupdate = a + g")
    form = canonical(parse(text, OPTIMIZER, LIBRARY))
    assert len(form.state) == 2


def test_a_constant_too_large_for_the_type_is_refused():
    program = parse(rule("update = g * 1e39"), OPTIMIZER, LIBRARY)
    with pytest.raises(ProgramError, match="finite in float32"):
        canonicalize(check(program, LIBRARY), LIBRARY, "float32")


@pytest.mark.parametrize("name", names())
def test_library_programs_keep_their_fingerprint(name):
    program = parse(text(name), OPTIMIZER, LIBRARY)
    probe = optimizer_probe()
    raw = rounded(check(program, LIBRARY))
    assert fingerprint(canonical(program), LIBRARY, probe) == fingerprint(raw, LIBRARY, probe) is not None
