"""A card: what a rule of the library says of itself beside its program."""

import re
from dataclasses import dataclass
from math import inf

_INTERVAL = re.compile(r"([\[(])\s*([^,\s]+)\s*,\s*([^,\s]+)\s*([\])])")


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval of real numbers, written as in mathematics: `[0, 1)`, `(0, inf)`.

    Args:
        low: left end.
        high: right end.
        low_open: whether the left end is no part of it.
        high_open: the same of the right end.
    """

    low: float = -inf
    high: float = inf
    low_open: bool = True
    high_open: bool = True

    @classmethod
    def parse(cls, text: str) -> "Interval":
        """Reads `[0, 1)`.

        Raises:
            ValueError: it is no interval, or an empty one.
        """
        match = _INTERVAL.fullmatch(str(text).strip())
        problem = f"a range must be an interval such as [0, 1) or (0, inf), got {text!r}; mend it"
        try:
            low, high = float(match[2]), float(match[3])  # type: ignore[index]
        except (TypeError, ValueError):
            raise ValueError(problem) from None
        found = cls(low, high, match[1] == "(" or low == -inf, match[4] == ")" or high == inf)  # type: ignore[index]
        if not (low < high or (low == high and not found.low_open and not found.high_open)):
            raise ValueError(problem)
        return found

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.low_open else value >= self.low
        return above and (value < self.high if self.high_open else value <= self.high)

    def __str__(self) -> str:
        left, right = "[("[self.low_open], "])"[self.high_open]
        low, high = (short if float(short := f"{end:g}") == end else repr(end) for end in (self.low, self.high))
        return f"{left}{low}, {high}{right}"


@dataclass(frozen=True, slots=True)
class HyperParameter:
    """A named constant of a rule.

    Args:
        name: the variable that the program's text assigns the default to.
        default: its value where the user gives none; None where one must be given.
        range: the values that it may have.
        doc: what it is, one line; practical values too.
    """

    name: str
    default: float | None
    range: Interval
    doc: str

    def check(self, value: object) -> float:
        """Returns the value as a float.

        Raises:
            ValueError: it is no number of the range.
        """
        number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")
        if number not in self.range:
            raise ValueError(f"{self.name} must be a number in {self.range}, got {value!r}; {self.doc}")
        return number + 0.0  # no -0.0


LEARNING_RATE = HyperParameter("learning_rate", None, Interval(0.0, inf, low_open=False), "learning rate")
"""What is known of the learning rate of any rule."""


TEXTS = ("title", "summary", "mathematics", "source", "advice", "provenance", "scores", "ablation")
"""The fields of a card that are text for people."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a rule says of itself.

    Args:
        name: name in the library, a Python identifier.
        title: its name in the literature.
        summary: what it is, a phrase.
        mathematics: one step in formulas, lines of plain text; empty where the program says it as well.
        learning_rate: default and range of the learning rate.
        hyperparameters: its named constants.
        source: where it comes from.
        advice: when to use it and how to tune it.
        provenance: of a rule that was found: by which search, and how it got here.
        scores: how it did on tasks that the search never saw, with intervals.
        ablation: what it can do without, and what each of its statements is worth.
    """

    name: str
    title: str = ""
    summary: str = "an update rule found by search"
    mathematics: str = ""
    learning_rate: HyperParameter = LEARNING_RATE
    hyperparameters: tuple[HyperParameter, ...] = ()
    source: str = ""
    advice: str = ""
    provenance: str = ""
    scores: str = ""
    ablation: str = ""

    @property
    def heading(self) -> str:
        """Title and summary, a sentence."""
        return f"{self.title or self.name}: {self.summary}."
