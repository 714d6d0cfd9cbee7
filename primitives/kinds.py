"""Kinds: the types of the values in a program.

The optimizer kinds form a chain SCALAR < LEAF < TENSOR. A value of a lower kind lifts to a higher one by
broadcasting, but only where both meet. A kind without a level (square matrices on the rows or columns of a
tensor, say) never lifts.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """The type of a value; compared by identity, so make one with `kind_named`.

    Args:
        name: unique name, upper case.
        level: place in the chain of kinds that lift into each other; None means that it never lifts.
    """

    name: str
    level: int | None = None

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[object, tuple[str, int | None]]:
        return kind_named, (self.name, self.level)


_KINDS: dict[tuple[str, int | None], Kind] = {}


def kind_named(name: str, level: int | None = None) -> Kind:
    """Returns the kind of that name and level: one object a kind, in every process, also after pickling."""
    return _KINDS.setdefault((name, level), Kind(name, level))


SCALAR = kind_named("SCALAR", 0)
"""One value for the model."""
LEAF = kind_named("LEAF", 1)
"""One value for each parameter tensor."""
TENSOR = kind_named("TENSOR", 2)
"""One value for each parameter."""


def join(kinds: Iterable[Kind]) -> Kind | None:
    """Returns the lowest kind that all given kinds lift to, or None where there is none."""
    highest: Kind | None = None
    for kind in kinds:
        if highest is None or kind is highest:
            highest = kind
        elif kind.level is None or highest.level is None:
            return None
        elif kind.level > highest.level:
            highest = kind
    return highest


def lifts(kind: Kind, to: Kind) -> bool:
    """Returns whether a value of `kind` can stand where `to` is wanted."""
    if kind is to:
        return True
    return kind.level is not None and to.level is not None and kind.level <= to.level
