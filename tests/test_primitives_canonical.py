"""What is remembered changes no canonical form."""

from dataclasses import replace

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from primitives import canonical as canonical_module
from primitives.canonical import Canonicalizer
from primitives.graph import Graph, check, frame_of
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, Program, ProgramError
from primitives.simplify import canonical_key, canonicalize, live_statements
from primitives.text import parse
from tests.strategies import programs

CONSTANTS = st.one_of(st.sampled_from((0.9, 0.0, -0.0, 1.0)), st.floats(-4.0, 4.0))
PROGRAMS = programs(LIBRARY, OPTIMIZER, constants=CONSTANTS)


def canonical(program: Program) -> Graph:
    return canonicalize(check(program, LIBRARY), LIBRARY, "float32")


@given(st.lists(PROGRAMS, min_size=1, max_size=4), st.integers(1, 8))
def test_a_remembered_form_is_the_form(family: list[Program], remembered: int) -> None:
    known = Canonicalizer(LIBRARY, "float32", remembered=remembered)
    for program in [*family, *family]:
        form = canonical(program)
        assert known(program) == (form, canonical_key(form))
        assert known.key(program) == canonical_key(form)


@given(PROGRAMS)
def test_statements_that_are_not_live_can_go(program: Program) -> None:
    live = live_statements(frame_of(program.signature), program.statements)
    rest = replace(program, statements=live.statements)
    try:
        check(rest, LIBRARY)
    except ProgramError:  # state that nothing needs may be left with a value of too high a kind
        reject()
    assert canonical(rest) == canonical(program)


def test_zeros_of_either_sign_are_told_apart() -> None:
    known = Canonicalizer(LIBRARY, "float32")
    text = "def train(w, g):\n    a = g / {}\n    update = arctan(a)\n    return update\n"
    both = [parse(text.format(zero), OPTIMIZER, LIBRARY) for zero in ("0.0", "-0.0")]
    assert both[0] == both[1]
    assert len({repr(known(program).graph) for program in both}) == 2
    assert len({known.key(program) for program in both}) == 2


def test_dead_code_is_checked_too() -> None:
    known = Canonicalizer(LIBRARY, "float32", max_statements=2)
    text = "def train(w, g):\n    update = sign(g)\n    return update\n"
    fine = parse(text, OPTIMIZER, LIBRARY)
    known(fine)
    for dead in (("a", "sin", ("b",)), ("a", "no_such_operation", ("g",)), ("a", "sin", (float("inf"),))):
        broken = replace(fine, statements=(type(fine.statements[0])(*dead), *fine.statements))
        with pytest.raises(ProgramError):
            known(broken)
    with pytest.raises(ProgramError, match="at most 2"):
        known(replace(fine, statements=fine.statements * 3))


def test_a_parent_outlives_its_children(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Canonicalizer(LIBRARY, "float32", remembered=3)
    text = "def train(w, g):\n    update = g * {}\n    return update\n"
    parent, *children = [parse(text.format(factor), OPTIMIZER, LIBRARY) for factor in range(2, 9)]
    found: list[Program] = []
    check_kinds = canonical_module.check_kinds
    monkeypatch.setattr(canonical_module, "check_kinds", lambda p, *rest: (found.append(p), check_kinds(p, *rest)))
    for child in children:
        known(parent)
        known(child)
    assert [id(program) for program in found] == [id(program) for program in (parent, *children)]


def test_signatures_are_told_apart() -> None:
    known = Canonicalizer(LIBRARY, "float32")
    statements = parse("def train(g, m):\n    update = g + m\n    return update, m\n", OPTIMIZER, LIBRARY).statements
    forms = set()
    for inputs, outputs in ((("g", "m"), ("update", "m")), (("g", "m", "w"), ("update", "m"))):
        program = Program(OPTIMIZER.signature(inputs, outputs), statements)
        assert known(program).graph == canonical(program)
        forms.add(known.key(program))
    assert len(forms) == 1
    written = replace(program, statements=(*statements, statements[0]._replace(target="m")))
    assert known(written).graph == canonical(written)
    assert known.key(written) not in forms
