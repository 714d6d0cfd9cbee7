"""The cache: which behaviours are known, by structure, canonical form and fingerprint."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

import numpy as np


class Layer(StrEnum):
    """The layers in the order in which they are asked, cheap keys first."""

    STRUCTURAL = "structural"
    CANONICAL = "canonical"
    FUNCTIONAL = "functional"


_LAYERS = tuple(Layer)


class Keys(NamedTuple):
    """The three keys of a candidate (signed 64-bit); None where it has none, as an invalid or non-finite one.

    Args:
        id: candidate id; becomes the behaviour's id if nothing about the candidate is known.
        structural: key of the genotype.
        canonical: key of the canonical form.
        fingerprint: key of the behaviour.
    """

    id: int
    structural: int | None
    canonical: int | None
    fingerprint: int | None


class Hit(NamedTuple):
    """A candidate is known: the first layer that knew it, and the id of the first candidate that behaved so."""

    layer: Layer
    behaviour: int


class Cache:
    """Three bounded maps from a key to a behaviour id.

    Batches are admitted in order, candidates in order of their slots; a candidate that no layer knows becomes a
    behaviour of its own, at once, so that later ones hit it while it is still pending. Every key of a candidate that
    is missing is inserted whichever layer hit, so that the next one hits earlier. After each batch a layer with more
    than `entries` drops its oldest ones, down to 15/16 of `entries`: first in, first out. A hit does not prolong
    a life, as it does in an LRU; else every hit would have to be stored for a resumed run to evict the same.

    What a batch inserted is its delta; the deltas of all batches in order give the cache back, order included.

    Memory: 90 to 190 bytes an entry and layer (its place in the dict 30 to 128, the key 48, a share of the id 11). A
    place costs most right after the dict has doubled its table, and where the cache is full and drops old entries.

    Args:
        entries: most entries a layer holds between batches; 0 switches the cache off (nothing is ever known).

    Raises:
        ValueError: a negative number of entries.
    """

    def __init__(self, entries: int) -> None:
        if entries < 0:
            raise ValueError(f"a cache must hold 0 or more entries, got {entries}; 0 switches it off")
        self.entries = entries
        self._layers: tuple[dict[int, int], ...] = ({}, {}, {})
        self._last = -1
        # Inserted by batches whose delta is not taken yet: for each layer keys and behaviours.
        self._pending: dict[int, tuple[dict[int, int], ...]] = {}

    @property
    def sizes(self) -> dict[Layer, int]:
        """Entries held by each layer."""
        return {layer: len(known) for layer, known in zip(Layer, self._layers, strict=True)}

    @property
    def last_batch(self) -> int:
        """The batch admitted last; -1 before the first."""
        return self._last

    def look_up(self, structural: int | None, canonical: int | None, fingerprint: int | None) -> Hit | None:
        """Returns the first layer that knows its key, or None; changes nothing."""
        for layer, known, key in zip(_LAYERS, self._layers, (structural, canonical, fingerprint), strict=True):
            behaviour = known.get(key) if key is not None else None
            if behaviour is not None:
                return Hit(layer, behaviour)
        return None

    def admit(self, batch: int, candidates: Sequence[Keys]) -> list[Hit | None]:
        """Looks up a batch that has just been bred, and inserts what is new.

        Args:
            batch: number of the batch, higher than any before.
            candidates: keys in order of the slots.

        Returns:
            For each candidate the hit, or None: it is the first of its behaviour and its id names the behaviour.

        Raises:
            ValueError: the batch was admitted already, or a later one.
        """
        if batch <= self._last:
            raise ValueError(f"batches must be admitted in order, got {batch} after {self._last}; admit each once")
        self._last = batch
        inserted: tuple[dict[int, int], ...] = ({}, {}, {})
        self._pending[batch] = inserted
        if not self.entries:
            return [None] * len(candidates)
        hits: list[Hit | None] = []
        for candidate, *keys in candidates:
            hit = self.look_up(*keys)
            behaviour = candidate if hit is None else hit.behaviour
            for known, new, key in zip(self._layers, inserted, keys, strict=True):
                if key is not None and key not in known:
                    known[key] = new[key] = behaviour
            hits.append(hit)
        self._evict()
        return hits

    def forget(self, behaviour: int) -> None:
        """Removes all entries of a behaviour: one whose evaluation was a fault of the machine is never cached.

        Call it before the delta of the behaviour's batch is taken: entries of it can only stand in that batch and in
        later ones, all of them pending. Costs a pass over the cache; faults are rare.
        """
        for known in (*self._layers, *(new for inserted in self._pending.values() for new in inserted)):
            for key in [key for key, held in known.items() if held == behaviour]:
                del known[key]

    def delta(self, batch: int) -> bytes:
        """Returns what an admitted batch inserted, once: little-endian int64 words.

        Words: batch, then the numbers of entries of the three layers, then for each layer its keys and behaviours.

        Raises:
            ValueError: the batch was not admitted, or its delta was taken.
        """
        inserted = self._pending.pop(batch, None)
        if inserted is None:
            raise ValueError(f"a delta is there once for each batch admitted, got batch {batch}; admit it first")
        words = [batch, *map(len, inserted)]
        for new in inserted:
            words.extend(new)
            words.extend(new.values())
        return np.array(words, dtype="<i8").tobytes()

    def restore(self, deltas: Iterable[bytes]) -> None:
        """Rebuilds the cache from the deltas of all batches in order.

        Raises:
            ValueError: what is no delta, or is out of order.
        """
        for known in self._layers:
            known.clear()
        self._pending.clear()
        self._last = -1
        shared: dict[int, int] = {}  # one int object a behaviour, as when it was first inserted: a third of the memory
        for delta in deltas:
            batch, inserted = _unpack(delta)
            if batch <= self._last:
                raise ValueError(f"deltas must be in order of their batches, got {batch} after {self._last}; sort them")
            self._last = batch
            for known, (keys, behaviours) in zip(self._layers, inserted, strict=True):
                known.update((k, shared.setdefault(b, b)) for k, b in zip(keys, behaviours, strict=True))
            self._evict()

    def _evict(self) -> None:
        # A dict iterates in order of insertion and a key is never inserted twice, so its front is the oldest. But an
        # iteration first walks over all slots that died at the front, milliseconds at a million entries: so seldom.
        for known in self._layers:
            if len(known) > self.entries:
                for key in list(islice(known, len(known) - self.entries + self.entries // 16)):
                    del known[key]


def _unpack(delta: bytes) -> tuple[int, list[tuple[list[int], list[int]]]]:
    words = np.frombuffer(delta, dtype="<i8").tolist() if len(delta) % 8 == 0 else []
    if len(words) < 4 or min(words[1:4]) < 0 or len(words) != 4 + 2 * sum(words[1:4]):
        raise ValueError(f"a delta must be whole, got {len(delta)} bytes; the store is damaged")
    batch, *numbers = words[:4]
    inserted, place = [], 4
    for number in numbers:
        inserted.append((words[place : place + number], words[place + number : place + 2 * number]))
        place += 2 * number
    return batch, inserted
