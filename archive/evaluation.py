"""What judging a program gives: a value also where the program fails."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from archive.plain import TextError, from_json, to_json
from primitives.program import Program


class Status(StrEnum):
    """How an evaluation or a candidate ended."""

    OK = "ok"
    """Judged at the last stage."""
    HURDLED = "hurdled"
    """Stopped at an early stage: its score there was below the quantile of the stage."""
    INVALID = "invalid"
    """Refused by the static check."""
    NO_OP = "no_op"
    """Can't do the domain's job whatever its constants (an update rule that never uses the gradient)."""
    NON_FINITE = "non_finite"
    """NaN or infinite on the domain's probe."""
    DIVERGED = "diverged"
    """NaN or infinite on a task at every learning rate."""
    FAULT = "fault"
    """A fault of the machine that stayed when tried again; never cached."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """Result on one task; losses are in the task's own unit.

    Args:
        score: log(baseline_loss / loss), clipped to +-2; 0 is the tuned baseline, higher is better.
        loss: the best over learning rates of the seed-mean final validation loss; None where all diverged.
        baseline_loss: the same of the tuned baseline.
        learning_rate: the learning rate of that best.
    """

    score: float
    loss: float | None
    baseline_loss: float | None = None
    learning_rate: float | None = None


class Tasks(Mapping[str, TaskResult]):
    """Results by task as the text that they travel and rest as: only people look at them, and then they are read.

    Args:
        text: JSON of the fields of each result, by task.
    """

    __slots__ = ("_read", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._read: dict[str, TaskResult] | None = None

    @classmethod
    def of(cls, results: Mapping[str, TaskResult]) -> "Tasks":
        """Returns the same results as text."""
        if isinstance(results, Tasks):
            return results
        return cls(to_json({name: (t.score, t.loss, t.baseline_loss, t.learning_rate) for name, t in results.items()}))

    def read(self) -> dict[str, TaskResult]:
        """Returns the results.

        Raises:
            ValueError: the text is damaged.
        """
        if self._read is None:
            try:
                self._read = {name: TaskResult(*result) for name, result in from_json(self.text).items()}
            except (AttributeError, TypeError) as error:  # it is JSON, but of something else
                raise TextError(f"no results by task: {error}") from None
        return self._read

    def __getitem__(self, name: str) -> TaskResult:
        return self.read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.read())

    def __len__(self) -> int:
        return len(self.read())

    def __repr__(self) -> str:
        return repr(self.read())

    def __reduce__(self) -> tuple[Any, ...]:
        return Tasks, (self.text,)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One program judged once on one replicate.

    Args:
        status: OK, HURDLED, DIVERGED or FAULT.
        score: mean of the task scores at the stage reached; None where there is none.
        stage: index of the stage reached.
        replicate: seed set.
        tasks: results by task at the stage reached.
        descriptors: dynamic descriptors (those that only running the program tells).
        stage_scores: score at every stage passed, first to last.
        steps: training steps (or whatever the domain counts its budget in) spent, summed over tasks and lanes.
        seconds: wall-clock seconds; the only field that differs between two runs of the same configuration.
        program: a refitted program that takes the candidate's place, where the domain fits constants.
        message: one line for a person, where something went wrong.
    """

    status: Status
    score: float | None
    stage: int
    replicate: int
    tasks: Mapping[str, TaskResult] = field(default_factory=dict)
    descriptors: Mapping[str, float] = field(default_factory=dict)
    stage_scores: tuple[float, ...] = ()
    steps: int = 0
    seconds: float = 0.0
    program: Program | None = None
    message: str = ""

    def __reduce__(self) -> tuple[Any, ...]:
        # Out of a pickle as it is made, a frozen dataclass with slots would come in a loop over its fields, the tasks
        # one by one: 30 us of the driver's time.
        fields = {name: getattr(self, name) for name in self.__slots__}
        return Evaluation, tuple({**fields, "tasks": Tasks.of(self.tasks)}.values())
