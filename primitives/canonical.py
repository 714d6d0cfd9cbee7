"""Canonical forms of programs, remembered: breeding asks for those of a parent and of children much like it."""

from collections import OrderedDict
from typing import NamedTuple

from primitives.graph import Graph, check_kinds, frame_of
from primitives.primitive import Vocabulary
from primitives.program import Program
from primitives.simplify import canonical_form, canonical_key, live_statements


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
        self._of_program: OrderedDict[int, tuple[Program, Canonical]] = OrderedDict()
        self._of_live: OrderedDict[tuple, Canonical] = OrderedDict()

    def __call__(self, program: Program) -> Canonical:
        """Returns the canonical form.

        Raises:
            ProgramError: the static check refuses the program, or a constant is not finite in `dtype`.
        """
        held = self._of_program.get(id(program))
        if held is None:
            held = self._of_program[id(program)] = (program, self._find(program))
            self._forget(self._of_program)
        else:
            self._of_program.move_to_end(id(program))  # a parent outlives its many children
        return held[1]

    def key(self, program: Program) -> int:
        """Returns the canonical key; errors as for the form."""
        return self(program).key

    def _find(self, program: Program) -> Canonical:
        check_kinds(program, self._vocabulary, self._max_statements)
        frame = frame_of(program.signature)
        live = live_statements(frame, program.statements)
        # 0.0 and -0.0 compare equal; their texts do not
        zeros = tuple([str(arg) for _, _, args in live.statements if 0.0 in args for arg in args if arg == 0.0])
        key = (frame, live.statements, zeros)
        found = self._of_live.get(key)
        if found is None:
            form = canonical_form(frame, live, self._vocabulary, self._dtype)
            found = self._of_live[key] = Canonical(form, canonical_key(form))
            self._forget(self._of_live)
        else:
            self._of_live.move_to_end(key)
        return found

    def _forget(self, known: OrderedDict) -> None:
        if len(known) > self._remembered:
            known.popitem(last=False)
