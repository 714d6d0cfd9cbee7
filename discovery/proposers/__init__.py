"""Proposers: how candidates are bred from parents. One file each, found by its name.

A new proposer is one file here: its pydantic options, a class with `propose`, and `PROPOSER = Factory(...)`. A
proposer of the user's own is `package.module:NAME` in the configuration.
"""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel

from evaluators.plugins import find
from primitives.primitive import Vocabulary
from primitives.program import Interface, Program, ProgramError

Key = Callable[[Program], int | None]
"""Canonical key of a program; None, or a ProgramError, where the static check refuses it."""

Accept = Callable[[Program], bool]
"""Whether a child will do."""
Change = Callable[[Program, Accept], Program | None]
"""Makes a child that is accepted, and asks about no other child after that one; None where it finds none."""


class Proposer(Protocol):
    """Breeds candidates; it holds no state, so that a child depends on its parent and its random numbers alone."""

    def propose(self, parent: Program, rng: np.random.Generator) -> Program:
        """Returns a child of `parent`, which it never changes.

        Args:
            parent: a program that the static check takes.
            rng: the candidate's own source of random numbers.
        """
        ...


@dataclass(frozen=True)
class Space:
    """What a proposer searches in; a worker makes one for a run.

    Args:
        vocabulary: primitives that programs may use.
        interface: signatures that programs may have.
        max_statements: most statements a program may have.
        key: canonical key. It is called once for each child that a proposer considers and once for the parent, so one
            that remembers its last answers spares the caller a second check of the child that it gets.
    """

    vocabulary: Vocabulary
    interface: Interface
    max_statements: int
    key: Key


@dataclass(frozen=True)
class Factory:
    """Makes a proposer.

    Args:
        options: pydantic model of the proposer's own section of the configuration.
        build: makes the proposer, given the options and the space.
    """

    options: type[BaseModel]
    build: Callable[[Any, Space], Proposer]


def names() -> tuple[str, ...]:
    """Returns the names of the built-in proposers: the modules beside this file."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Factory:
    """Returns the `PROPOSER` of `discovery.proposers.<name>`, or what `package.module:NAME` names.

    Raises:
        ValueError: there is no such proposer.
    """
    found = find("proposer", name, __name__, names())
    if not isinstance(found, Factory):
        raise ValueError(f"{name!r} must be a Factory, got {type(found).__name__}; name the PROPOSER object")
    return found


def until_changed(parent: Program, change: Change, key: Key, attempts: int, drift: bool) -> Program:
    """Changes a program until its canonical key differs from the parent's.

    Args:
        parent: where the changes start.
        change: makes a child.
        key: canonical key.
        attempts: children taken at most.
        drift: True goes on from the last child, so that what made no difference stays in the genotype (a stepping
            stone); False starts from the parent each time.

    Returns:
        The first child whose key differs; where no attempt gave one, the last child; the parent where there was none.
    """
    before = key_or_none(key, parent)
    after: int | None = None

    def accept(child: Program) -> bool:
        nonlocal after
        after = key_or_none(key, child)
        return after is not None

    last = parent
    for _ in range(attempts):
        child = change(last if drift else parent, accept)
        if child is None:
            continue
        last = child
        if after != before:
            break
    return last


def key_or_none(key: Key, program: Program) -> int | None:
    """Returns the key, or None also where `key` raises a ProgramError."""
    try:
        return key(program)
    except ProgramError:
        return None
