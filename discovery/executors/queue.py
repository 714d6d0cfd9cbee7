"""What waits for a worker: in order, what is urgent before the rest."""

from collections import deque
from collections.abc import Sequence
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

    def put(self, item: T, first: bool = False) -> None:
        """Puts an item at the end, or behind those that are urgent."""
        (self._urgent if first else self._other).append(item)

    def put_back(self, items: Sequence[T]) -> None:
        """Puts items that were out already before all others."""
        self._urgent.extendleft(reversed(items))

    def head(self) -> T:
        """Returns the next item."""
        return (self._urgent or self._other)[0]

    def take(self) -> T:
        """Removes the next item and returns it."""
        return (self._urgent or self._other).popleft()

    def clear(self) -> None:
        """Forgets all."""
        self._urgent.clear()
        self._other.clear()
