"""Progress: what a run tells those who watch it, after every merged batch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from discovery.executors import Load
from discovery.validation import Point


@dataclass(frozen=True, slots=True)
class Best:
    """One of the best elites.

    Args:
        id: number of the candidate.
        score: mean score over its replicates; 0 is the tuned baseline, higher is better.
        size: operations of the canonical form.
        state_buffers: live state variables that are no few numbers.
        text: program text of the canonical form.
    """

    id: int
    score: float
    size: int
    state_buffers: int
    text: str


@dataclass(frozen=True, slots=True)
class Staff:
    """Workers and driver.

    Args:
        load: how the workers are doing.
        driver_load: share of the time that the driver worked itself, 0 to 1; near 1 more workers bring nothing.
    """

    load: Load
    driver_load: float

    def to_json(self) -> dict[str, Any]:
        """Returns plain data."""
        load = asdict(self.load)
        return {
            "alive": load.pop("workers"),
            **load,
            "busy": [round(share, 3) for share in self.load.busy],
            "driver_load": round(self.driver_load, 3),
        }


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a run after a batch; all counters are totals since the start of the run, resumed parts included.

    Args:
        batch: batches merged.
        candidates: candidates bred.
        evaluations: evaluations that ran (hits reuse one; re-evaluations of elites count).
        invalid: candidates that the static check refused.
        hits: candidates known before, by layer: structural, canonical, functional.
        hurdled: evaluations stopped at an early stage.
        failures: failed candidates by status.
        elites: evaluated programs in the archive.
        cells: cells of the archive that are filled.
        coverage: filled cells / all cells, 0 to 1.
        qd_score: sum over cells of the best score minus the offset of the configuration.
        best: the best elites, best first.
        front: the domain's table of the best elites, row by row, each with its `rule`; empty where it has none.
        steps: training steps spent (or whatever the domain counts its budget in).
        seconds: wall-clock seconds of work.
        seconds_by_part: worker and driver seconds by part (propose, evaluate, merge, store ...).
        workers: workers at work.
        share_done: share of the budget that is used up, 0 to 1; None where the budget has no end.
        seconds_left: estimated seconds until the end; None where there is no estimate yet.
        validation: points of the validation curve, oldest first; None where there is no validation.
        overfits: whether the search has passed the best of that curve.
        staff: how workers and driver are doing; None where the run is not at work.
    """

    batch: int = 0
    candidates: int = 0
    evaluations: int = 0
    invalid: int = 0
    hits: dict[str, int] = field(default_factory=dict)
    hurdled: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    elites: int = 0
    cells: int = 0
    coverage: float = 0.0
    qd_score: float = 0.0
    best: tuple[Best, ...] = ()
    front: tuple[Mapping[str, Any], ...] = ()
    steps: int = 0
    seconds: float = 0.0
    seconds_by_part: dict[str, float] = field(default_factory=dict)
    workers: int = 1
    share_done: float | None = None
    seconds_left: float | None = None
    validation: tuple[Point, ...] | None = None
    overfits: bool = False
    staff: Staff | None = None

    def to_json(self) -> dict[str, Any]:
        """Returns what the store keeps of it, batch by batch; it has curve, archive and staff elsewhere."""
        left_out = ("front", "validation", "overfits", "staff")
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in left_out}
        best = [
            {"id": one.id, "score": one.score, "size": one.size, "state_buffers": one.state_buffers}
            for one in self.best
        ]
        return {**told, "best": best}
