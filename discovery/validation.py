"""The validation curve: the best program so far, judged on larger tasks that breeding never sees.

A search fits its small tasks: from some batch on its score goes on rising while larger tasks get worse
(meta-overfitting). After every batch whose number is a multiple of `validation.every` the best of what is bred from is
chosen. A worker judges it while the search goes on, and its figure is recorded `every` batches later, just before the
next is chosen: so no worker waits for it, as long as it takes less than that, and no timing matters.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from archive.elite import Elite
from archive.evaluation import Evaluation, Status
from discovery.config import Config
from evaluators.domain import Domain, Evaluator

FIGURE = "validation"
"""Key in the store's `meta` of the figure that came last: it comes between two merges, and a kill must not lose it."""


@dataclass(frozen=True, slots=True)
class Point:
    """A point of the curve.

    Args:
        batch: the batch after which the program was the best.
        candidates: candidates bred until then.
        program: its id.
        behaviour: whose figure it is; what has been judged once is not judged again.
        score: its score in the search, at that time.
        status: how its evaluation on the larger tasks ended; None while it is under way.
        validation: its score there; None unless the status is OK.
        message: one line for a person, where something went wrong.
    """

    batch: int
    candidates: int
    program: int
    behaviour: int
    score: float
    status: str | None = None
    validation: float | None = None
    message: str = ""


class Curve:
    """The points so far, the one under way, and whether the search overfits.

    It overfits where the last `patience` programs of the population that is bred from brought no new best validation
    score. A program that was judged before tells nothing new, a fault of the machine nothing at all: neither counts.

    Args:
        config: configuration of the run.
    """

    def __init__(self, config: Config) -> None:
        self._options, self._lag = config.validation, config.lag
        self.points: tuple[Point, ...] = ()
        self.under_way: Point | None = None
        self.last: int | None = None
        """The batch that the run ends with, once the curve has ended it."""
        self._first = 0  # points of earlier batches are of an older population
        self._steps = 0  # that the judgement of the point under way took
        self._judged: dict[int, Point] = {}
        self._seen: set[int] = set()  # behaviours of this population's points
        self._record: float | None = None  # its best validation score
        self._waited = 0  # programs since

    def is_turn(self, batch: int) -> bool:
        """Whether the merge of a batch records a point and chooses the next."""
        every = self._options.every
        return every is not None and batch % every == 0 and self.last is None

    # --- the point under way -------------------------------------------------------------------------------------

    def to_judge(self) -> Point | None:
        """Returns the point that a worker must judge, if there is one."""
        point = self.under_way
        return None if point is None or point.status is not None else point

    def receive(self, batch: int, figure: Sequence[Any]) -> None:
        """Takes the figure of the point of a batch (status, score, message, steps), unless it is not under way."""
        if self.under_way is not None and self.under_way.batch == batch:
            status, score, message, self._steps = figure
            self.under_way = replace(self.under_way, status=status, validation=score, message=message)

    def record(self) -> tuple[Point, int] | None:
        """Makes the point under way one of the curve; returns it and the steps that it took."""
        point = self.under_way
        if point is None:
            return None
        steps, self.under_way, self._steps = self._steps, None, 0
        self.points = (*self.points, point)
        self._observe(point)
        return point, steps

    def choose(self, batch: int, candidates: int, elite: Elite | None) -> None:
        """Puts the best elite under way; a behaviour that is known has its figure at once."""
        if elite is None or self.last is not None:
            return
        self._put(Point(batch, candidates, elite.id, elite.behaviour, elite.mean))

    def _put(self, point: Point) -> None:
        known = self._judged.get(point.behaviour)
        self.under_way, self._steps = point, 0
        if known is not None:
            self.under_way = replace(point, status=known.status, validation=known.validation, message=known.message)

    def _observe(self, point: Point) -> None:
        if point.status == Status.FAULT:
            return
        self._judged.setdefault(point.behaviour, point)
        if point.batch < self._first or point.behaviour in self._seen:
            return
        self._seen.add(point.behaviour)
        if point.validation is not None and (self._record is None or point.validation > self._record):
            self._record, self._waited = point.validation, 0
        else:
            self._waited += 1

    # --- what it tells -------------------------------------------------------------------------------------------

    @property
    def known(self) -> tuple[Point, ...]:
        """The points whose figure is known, the last one also where its merge is still to come."""
        point = self.under_way
        return self.points if point is None or point.status is None else (*self.points, point)

    @property
    def best(self) -> Point | None:
        """The point of the highest validation score, the first of several: what to promote."""
        return best_of(self.known)

    @property
    def overfits(self) -> bool:
        """Whether the search has passed the best of the curve: it rises on its own tasks alone."""
        return self._waited >= self._options.patience

    # --- what follows --------------------------------------------------------------------------------------------

    def end(self, batch: int) -> None:
        """Ends the run: with the batches that are planned already."""
        self.last = batch + self._lag - 1

    def begin_anew(self, batch: int) -> None:
        """A new population is bred from after a batch: patience starts anew, and older points do not count for it."""
        self._first, self._record, self._waited = batch + 1, None, 0
        self._seen.clear()

    # --- the store -----------------------------------------------------------------------------------------------

    def state(self) -> Any:
        """Returns what `restore` needs, as plain JSON data; not the figure under way, which comes when it comes."""
        point = self.under_way
        bare = None if point is None else replace(point, status=None, validation=None, message="")
        return {
            "points": [list(asdict(one).values()) for one in self.points],
            "under_way": None if bare is None else list(asdict(bare).values()),
            "first": self._first,
            "last": self.last,
        }

    def restore(self, state: Any, figure: Sequence[Any] | None) -> None:
        """Takes back what `state` gave, and the figure that came last: batch, status, score, message, steps."""
        self._first, self.last = state["first"], state["last"]
        self.points = tuple(Point(*one) for one in state["points"])
        for point in self.points:
            self._observe(point)
        if state["under_way"] is not None:
            self._put(Point(*state["under_way"]))
        if figure is not None and self.to_judge() is not None:
            self.receive(figure[0], figure[1:])


def best_of(points: Sequence[Point]) -> Point | None:
    """Returns the point of the highest validation score, the first of several; None where none has one."""
    return max((p for p in points if p.validation is not None), key=lambda p: p.validation or 0.0, default=None)


def figure_of(evaluation: Evaluation) -> tuple[str, float | None, str, int]:
    """Returns what `Curve.receive` takes of an evaluation."""
    score = evaluation.score if evaluation.status is Status.OK else None
    return evaluation.status.value, score, evaluation.message, evaluation.steps


def validator(config: Config, domain: Domain) -> Callable[[Any, str | None], Evaluator] | None:
    """Returns what makes the domain's judge of larger tasks; None where the configuration asks for no validation.

    Raises:
        ValueError: it does, and the domain has none.
    """
    if config.validation.every is None:
        return None
    if domain.validator is None:
        raise ValueError(
            f"validation.every must be null where a domain has no larger tasks, got {config.validation.every} "
            f"for {config.domain!r}; leave it out, or give the domain a validator"
        )
    return domain.validator
