"""Names that people mistype: the nearest of those that there are."""

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """Returns `; did you mean ...?`, or nothing where no known name is as near as `cutoff` (0 to 1, 1 is equal)."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""
