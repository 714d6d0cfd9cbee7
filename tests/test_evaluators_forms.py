"""Canonical forms of a domain's programs: one for a program and its text, in the domain's own type and words."""

import pytest

from archive import library
from evaluators.domain import load
from evaluators.forms import canonical_graph, canonical_text, program_of
from primitives.program import ProgramError
from primitives.simplify import canonical_key
from primitives.text import parse, render

ROUNDED = "def train(w, g, lr):\n    update = g * {}\n    return update\n"


@pytest.mark.parametrize("name", library.names())
def test_a_program_and_its_text_have_one_form_which_is_its_own(name):
    domain = load("optimizers")
    text = library.text(name)
    graph = canonical_graph(text, domain)
    assert canonical_graph(parse(text, domain.interface, domain.vocabulary), domain) == graph
    again = canonical_text(text, domain)
    assert canonical_key(canonical_graph(again, domain)) == canonical_key(graph)
    assert canonical_text(again, domain) == again == render(program_of(graph, domain), domain.vocabulary)


def test_constants_have_the_type_of_the_domain():
    single, double = load("optimizers"), load("toy:DOMAIN")
    close = [ROUNDED.format(constant) for constant in ("0.1", "0.10000000001")]
    assert len({canonical_graph(text, single) for text in close}) == 1
    assert len({canonical_graph(text, double) for text in close}) == 2


def test_what_does_not_check_is_told():
    with pytest.raises(ProgramError, match="nosuch"):
        canonical_graph("def train(w, g, lr):\n    update = nosuch(g)\n    return update\n", load("optimizers"))
