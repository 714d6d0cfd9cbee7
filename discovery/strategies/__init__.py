"""Strategies: who breeds and who survives. One file each, found by its name.

A new strategy is one file here with a class that takes the section `strategy` of the configuration, and
`STRATEGY = TheClass`. A strategy of the user's own is `package.module:NAME` in the configuration.
"""

import pkgutil
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, cast, runtime_checkable

import numpy as np

from archive.grid import Grid
from discovery.config import Strategy as Options
from evaluators.plugins import find


class Scored(NamedTuple):
    """A candidate with a score, known behaviours included."""

    id: int
    score: float


@runtime_checkable
class Strategy(Protocol):
    """Chooses parents; all that it remembers goes through `state`, so that a resumed run goes on as if nothing was."""

    proposer: str | None
    """The proposer that belongs to the strategy; None takes the one of the configuration."""
    keeps_all: bool
    """Whether every scored candidate may become a parent, and not only those in the grid."""

    def parents(self, grid: Grid, starts: Sequence[int], rng: np.random.Generator, count: int) -> list[int]:
        """Returns the ids of `count` parents; `starts` are the ids of the start programs."""
        ...

    def observe(self, scored: Sequence[Scored]) -> None:
        """Takes note of a merged batch, in order of its slots."""
        ...

    def state(self) -> Any:
        """Returns what it remembers as plain JSON data."""
        ...

    def restore(self, state: Any) -> None:
        """Takes back what `state` gave."""
        ...


class Stateless:
    """What a strategy without a memory shares with the others of its sort."""

    proposer: str | None = None
    keeps_all = False

    def observe(self, scored: Sequence[Scored]) -> None:
        """Forgets."""

    def state(self) -> Any:
        """Returns None."""
        return None

    def restore(self, state: Any) -> None:
        """Has nothing to take back."""


def names() -> tuple[str, ...]:
    """Returns the names of the built-in strategies: the modules beside this file."""
    return tuple(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Callable[[Options], Strategy]:
    """Returns the `STRATEGY` of `discovery.strategies.<name>`, or what `package.module:NAME` names.

    Raises:
        ValueError: there is no such strategy.
    """
    found = find("strategy", name, __name__, names())
    if not callable(found):
        raise ValueError(f"{name!r} must make a strategy from its options, got {found!r}; name the class")
    return cast(Callable[[Options], Strategy], found)


def make(options: Options) -> Strategy:
    """Returns the strategy that the section `strategy` of the configuration asks for.

    Raises:
        ValueError: there is no such strategy, it can't be made of its options, or what is made is none.
    """
    maker = load(options.name)
    try:
        made = maker(options)
    except Exception as error:  # noqa: BLE001  (a user's class may raise anything)
        raise ValueError(
            f"a strategy must be made of its options, got {error!r} from {options.name!r}; name a class that takes them"
        ) from error
    if not isinstance(made, Strategy):
        raise ValueError(
            f"{options.name!r} must make a strategy, with all that discovery.strategies.Strategy has, "
            f"got {type(made).__name__}; name the class of one"
        )
    return made
