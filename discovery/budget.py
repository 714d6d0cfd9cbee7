"""Budgets: how much a run searches."""

import re
from dataclasses import dataclass
from decimal import Decimal

_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
_TIME = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True, slots=True)
class Budget:
    """How much to search: a number of candidates bred or a time, never both.

    Args:
        candidates: candidates bred since the start of the run (rounded up to whole batches); None for a time.
        seconds: seconds of work since the start of the run; None for a number. Time only decides at which batch to
            stop, so a timed run is a prefix of a longer one.
    """

    candidates: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        if self.candidates is not None:
            return str(self.candidates)
        seconds = self.seconds or 0.0
        if seconds % 1.0:
            # the shortest decimal that reads back exactly; parts would round
            return f"{Decimal(repr(seconds)):f}s"
        rest, parts = round(seconds), ""
        for unit, length in _UNITS.items():
            count, rest = divmod(rest, length)
            parts += f"{count}{unit}" if count else ""
        return parts or "0s"


def parse_budget(value: "int | float | str | Budget") -> Budget:
    """Returns the budget that a number or a text names: `20000` candidates, or a time `90s`, `5m`, `1h30m`, `2d`.

    Raises:
        ValueError: it is neither, or not above zero.
    """
    if isinstance(value, Budget):
        return value
    error = ValueError(
        f"budget must be a number of candidates (20000) or a time (90s, 5m, 1h30m, 2d), above zero, got {value!r}"
    )
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise error
    text = str(int(value) if isinstance(value, float) else value).strip().replace("_", "")
    if text.isascii() and text.isdigit() and len(text) <= 15:
        if int(text) < 1:
            raise error
        return Budget(candidates=int(text))
    match = _TIME.fullmatch(text)
    if not match or not text or len(text) > 40:
        raise error
    seconds = sum(float(n) * length for n, length in zip(match.groups(), _UNITS.values(), strict=True) if n)
    if not seconds > 0.0 or seconds > 1e10:
        raise error
    return Budget(seconds=seconds)
