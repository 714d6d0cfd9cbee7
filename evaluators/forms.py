"""Canonical forms of the programs of a domain."""

from evaluators.domain import Domain
from primitives.graph import Graph, check
from primitives.program import Program
from primitives.simplify import canonicalize, to_program
from primitives.text import parse, render


def canonical_graph(program: Program | str, domain: Domain) -> Graph:
    """Returns the canonical form of a program or of a program text.

    Raises:
        ProgramError: it does not check.
    """
    if isinstance(program, str):
        program = parse(program, domain.interface, domain.vocabulary)
    return canonicalize(check(program, domain.vocabulary), domain.vocabulary, domain.dtype)


def program_of(graph: Graph, domain: Domain) -> Program:
    """Returns a canonical graph as a program in the domain's own words."""
    interface = domain.interface
    outputs = tuple(name for name, _ in interface.outputs)
    return to_program(graph, outputs, interface.function, tuple(name for name, _ in interface.inputs))


def canonical_text(program: Program | str, domain: Domain) -> str:
    """Returns the text of the canonical form of a program or of a program text."""
    return render(program_of(canonical_graph(program, domain), domain), domain.vocabulary)
