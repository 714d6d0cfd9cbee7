"""What waits for a worker: in order, what is urgent before the rest."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Queue(Generic[T]):
    """A queue with a lane for what is urgent."""

    def __init__(self) -> None:
        self._urgent: deque[T] = deque()
        self._other: deque[T] = deque()

    def __len__(self) -> int:
        return len(self._urgent) + len(self._other)

    def __bool__(self) -> bool:
        return bool(self._urgent or self._other)

    @property
    def is_urgent(self) -> bool:
        """Whether the next item is urgent."""
        return bool(self._urgent)

    def put(self, items: Iterable[T], first: bool = False) -> None:
        """Puts items at the end, or behind those that are urgent."""
        (self._urgent if first else self._other).extend(items)

    def put_back(self, items: Sequence[T]) -> None:
        """Puts items that were out already before all others."""
        self._urgent.extendleft(reversed(items))

    def head(self) -> T:
        """Returns the next item."""
        return (self._urgent or self._other)[0]

    def take(self, most: int) -> list[T]:
        """Removes the next item, and up to `most` in all of its type that follow at once in its lane; returns them."""
        lane = self._urgent or self._other
        taken = [lane.popleft()]
        sort = type(taken[0])
        while lane and len(taken) < most and type(lane[0]) is sort:
            taken.append(lane.popleft())
        return taken

    def clear(self) -> None:
        """Forgets all."""
        self._urgent.clear()
        self._other.clear()
