"""Canonical forms of programs, remembered: breeding asks for those of a parent and of children much like it."""

from typing import NamedTuple

from primitives.graph import Graph, check
from primitives.primitive import Vocabulary
from primitives.program import Program, Statement
from primitives.simplify import canonical_key, canonicalize


class Canonical(NamedTuple):
    """A canonical graph and its key."""

    graph: Graph
    key: int


class Canonicalizer:
    """Finds canonical forms and remembers the last ones.

    It remembers them twice. By program (the object): a proposer asks for the key of a parent that was chosen before,
    and the worker for the form of the child that it got. By live statements: many mutations change dead code only, and
    to see that costs a tenth of a canonical form.

    Args:
        vocabulary: primitives that programs may use.
        dtype: what constants are rounded to.
        max_statements: most statements a program may have.
        remembered: number of forms to remember in each way.
    """

    def __init__(
        self, vocabulary: Vocabulary, dtype: str, max_statements: int = 1_000, remembered: int = 1_024
    ) -> None:
        self._vocabulary = vocabulary
        self._dtype = dtype
        self._max_statements = max_statements
        self._remembered = remembered
        # by identity: programs that compare equal can differ, for 0.0 == -0.0; an object that is held keeps its id
        self._of_program: dict[int, tuple[Program, Canonical]] = {}
        self._of_live: dict[tuple, Canonical] = {}

    def __call__(self, program: Program) -> Canonical:
        """Returns the canonical form.

        Raises:
            ProgramError: the static check refuses the program, or a constant is not finite in `dtype`.
        """
        held = self._of_program.get(id(program))
        if held is None:
            held = self._of_program[id(program)] = (program, self._find(program))
            self._forget(self._of_program)
        return held[1]

    def key(self, program: Program) -> int:
        """Returns the canonical key; errors as for the form."""
        return self(program).key

    def _find(self, program: Program) -> Canonical:
        graph = check(program, self._vocabulary, self._max_statements)
        live = live_statements(program)
        # the text of the constants tells apart what compares equal, 0.0 and -0.0
        constants = repr([arg for _, _, args in live for arg in args if not isinstance(arg, str)])
        key = (program.signature, live, constants)
        found = self._of_live.get(key)
        if found is None:
            form = canonicalize(graph, self._vocabulary, self._dtype)
            found = self._of_live[key] = Canonical(form, canonical_key(form))
            self._forget(self._of_live)
        return found

    def _forget(self, known: dict) -> None:
        if len(known) > self._remembered:
            del known[next(iter(known))]  # the oldest


def live_statements(program: Program) -> tuple[Statement, ...]:
    """Returns the statements that the outputs need, now or at a later step, last one first.

    State is needed where a needed statement reads its old value, so the backward pass is repeated until no more is.
    """
    state = set(program.signature.state)
    outputs = {name for name, _ in program.signature.outputs} - state
    held: set[str | float] = set()
    while True:
        wanted: set[str | float] = outputs | held
        live = []
        for statement in reversed(program.statements):
            target, _, args = statement
            if target in wanted:
                wanted.discard(target)
                wanted.update(args)  # constants too: they match no name
                live.append(statement)
        before, held = held, held | (wanted & state)
        if len(held) == len(before):
            return tuple(live)
