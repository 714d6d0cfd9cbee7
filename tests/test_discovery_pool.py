"""The pool without Ray: how it waits, and what it takes of several calls that end at once."""

import pickle
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest

from discovery.executors import ray_pool
from discovery.executors.ray_pool import RayPool


class GoneError(Exception):
    """What Ray raises where a worker is lost."""


class RaisedError(GoneError):
    """What Ray raises where a worker raised something itself."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


class Pretence:
    """Stands for a cluster and for the module: a call ends when it is told to, and gives its units back.

    Args:
        workers: number of workers.
    """

    place, needs, room, has_gpus = "nowhere", "nothing", 99, False

    def __init__(self, workers: int) -> None:
        self.ray, self.wanted = self, workers
        self.exceptions = SimpleNamespace(RayError=GoneError, RayTaskError=RaisedError)
        self.cloudpickle = pickle
        self.calls: dict[int, Any] = {}  # what a call gives
        self.ended: list[int] = []
        self.waits: list[tuple[int, float]] = []
        self._numbers = count()

    def remarks(self) -> tuple[str, ...]:
        return ()

    def has(self, node: str) -> bool:
        return bool(node)

    def hire(self, actor: type) -> Any:
        here = SimpleNamespace(remote=lambda: self._ended(None))
        start = SimpleNamespace(remote=lambda folders, make, has_gpu: self._ended(("here", "of one kind", 1)))
        return SimpleNamespace(here=here, start=start, run=SimpleNamespace(remote=self._run))

    def _ended(self, given: Any) -> int:
        number = next(self._numbers)
        self.calls[number] = given
        self.ended.append(number)
        return number

    def _run(self, units: bytes) -> int:
        number = next(self._numbers)
        self.calls[number] = pickle.dumps([(unit, 0.2, "") for unit in pickle.loads(units)])
        return number

    def wait(self, refs: list[int], num_returns: int = 1, timeout: float = 0.0) -> tuple[list[int], list[int]]:
        assert 0 < num_returns <= len(refs)
        ready = [ref for ref in refs if ref in self.ended][:num_returns]
        self.waits.append((num_returns, timeout))
        assert ready or timeout < 1.0, "nothing will ever come"
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, refs: Any) -> Any:
        if isinstance(refs, list):
            return [self.get(ref) for ref in refs]
        if isinstance(self.calls[refs], GoneError):
            raise self.calls[refs]
        return self.calls[refs]

    def kill(self, actor: Any) -> None:
        pass

    def close(self) -> None:
        pass

    def end_all(self) -> None:
        """Ends all calls under way."""
        self.ended = list(self.calls)

    def end(self, *places: int, error: GoneError | None = None) -> None:
        """Ends calls, by their place among those under way."""
        running = [number for number in self.calls if number not in self.ended]
        for place in places:
            self.ended.append(running[place])
            if error is not None:
                self.calls[running[place]] = error


@pytest.fixture
def pretence():
    return Pretence(8)


@pytest.fixture
def pool(pretence):
    made = RayPool(cast(Any, pretence), cast(Any, object))
    made.warm_up()
    return made


def given(pool: RayPool) -> list[Any]:
    return [one.results for one in pool.next()]


def rest(pool: RayPool, pretence: Pretence) -> list[Any]:
    """All that is still to come."""
    found = []
    while pool.load().under_way:
        pretence.end_all()
        found += given(pool)
    return found


def test_results_wait_for_others_only_where_every_worker_has_work(pool, pretence):
    pool.submit(range(100))
    with pytest.raises(AssertionError, match="nothing will ever come"):
        pool.next()
    assert pool.load().under_way == 16, "two calls of one unit each"
    assert pretence.waits[-1][0] == 1, "it sleeps where there is nothing to gather"
    pretence.end(0, 1, 2, 3, 4)
    assert given(pool) == [0, 1, 2, 3], "half of what the workers can give at once"
    assert pretence.waits[-1] == (4, 0.0), "nothing is known yet of the time of calls"
    assert given(pool) == [4]
    number, seconds = pretence.waits[-1]
    assert number == 4
    assert 0.0 < seconds <= 0.2
    rest(pool, pretence)
    assert pretence.waits[-1] == (1, 1.0), "where a worker has nothing to do the next result may be what it waits for"


def test_a_worker_that_is_lost_among_others_takes_nothing_of_theirs(pool, pretence):
    pool.submit(range(100))
    pool._feed()
    pretence.end(0, 6)
    pretence.end(2, error=GoneError("lost"))
    first = given(pool)
    assert len(first) == 2
    assert (pool.load().lost, pool.load().repeated) == (1, 2), "its other call goes to others too"
    assert sorted(first + rest(pool, pretence)) == list(range(100)), "once each"


def test_what_a_worker_raises_among_others_is_raised(pool, pretence):
    pool.submit(range(100))
    pool._feed()
    pretence.end(0, 6)
    pretence.end(2, error=RaisedError(KeyError("a flaw")))
    with pytest.raises(KeyError, match="a flaw"):
        pool.next()


def test_a_machine_that_goes_away_is_told_later_than_the_worker_on_it(pool, pretence, monkeypatch):
    told = iter([True, True, False])
    monkeypatch.setattr(pretence, "has", lambda node: next(told))
    assert not pool._stays("here", "ActorUnavailableError: Socket closed")
    monkeypatch.setattr(pretence, "has", lambda node: True)
    monkeypatch.setattr(ray_pool, "_NEWS", 0.1)
    assert pool._stays("here", "ActorUnavailableError: Socket closed"), "and it may stay"
    monkeypatch.setattr(ray_pool.time, "sleep", lambda seconds: pytest.fail("a worker that died is no such news"))
    assert pool._stays("here", "ActorDiedError: killed")
