"""What all tests share."""

from hypothesis import settings

from primitives.kinds import Kind
from primitives.primitive import Vocabulary

# the first example of a test compiles or loads something: time limits for single examples only make noise
settings.register_profile("pride", settings(), deadline=None)
settings.load_profile("pride")


def _short(self: object, printer: object, cycle: bool) -> None:
    """Hypothesis writes out what a strategy is made of: names of kinds and operations, not their records."""
    del cycle
    printer.text(repr(self))  # type: ignore[attr-defined]


Kind._repr_pretty_ = Vocabulary._repr_pretty_ = _short  # type: ignore[attr-defined]
