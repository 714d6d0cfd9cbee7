import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archive.cache import Cache, Hit, Keys, Layer

SIZE = 5  # slots in a batch

key = st.none() | st.integers(-4, 4) | st.integers(-(2**63), 2**63 - 1)
batches = st.lists(st.lists(st.tuples(key, key, key), min_size=SIZE, max_size=SIZE), max_size=12)


def keys_of(batch, rows):
    return [Keys(batch * SIZE + slot, *row) for slot, row in enumerate(rows)]


def contents(cache):
    return [list(layer.items()) for layer in cache._layers]


class Plain:
    """The same by lists and loops."""

    def __init__(self, entries):
        self.entries, self.layers = entries, ([], [], [])

    def admit(self, candidates):
        hits = []
        for candidate, *keys in candidates:
            found = [
                (layer, behaviour)
                for layer, known, key in zip(Layer, self.layers, keys, strict=True)
                for held, behaviour in known
                if key is not None and held == key
            ]
            hits.append(Hit(*found[0]) if found else None)
            behaviour = found[0][1] if found else candidate
            for known, key in zip(self.layers, keys, strict=True):
                if key is not None and all(held != key for held, _ in known):
                    known.append((key, behaviour))
        for known in self.layers:
            if len(known) > self.entries:
                del known[: len(known) - self.entries + self.entries // 16]
        return hits


@given(batches, st.integers(1, 20))
def test_agrees_with_lists_and_loops(bred, entries):
    cache, plain = Cache(entries), Plain(entries)
    for batch, rows in enumerate(bred):
        candidates = keys_of(batch, rows)
        assert cache.admit(batch, candidates) == plain.admit(candidates)
        assert contents(cache) == list(plain.layers)
        assert max(cache.sizes.values()) <= entries
        assert cache.last_batch == batch


@given(batches, batches, st.integers(0, 20), st.integers(0, 3))
def test_deltas_give_the_cache_back(before, after, entries, lag):
    """What was bred ahead of the last merge is bred, and admitted, again after a resume."""
    cache = Cache(entries)
    bred = [keys_of(batch, rows) for batch, rows in enumerate(before + after)]
    merged = max(0, len(before) - lag)
    hits = [cache.admit(batch, bred[batch]) for batch in range(len(before))]
    deltas = [cache.delta(batch) for batch in range(merged)]
    resumed = Cache(entries)
    resumed.admit(99, keys_of(99, [(1, 2, 3)]))  # goes
    resumed.restore(deltas)
    assert [resumed.admit(batch, bred[batch]) for batch in range(merged, len(before))] == hits[merged:]
    assert contents(resumed) == contents(cache)
    for batch in range(merged, len(bred)):
        if batch >= len(before):
            assert resumed.admit(batch, bred[batch]) == cache.admit(batch, bred[batch])
        assert resumed.delta(batch) == cache.delta(batch)
    assert contents(resumed) == contents(cache)


def test_cheap_layers_are_asked_first_and_learn_from_the_others():
    cache = Cache(100)
    assert cache.admit(0, [Keys(0, 10, 20, 30)]) == [None]
    known = [Keys(1, 10, 20, 30), Keys(2, 11, 20, 30), Keys(3, 12, 22, 30), Keys(4, 11, 0, 0), Keys(5, 13, 22, 0)]
    assert cache.admit(1, known) == [
        Hit(Layer.STRUCTURAL, 0),
        Hit(Layer.CANONICAL, 0),
        Hit(Layer.FUNCTIONAL, 0),
        Hit(Layer.STRUCTURAL, 0),
        Hit(Layer.CANONICAL, 0),
    ]
    assert cache.look_up(12, 1, 1) == Hit(Layer.STRUCTURAL, 0)
    assert cache.look_up(1, 22, 1) == Hit(Layer.CANONICAL, 0)
    assert cache.look_up(1, 1, 30) == Hit(Layer.FUNCTIONAL, 0)
    assert cache.look_up(1, 1, 1) is None


def test_failures_are_remembered_by_the_keys_they_have():
    cache = Cache(100)
    invalid, infinite = Keys(0, 1, None, None), Keys(1, 2, 3, None)
    assert cache.admit(0, [invalid, infinite]) == [None, None]
    again = cache.admit(1, [Keys(2, 1, None, None), Keys(3, 4, 3, None), Keys(4, 5, None, None), Keys(5, *[None] * 3)])
    assert again == [Hit(Layer.STRUCTURAL, 0), Hit(Layer.CANONICAL, 1), None, None]


@given(batches, st.integers(0, SIZE - 1))
def test_a_fault_is_forgotten_everywhere(bred, slot):
    cache = Cache(1000)
    for batch, rows in enumerate(bred):
        cache.admit(batch, keys_of(batch, rows))
    cache.forget(slot)
    held = [[pair for pair in layer if pair[1] != slot] for layer in contents(cache)]
    assert contents(cache) == held
    resumed = Cache(1000)
    resumed.restore(cache.delta(batch) for batch in range(len(bred)))
    assert contents(resumed) == held


def test_no_entries_switch_the_cache_off():
    cache = Cache(0)
    assert cache.admit(0, [Keys(0, 1, 1, 1), Keys(1, 1, 1, 1)]) == [None, None]
    assert set(cache.sizes.values()) == {0}
    cache.restore([cache.delta(0)])
    assert cache.last_batch == 0


def test_an_entry_takes_at_most_200_bytes():
    """Measured where it is worst: a dict that grew to 2^16 slots while it held just over 2^16 / 6 entries."""
    entries, slots = 11_250, 250
    draw = random.Random(0)

    def measure(step, deltas):
        cache, worst = Cache(entries), 0.0
        tracemalloc.start()
        try:
            for _ in step(cache, deltas):
                used, held = tracemalloc.get_traced_memory()[0], sum(cache.sizes.values())
                worst = max(worst, used / held) if held > 2.7 * entries else worst
        finally:
            tracemalloc.stop()
        return worst

    def admit(cache, deltas):
        for batch in range(5 * entries // slots):
            candidates = [
                Keys(batch * slots + slot, *(draw.getrandbits(64) - 2**63 for _ in range(3))) for slot in range(slots)
            ]
            cache.admit(batch, candidates)
            del candidates
            cache.delta(batch)
            yield

    def restore(cache, deltas):
        cache.restore(deltas)
        yield

    filled = Cache(entries)
    deltas = []
    for batch in range(2 * entries // slots):
        filled.admit(batch, [Keys(batch * slots + s, *(draw.getrandbits(64) - 2**63,) * 3) for s in range(slots)])
        deltas.append(filled.delta(batch))
    worst = measure(admit, None), measure(restore, deltas)
    print(f"bytes an entry: {worst[0]:.0f} at worst in a run, {worst[1]:.0f} after a resume")
    assert min(worst) > 0
    assert max(worst) <= 200
    assert worst[1] <= worst[0]


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        Cache(-1)
    cache = Cache(10)
    cache.admit(3, [])
    for batch in (3, 2):
        with pytest.raises(ValueError, match="in order"):
            cache.admit(batch, [])
    with pytest.raises(ValueError, match="once for each batch"):
        cache.delta(4)
    delta = cache.delta(3)
    with pytest.raises(ValueError, match="once for each batch"):
        cache.delta(3)
    with pytest.raises(ValueError, match="in order"):
        Cache(10).restore([delta, delta])
    for damaged in (b"", delta[:-1], delta[:-8], delta + bytes(8), delta[:8] + b"\xff" * 24):
        with pytest.raises(ValueError, match="whole"):
            Cache(10).restore([damaged])
