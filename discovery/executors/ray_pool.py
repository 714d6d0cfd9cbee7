"""A pool of persistent Ray actors that may come and go: nothing is lost, and nothing comes back twice.

A worker that dies, or hangs, is replaced and its units go to others: the call that it was at counts as failed, the one
behind it as never begun. From then on each unit of the failed call travels alone, so a unit that takes `ATTEMPTS`
workers with it takes no others along; it comes back as a fault. Where a whole machine went away, as spot machines do,
no unit is to blame, but for one that many machines go away with. How many units travel in a call follows their measured
time, worker by worker; no result depends on it.
"""

import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, TypeAlias

from discovery.executors import Finished, Load, Works
from discovery.executors.pace import Means, Pace
from discovery.executors.queue import Queue
from discovery.executors.ray_cluster import Cluster, first_line
from discovery.executors.ray_worker import Actor

IN_FLIGHT = 2
"""Calls that a worker has at most: one that it works at, and one that spares it the wait for the next."""
ATTEMPTS = 3
"""Workers that a unit may take with it."""
MACHINES = 10
"""Machines that may go away with a unit: of one that takes all memory they would, one by one."""
PATIENCE = 10.0
"""Seconds that the first worker that is ready waits for the others to begin with it."""
NOBODY = 600.0
"""Seconds after which a cluster that has no place for a single worker is an error."""
_TICK = 1.0
_NEWS = 3.0
"""Seconds that the end of a machine may be told later than that of a worker on it."""
_FAILED_STARTS = 5
"""Workers that die at their start, where none is at work, before that is an error."""
_LONGEST_PAUSE = 60.0
"""Seconds before the next is asked for, after some that could not start."""


_Result: TypeAlias = tuple[Any, float, str]
"""What a unit gave, its seconds, its fault."""


@dataclass(slots=True)
class _Record:
    """What went with a unit."""

    failures: int = 0  # workers that died or hung
    gone: int = 0  # machines that went away

    @property
    def is_suspect(self) -> bool:
        """Whether it may be to blame, so that it takes no other unit along."""
        return self.failures > 0 or self.gone > 1


@dataclass(eq=False, slots=True)
class _Call:
    ref: Any
    units: list[Any]
    began: float  # when it was sent, or the call before it ended


@dataclass(eq=False, slots=True)
class _Worker:
    actor: Any
    run: Callable[[bytes], Any]  # of the actor, by reference
    node: str  # Ray's id of its machine
    joined: float
    together: int  # units that it works off at once
    calls: deque[_Call] = field(default_factory=deque)
    busy: float = 0.0
    means: Means = field(default_factory=dict)


class RayPool:
    """Runs units on the workers of a cluster.

    Args:
        cluster: where the workers find a place; closed with the pool.
        make: makes the worker of an actor, in its process.
        guard: seconds without a result after which a worker counts as hung; None means by what units have taken.
        nobody: seconds after which it is an error that not one worker has a place.
    """

    def __init__(
        self, cluster: Cluster, make: Callable[[], Works], guard: float | None = None, nobody: float = NOBODY
    ) -> None:
        self._cluster, self._ray = cluster, cluster.ray
        self._make = self._ray.cloudpickle.dumps(make)
        self._pace, self._nobody = Pace(guard), nobody
        self._waiting: Queue[Any] = Queue()
        self._alone: deque[Any] = deque()  # suspects, which travel alone and before the others
        self._records: dict[Any, _Record] = {}  # of units whose calls failed
        self._finished: list[Finished] = []
        self._calls: dict[Any, _Worker] = {}  # by the reference of the call
        # actors by the reference of their start, with that of a call that says that they have a place
        self._joining: dict[Any, tuple[Any, Any]] = {}
        self._workers: dict[_Worker, None] = {}
        # those that may take a call, by the calls that they have: a set that keeps its order
        self._free: tuple[dict[_Worker, None], ...] = tuple({} for _ in range(IN_FLIGHT))
        self._kinds: set[str] = set()
        self._failed_starts, self._hire_from = 0, 0.0
        self._trouble: tuple[str, ...] = ()  # why a worker could not start
        self._lost, self._repeated, self._waited = 0, 0, 0.0
        self._wanted, self._tended = 0, float("-inf")
        self._alone_since = time.monotonic()  # when the last worker was there
        self._remarks: tuple[str, ...] = ()

    @property
    def workers(self) -> int:
        """Workers at work."""
        return len(self._workers)

    def warm_up(self) -> None:
        """Returns when workers are ready: all that were asked for, or some while after the first those that are there.

        Raises:
            ValueError: workers can't import what they need or make their evaluator, or there is no place for one.
        """
        try:
            self._tend()
            first = time.monotonic()
            while not self._workers or (len(self._workers) < self._wanted and time.monotonic() - first < PATIENCE):
                if not self._workers:
                    first = time.monotonic()
                self._collect()
                self._tend()
        except self._ray.exceptions.RayError as error:
            raise self._out_of_reach(error) from None

    def submit(self, units: Iterable[Any], first: bool = False) -> None:
        """Takes units; `first` puts them before those that wait."""
        self._waiting.put(units, first)

    def next(self) -> list[Finished]:
        """Returns what has finished, waiting for it; a unit that took several workers with it comes with its fault.

        Raises:
            ValueError: workers can't be replaced, or raise what is no fault of a unit.
        """
        try:
            self._feed()  # before what is finished is looked at: whoever is ready must not wait for that
            while not self._finished:
                self._tend()
                self._feed()
                self._collect()
        except self._ray.exceptions.RayError as error:
            raise self._out_of_reach(error) from None
        found, self._finished = self._finished, []
        return found

    def load(self) -> Load:
        """Returns how the workers are doing."""
        now = time.monotonic()
        return Load(
            workers=len(self._workers),
            wanted=self._wanted,
            busy=tuple(min(1.0, worker.busy / max(1e-9, now - worker.joined)) for worker in self._workers),
            waiting=self._queued,
            under_way=sum(len(call.units) for worker in self._workers for call in worker.calls),
            lost=self._lost,
            repeated=self._repeated,
            waited=self._waited,
            remarks=self._remarks,
        )

    def close(self) -> None:
        """Ends the workers; units under way are lost."""
        self._waiting.clear()
        self._alone.clear()
        self._records.clear()
        self._calls.clear()
        self._workers.clear()
        self._joining.clear()
        self._cluster.close()

    def _out_of_reach(self, error: BaseException) -> ValueError:
        """What is no worker's fault is one of Ray itself."""
        return ValueError(
            f"Ray must stay within reach on {self._cluster.place}, got {_reason(error)}; see whether it still "
            f"runs, then resume: all that is merged is kept"
        )

    # --- workers come and go -------------------------------------------------------------------------------------

    def _tend(self) -> None:
        """Now and then: asks for workers that are missing, and gives up those that hang."""
        now = time.monotonic()
        if now - self._tended < _TICK:
            return
        self._tended = now
        for worker in [worker for worker in self._workers if self._hangs(worker, now)]:
            self._lose(worker, f"no result within {now - worker.calls[0].began:,.0f} s")
        self._wanted = self._cluster.wanted
        there = len(self._workers) + len(self._joining)
        for ref in list(reversed(self._joining))[: max(0, there - self._wanted)]:
            self._ray.kill(self._joining.pop(ref)[0])  # where the cluster has shrunk, none waits for a place for ever
        for _ in range(self._wanted - there if now >= self._hire_from else 0):
            actor = self._cluster.hire(Actor)
            here = actor.here.remote()
            self._joining[actor.start.remote(sys.path, self._make, self._cluster.has_gpus)] = actor, here
        if self._workers:
            self._alone_since = now
        elif now - self._alone_since > self._nobody and not self._has_place():
            raise ValueError(
                f"a worker must find a place within {self._nobody:.0f} s ({self._cluster.needs}), got none on "
                f"{self._cluster.place} with room for {self._cluster.room}; ask for less, add machines, or wait until "
                f"others leave, then resume"
            )
        self._remarks = self._cluster.remarks() + self._trouble
        if len(self._kinds) > 1:
            kinds = "; ".join(sorted(self._kinds))
            self._remarks += (f"workers are of several kinds, bits may differ: {kinds}",)

    def _has_place(self) -> bool:
        """Whether a worker is about to be ready, as long as that may take."""
        return bool(self._ray.wait([here for _, here in self._joining.values()], timeout=0)[0])

    def _hangs(self, worker: _Worker, now: float) -> bool:
        if not worker.calls:
            return False
        call = worker.calls[0]
        return now - call.began > self._pace.limit(type(call.units[0]), len(call.units), worker.together)

    def _join(self, ref: Any) -> None:
        """Takes in a worker that is ready, or notes that it could not start."""
        actor, _ = self._joining.pop(ref)
        try:
            node, kind, together = self._ray.get(ref)
        except self._ray.exceptions.RayError as error:
            self._ray.kill(actor)
            self._refuse(error)
            return
        self._failed_starts, self._trouble = 0, ()
        self._kinds.add(kind)
        worker = _Worker(actor, actor.run.remote, node, time.monotonic(), together)
        self._workers[worker] = None
        self._free[0][worker] = None

    def _refuse(self, error: Exception) -> None:
        """Notes that a worker could not start: the end where there is none, a remark where others are at work."""
        self._lost += 1
        self._failed_starts += 1
        wrong = _wrong(error, self._ray)
        if not self._workers and (wrong is not None or self._failed_starts >= _FAILED_STARTS):
            raise wrong or ValueError(f"workers must start, got {_reason(error)}; {_remedy()}") from None
        self._trouble = (f"a worker could not start: {first_line(wrong or error)}",)
        self._hire_from = time.monotonic() + min(_LONGEST_PAUSE, 2.0**self._failed_starts)

    def _lose(self, worker: _Worker, reason: str) -> None:
        """Gives up a worker; what it has finished counts, the rest goes to others."""
        del self._workers[worker]
        for free in self._free:
            free.pop(worker, None)
        # one that is only out of reach, or hangs, would keep its place
        self._ray.kill(worker.actor)
        self._lost += 1
        is_to_blame = self._stays(worker.node, reason)
        again: list[Any] = []
        failed = False  # the first call that did not come to its end is the one it was at
        for call in worker.calls:
            del self._calls[call.ref]
            results = None if failed else self._results(call)
            if results is not None:
                self._take(worker, call, results)
                continue
            again += call.units if failed else self._fail(call, reason, is_to_blame)
            failed = True
        self._repeated += len(again)
        apart: tuple[list[Any], list[Any]] = [], []
        for unit in again:
            record = self._records.get(unit)
            apart[record is not None and record.is_suspect].append(unit)
        self._waiting.put_back(apart[False])
        self._alone.extendleft(reversed(apart[True]))

    def _stays(self, node: str, reason: str) -> bool:
        """Whether the machine of a lost worker is still there; Ray may know of the worker before it knows of that."""
        until = time.monotonic() + (_NEWS if "Unavailable" in reason else 0.0)
        while self._cluster.has(node):
            if time.monotonic() >= until:
                return True
            time.sleep(0.05)
        return False

    def _results(self, call: _Call) -> list[_Result] | None:
        """What a call gave, if it came to its end."""
        if not self._ray.wait([call.ref], timeout=0)[0]:
            return None
        try:
            return pickle.loads(self._ray.get(call.ref))
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from None
        except self._ray.exceptions.RayError:
            return None

    def _fail(self, call: _Call, reason: str, is_to_blame: bool) -> list[Any]:
        """Notes that a call failed; returns the units that go to others, for the rest have finished with a fault."""
        again = []
        for unit in call.units:
            record = self._records.setdefault(unit, _Record())
            record.failures += is_to_blame
            record.gone += not is_to_blame
            if record.failures < ATTEMPTS and record.gone < MACHINES:
                again.append(unit)
                continue
            what = f"{ATTEMPTS} workers" if record.failures >= ATTEMPTS else f"{MACHINES} machines"
            fault = f"{what} were lost to it, the last one: {reason}"
            self._finished.append(Finished(unit, None, 0.0, fault))
            del self._records[unit]
        return again

    # --- units ---------------------------------------------------------------------------------------------------

    @property
    def _queued(self) -> int:
        """Units that no worker has yet."""
        return len(self._waiting) + len(self._alone)

    def _feed(self) -> None:
        """Hands units out: to those that have none, and where many wait also to those that have one call."""
        while self._alone or self._waiting:
            worker = next(iter(self._free[0]), None)
            if worker is None and self._queued > len(self._workers):
                # a few are left for whoever is ready first: they would wait behind a call, longest behind a slow one
                sort = type(self._alone[0] if self._alone else self._waiting.head())
                worker = next((one for one in self._free[1] if not self._pace.is_slow(sort, one.means)), None)
            if worker is None:
                return
            del self._free[len(worker.calls)][worker]
            units = [self._alone.popleft()] if self._alone else self._portion(worker)
            ref = worker.run(pickle.dumps(units, pickle.HIGHEST_PROTOCOL))
            worker.calls.append(_Call(ref, units, time.monotonic()))
            self._calls[ref] = worker
            if len(worker.calls) < IN_FLIGHT:
                self._free[len(worker.calls)][worker] = None

    def _portion(self, worker: _Worker) -> list[Any]:
        """The next units for a worker, of one sort."""
        waiting, pace = self._waiting, self._pace
        sort, urgent = type(waiting.head()), waiting.is_urgent
        most = pace.portion(sort, worker.means, len(waiting), len(self._workers), worker.together, urgent)
        return waiting.take(most)

    def _collect(self) -> None:
        """Waits a moment for results, and takes those that are there."""
        refs = [*self._calls, *self._joining]
        began = time.monotonic()
        ready: list[Any] = []
        if (number := self._at_once()) > 1:
            ready, _ = self._ray.wait(refs, num_returns=number, timeout=self._pace.gathered())
        if refs and not ready:
            ready, _ = self._ray.wait(refs, num_returns=1, timeout=_TICK)
        if not refs:
            time.sleep(_TICK)
        self._waited += time.monotonic() - began
        ended = [ref for ref in ready if ref in self._calls]
        for ref in ready:
            if ref in self._joining:
                self._join(ref)
        for ref, given in zip(ended, self._given(ended), strict=True):
            if ref in self._calls:  # else it was lost with its worker just now
                self._end(ref, given)

    def _at_once(self) -> int:
        """Results to wait for: half of what those with two calls can give at once, but one where a worker has none."""
        return 1 if self._free[0] else (len(self._workers) - len(self._free[1])) // 2

    def _given(self, refs: list[Any]) -> list[Any]:
        """What calls that have ended gave: bytes, or the error that ended one."""
        try:
            return self._ray.get(refs)
        except self._ray.exceptions.RayError as error:
            if len(refs) == 1:
                return [error]
            return [given for ref in refs for given in self._given([ref])]

    def _end(self, ref: Any, given: Any) -> None:
        """Takes the results of a call, or loses its worker."""
        worker = self._calls[ref]
        if isinstance(given, self._ray.exceptions.RayTaskError):
            raise _cause(given) from None
        if isinstance(given, self._ray.exceptions.RayError):
            self._lose(worker, _reason(given))
            return
        results = pickle.loads(given)
        del self._calls[ref]
        place = next(place for place, call in enumerate(worker.calls) if call.ref == ref)
        call = worker.calls[place]
        del worker.calls[place]
        if worker.calls:
            worker.calls[0].began = time.monotonic()
        for free in self._free:
            free.pop(worker, None)
        self._free[len(worker.calls)][worker] = None
        self._take(worker, call, results)

    def _take(self, worker: _Worker, call: _Call, results: list[_Result]) -> None:
        for unit, (result, seconds, fault) in zip(call.units, results, strict=True):
            self._finished.append(Finished(unit, result, seconds, fault))
        if self._records:
            for unit in call.units:
                self._records.pop(unit, None)
        spent = sum(seconds for _, seconds, _ in results)
        worker.busy += spent
        self._pace.note(type(call.units[0]), worker.means, spent / len(results), len(results))


def _wrong(error: Exception, ray: ModuleType) -> BaseException | None:
    """What is wrong with the start of a worker, as the user's error; None where it only died."""
    if isinstance(error, ray.exceptions.RayTaskError):
        cause = _cause(error)
    elif "failed to import" in str(error):
        cause = ImportError(str(error).strip().splitlines()[-1])
    else:
        return None
    if not isinstance(cause, ImportError):
        return cause
    return ValueError(
        f"workers must be able to import what this process does, got {cause}; install the same packages on every "
        f"machine of the cluster, or put your own modules into a folder that all of them see"
    )


def _cause(error: Any) -> BaseException:
    """What a worker raised, as if it had been raised here."""
    return error.cause if isinstance(error.cause, Exception) else ValueError(first_line(error))


def _remedy() -> str:
    """What may help where workers die at once, as those do that have no token where this process wants one."""
    if os.environ.get("RAY_AUTH_MODE", "").lower() == "token":
        return "RAY_AUTH_MODE is `token` here: set it as the head of the cluster has it, or try 1 worker"
    return "try 1 worker"


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"
