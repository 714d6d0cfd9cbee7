"""The figures of a run as its search has them."""

from collections.abc import Mapping

from archive.cache import Layer
from discovery.progress import Progress
from discovery.search import Search

BEST = 3
"""Best elites that a run's progress tells."""


def figures(search: Search, seconds: float, seconds_by_part: Mapping[str, float], workers: int) -> Progress:
    """Returns the progress of a run; the texts of the best, the validation curve and the staff are left out.

    Args:
        search: the search.
        seconds: wall-clock seconds of work.
        seconds_by_part: seconds by part.
        workers: workers at work.
    """
    counters, budget, curve = search.counters, search.config.budget, search.curve
    statistics = search.grid.statistics(search.config.archive.qd_offset)
    if budget.candidates is not None:
        share = min(1.0, counters["candidates"] / budget.candidates)
        left = seconds * (1.0 / share - 1.0) if share > 0.0 else None
    else:
        share = min(1.0, seconds / (budget.seconds or 1.0))
        left = max(0.0, (budget.seconds or 0.0) - seconds)
    if curve.last is not None and search.merged >= curve.last:
        share, left = 1.0, 0.0
    return Progress(
        batch=search.merged,
        candidates=counters["candidates"],
        evaluations=counters["evaluations"],
        invalid=counters["invalid"],
        hits={layer.value: counters[f"hit.{layer.value}"] for layer in Layer},
        hurdled=counters["hurdled"],
        failures={k.partition(".")[2]: n for k, n in sorted(counters.items()) if k.startswith("failed.")},
        elites=statistics.elites,
        cells=statistics.cells,
        coverage=statistics.coverage,
        qd_score=statistics.qd_score,
        best=search.best(BEST),
        steps=counters["steps"],
        seconds=seconds,
        seconds_by_part=dict(seconds_by_part),
        workers=workers,
        share_done=share,
        seconds_left=left,
    )
