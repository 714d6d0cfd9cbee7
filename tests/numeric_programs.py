"""Programs x -> y for the tests of the domain of numeric functions."""

import numpy as np

from discovery.proposers import Space, load
from evaluators.forms import canonical_graph
from evaluators.numerics import DOMAIN
from primitives.graph import Graph
from primitives.program import Program
from primitives.text import parse, structural_key

WIDE = DOMAIN.vocabulary.drawing(DOMAIN.vocabulary)
"""All operations, those too that a search draws on demand only."""


def text_of(lines: str) -> str:
    """`a; b; c` as the text of a program."""
    return "\n".join(["def approximate(x):", *(f"    {line.strip()}" for line in lines.split(";")), "    return y", ""])


def program(lines: str) -> Program:
    return parse(text_of(lines), DOMAIN.interface, DOMAIN.vocabulary)


def graph(lines: str) -> Graph:
    return canonical_graph(text_of(lines), DOMAIN)


def random_program(seed: int, steps: int = 30, most: int = 16) -> Program:
    """A random walk from y = x over all operations."""
    factory = load("dataflow")
    options = factory.options(insert=4.0)
    key = lambda candidate: structural_key(candidate, WIDE)  # noqa: E731
    proposer = factory.build(options, Space(WIDE, DOMAIN.interface, most, key))
    rng = np.random.default_rng(seed)
    child = program("y = x")
    for _ in range(int(rng.integers(1, steps))):
        child = proposer.propose(child, rng)
    return child


def fifth_power(mp, x):
    """A target of the user's own: x^5."""
    return mp.mpf(x) ** 5


def with_pole(mp, x):
    """A target with a pole at 1/3."""
    return 1 / (x - mp.mpf(1) / 3)


def that_raises(mp, x):
    """A target that fails in a way of its own."""
    raise KeyError("no such table")


def line(mp, x):
    """2 x + 1, a target that a polynomial is exactly."""
    return 2 * mp.mpf(x) + 1


def reciprocal(mp, x):
    """1 / (1 + x)."""
    return 1 / (1 + mp.mpf(x))


def large(mp, x):
    """10^9 e^x."""
    return 10**9 * mp.exp(x)


NUMBER = 3
