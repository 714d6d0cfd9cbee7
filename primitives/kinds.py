"""Kinds: the types of the values in a program.

A value of a lower kind lifts to a higher one by broadcasting, but only where both meet:

    SCALAR < LEAF < ROW, COLUMN < TENSOR        LEAF < LEFT, RIGHT

What has no common kind above, such as a square matrix and a tensor, meets only in primitives that say what they do
with the two.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """The type of a value; compared by identity, so make one with `kind_named`.

    Args:
        name: unique name, upper case.
        lower: every kind whose values lift to this one.
    """

    name: str
    lower: tuple["Kind", ...] = ()

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[object, tuple[str, tuple["Kind", ...]]]:
        return kind_named, (self.name, self.lower)


_KINDS: dict[str, Kind] = {}


def kind_named(name: str, lower: tuple[Kind, ...] = ()) -> Kind:
    """Returns the kind of that name: one object a kind, in every process, also after pickling.

    Args:
        name: its name.
        lower: every kind whose values lift to it; of a kind that is known they stay what they are.
    """
    return _KINDS.setdefault(name, Kind(name, lower))


SCALAR = kind_named("SCALAR")
"""One value for the model."""
LEAF = kind_named("LEAF", (SCALAR,))
"""One value for each parameter tensor."""
ROW = kind_named("ROW", (SCALAR, LEAF))
"""One value for each index of a tensor's first axis: the rows of a matrix, the entries of a vector."""
COLUMN = kind_named("COLUMN", (SCALAR, LEAF))
"""One value for each index of a tensor's other axes: the columns of a matrix, one for a vector."""
TENSOR = kind_named("TENSOR", (SCALAR, LEAF, ROW, COLUMN))
"""One value for each parameter."""
LEFT = kind_named("LEFT", (SCALAR, LEAF))
"""A square matrix on the rows of each matrix; empty for tensors that are no matrix."""
RIGHT = kind_named("RIGHT", (SCALAR, LEAF))
"""A square matrix on the columns of each matrix; empty for tensors that are no matrix."""


SMALL = frozenset((SCALAR, LEAF, ROW, COLUMN))
"""Kinds of few numbers beside the parameters; state of the others is a buffer."""


def join(kinds: Iterable[Kind]) -> Kind | None:
    """Returns the lowest kind that all given kinds lift to, or None where there is none."""
    highest: Kind | None = None
    for kind in kinds:
        if highest is None or kind is highest:
            highest = kind
        else:
            highest = _join(highest, kind)
            if highest is None:
                return None
    return highest


@lru_cache(maxsize=1024)
def _join(a: Kind, b: Kind) -> Kind | None:
    if lifts(a, b):
        return b
    if lifts(b, a):
        return a
    above = [kind for kind in _KINDS.values() if a in kind.lower and b in kind.lower]
    lowest = [kind for kind in above if not any(other in kind.lower for other in above)]
    return lowest[0] if len(lowest) == 1 else None


def lifts(kind: Kind, to: Kind) -> bool:
    """Returns whether a value of `kind` can stand where `to` is wanted."""
    return kind is to or kind in to.lower
