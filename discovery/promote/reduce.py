"""Simplification by trial: what a program can do without.

Statement by statement it is tried whether one of the arguments can stand for the result (knock-out), then whether
algebra over the reals shortens it, then whether constants do with fewer digits. A change stays only if the program is
not significantly worse for it, on fresh seeds, than the one that all began with: so small losses do not add up.
"""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import asdict, dataclass
from math import sqrt
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from evaluators.domain import Domain
from evaluators.forms import canonical_graph, program_of
from primitives.graph import Graph
from primitives.primitive import Primitive
from primitives.program import COPY, Program, ProgramError, Statement
from primitives.reals import rewrite_over_reals
from primitives.simplify import canonical_key
from primitives.text import parse, render

BLOCK = 4
"""Replicates between two looks; the first look may refuse."""
HOPELESS = 0.3
"""Cost that two replicates tell: such a change is not looked at longer, nor tried again on a statement of that sort."""
ALPHA = 0.05
"""One-sided level at which a change counts as harmful."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A change that was tried.

    Args:
        what: what was changed, in words.
        kept: whether it stayed.
        size: operations afterwards.
        cost: mean of score before minus score after over the replicates, where "before" is the program as found.
        error: half of its 95 % t interval.
        replicates: replicates that it was judged on.
    """

    what: str
    kept: bool
    size: int
    cost: float
    error: float
    replicates: int


class Change(NamedTuple):
    """A program that differs by one change.

    Args:
        what: the change in words.
        graph: the program.
        sort: what changes have in common of which none is tried again once one of them was hopeless.
        once: whether it need not be hopeless for that: refused is enough.
    """

    what: str
    graph: Graph
    sort: Hashable = None
    once: bool = False


def reduce(
    text: str, domain: Domain, score: Callable[[str, int], float], replicates: int, margin: float
) -> dict[str, Any]:
    """Makes a program simpler as long as its score bears it.

    Args:
        text: the program.
        domain: what it is for.
        score: score of a program's text on a replicate, from 0.
        replicates: replicates that a change is judged on; a harmful one is known sooner.
        margin: mean score that all changes together may cost.

    Returns:
        `text` of what is left, its `size`, `score` before and after (means over the replicates) and `cuts`, all that
        was tried, as `Cut` has it.
    """
    trial = _Trial(domain, score, replicates, margin)
    trial.begin(canonical_graph(text, domain))
    while any(trial.accepts(change) for change in list(knock_outs(trial.graph, domain))):
        pass
    shorter = rewrite_over_reals(trial.graph, domain.vocabulary)
    if shorter.size < trial.graph.size:
        trial.accepts(Change("rewritten over the reals", shorter))
    for digits in (1, 2):
        while any(trial.accepts(change) for change in list(roundings(trial.graph, domain, digits))):
            pass
    return {
        "text": render(short_constants(program_of(trial.graph, domain), domain.dtype), domain.vocabulary),
        "size": trial.graph.size,
        "score_before": fmean(trial.original),
        "score_after": fmean(trial.scores[canonical_key(trial.graph)]),
        "cuts": [asdict(cut) for cut in trial.cuts],
    }


class _Trial:
    """The program as it stands, and what was tried."""

    def __init__(self, domain: Domain, score: Callable[[str, int], float], replicates: int, margin: float) -> None:
        self.domain, self.replicates, self.margin = domain, replicates, margin
        self._score = score
        self.scores: dict[int, list[float]] = {}
        self.cuts: list[Cut] = []
        self._hopeless: set[Hashable] = set()

    def begin(self, graph: Graph) -> None:
        self.graph = graph
        self.original = self._scored(graph, self.replicates)

    def _scored(self, graph: Graph, count: int) -> list[float]:
        known = self.scores.setdefault(canonical_key(graph), [])
        text = render(program_of(graph, self.domain), self.domain.vocabulary)
        while len(known) < count:
            known.append(self._score(text, len(known)))
        return known

    def accepts(self, change: Change) -> bool:
        """Tries a change; returns whether it stays. What was tried before is not tried again."""
        refused = self.domain.refuse(change.graph) or self.domain.fingerprint(change.graph) is None
        if refused or canonical_key(change.graph) in self.scores or change.sort in self._hopeless:
            return False
        costs: list[float] = []
        for count in (2, *range(BLOCK, self.replicates, BLOCK), self.replicates):
            scores = self._scored(change.graph, count)
            costs = [before - after for before, after in zip(self.original, scores, strict=False)]
            if min(costs) > HOPELESS and change.sort is not None:
                self._hopeless.add(change.sort)
            if min(costs) > HOPELESS or (count >= BLOCK and harmful(costs)):
                break
        kept = len(costs) == self.replicates and not harmful(costs) and fmean(costs) <= self.margin
        if not kept and change.once:
            self._hopeless.add(change.sort)
        self.cuts.append(Cut(change.what, kept, change.graph.size, fmean(costs), half_width(costs), len(costs)))
        if kept:
            self.graph = change.graph
        return kept


def harmful(costs: list[float]) -> bool:
    """Whether the mean cost is above 0 by a one-sided t-test at the level ALPHA."""
    deviation = stdev(costs)
    if deviation == 0.0:
        return costs[0] > 0.0
    return bool(stats.t.sf(fmean(costs) / (deviation / sqrt(len(costs))), len(costs) - 1) < ALPHA)


def half_width(costs: list[float]) -> float:
    """Half of the 95 % t interval of the mean."""
    return float(stats.t.ppf(0.975, len(costs) - 1) * stdev(costs) / sqrt(len(costs)))


def knock_outs(graph: Graph, domain: Domain) -> Iterator[Change]:
    """Yields the smaller programs where one statement hands on one of its arguments, the smallest first."""
    program = program_of(graph, domain)
    made = {statement.target: statement.op for statement in program.statements}
    found: list[Change] = []
    for place, (target, op, args) in enumerate(program.statements):
        if op == COPY:
            continue
        origins = tuple(made.get(arg, arg) if isinstance(arg, str) else "constant" for arg in args)
        shown = f"{target} = {_call(domain.vocabulary[op], args)}"
        for arg in dict.fromkeys(args):
            statements = list(program.statements)
            statements[place] = Statement(target, COPY, (arg,))
            smaller = _checked(Program(program.signature, tuple(statements), program.name), domain)
            if smaller is not None and smaller.size < graph.size:
                sort = (op, origins, args.index(arg))  # what the statement does, and to what
                found.append(Change(f"{shown} became {target} = {_argument(arg)}", smaller, sort))
    yield from sorted(found, key=lambda change: change.graph.size)


def roundings(graph: Graph, domain: Domain, digits: int) -> Iterator[Change]:
    """Yields the programs where one constant is rounded."""
    program = program_of(graph, domain)
    for value in graph.constants:
        short = rounded(value, digits)
        if np.dtype(domain.dtype).type(short) == np.dtype(domain.dtype).type(value):
            continue
        statements = tuple(
            Statement(target, op, tuple(short if arg == value and not isinstance(arg, str) else arg for arg in args))
            for target, op, args in program.statements
        )
        changed = _checked(Program(program.signature, statements, program.name), domain)
        if changed is not None:
            yield Change(f"{value:.6g} became {short:g}", changed, (value, short), once=True)


def rounded(value: float, digits: int) -> float:
    """Returns a constant with so many significant digits; of one from 0.5 to 1, a decay rate, those of 1 - c count."""
    if 0.5 < value < 1.0:
        return round(1.0 - float(f"{1.0 - value:.{digits}g}"), 15)
    return float(f"{value:.{digits}g}")


def short_constants(program: Program, dtype: str) -> Program:
    """Returns a program with the shortest decimals that are the same constants in `dtype`."""

    def short(arg: str | float) -> str | float:
        return arg if isinstance(arg, str) else float(str(np.dtype(dtype).type(arg)))

    statements = tuple(Statement(target, op, tuple(map(short, args))) for target, op, args in program.statements)
    return Program(program.signature, statements, program.name)


def _checked(program: Program, domain: Domain) -> Graph | None:
    """The canonical graph, or None where the check refuses the program."""
    try:
        graph = canonical_graph(program, domain)
        parse(render(program_of(graph, domain), domain.vocabulary), domain.interface, domain.vocabulary)
    except ProgramError:
        return None
    return graph


def _call(primitive: Primitive, args: tuple[str | float, ...]) -> str:
    shown = [_argument(arg) for arg in args]
    return f" {primitive.infix} ".join(shown) if primitive.infix else f"{primitive.name}({', '.join(shown)})"


def _argument(arg: str | float) -> str:
    return arg if isinstance(arg, str) else f"{arg:.4g}"
