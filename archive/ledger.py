"""A ledger: finished pieces of a long piece of work, so that none is done twice.

One line of JSON a piece, appended and flushed to the disk when it is finished. A kill in the middle of a line loses
that line, and nothing else: what has no line end is cut off when the ledger is opened again.
"""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
"""Format of the file, in its first line."""


class Ledger:
    """Results by key, in a file that one process at a time may write.

    Args:
        path: the file; it is made where there is none.
        about: what the work is of; a file that says otherwise is refused.

    Raises:
        ValueError: the file is of other work, of another format, damaged, in use, or can't be written.
    """

    def __init__(self, path: Path, about: Mapping[str, Any]) -> None:
        self.path = path
        self._held: dict[str, Any] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b", buffering=0)  # nothing that a full disk refused is left to be written later
        except OSError as error:
            raise ValueError(
                f"{path} must be a file that can be written, got: {error.strerror}; choose another"
            ) from None
        try:
            self._lock()
            self._load(json.loads(json.dumps({"format": FORMAT, **about})))
        except BaseException:
            self._file.close()
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"{self.path} must have one writer, got one at work; wait for it or stop it") from None

    def _load(self, head: Mapping[str, Any]) -> None:
        self._file.seek(0)
        lines = self._file.read().split(b"\n")
        whole = sum(map(len, lines[:-1])) + len(lines) - 1
        self._file.truncate(whole)  # what a kill has left of a line
        for number, line in enumerate(lines[:-1], start=1):
            try:
                key, value = json.loads(line)
                self._held[key] = value
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"{self.path} must hold one result a line, got something else in line {number} ({error}); remove "
                    f"that line, and the work is done again"
                ) from None
        if not lines[:-1]:
            self._append("about", head)
        elif self._held.get("about") != head:
            raise ValueError(
                f"{self.path} must be of this work, got one of another ({_difference(self._held.get('about'), head)}); "
                f"choose another folder"
            )

    def __contains__(self, key: str) -> bool:
        return key in self._held

    def __getitem__(self, key: str) -> Any:
        return self._held[key]

    def __iter__(self) -> Iterator[str]:
        return (key for key in self._held if key != "about")

    def add(self, key: str, value: Any) -> Any:
        """Keeps a result, on the disk when this returns; returns it as it will be read back.

        Raises:
            ValueError: the disk is full or can't be written; all results before are safe.
        """
        return self._append(key, json.loads(json.dumps(value)))

    def _append(self, key: str, value: Any) -> Any:
        line = json.dumps([key, value]).encode() + b"\n"
        try:
            while line:
                line = line[self._file.write(line) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            raise ValueError(
                f"the disk must have room for {self.path}, got: {error.strerror}; free some, then go on: what is "
                f"finished is safe"
            ) from None
        self._held[key] = value
        return value

    def close(self) -> None:
        """Lets the file go."""
        self._file.close()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _difference(found: Any, wanted: Mapping[str, Any]) -> str:
    if not isinstance(found, Mapping):
        return f"its first line says {str(found)[:60]!r}"
    key = next((key for key in {**wanted, **found} if found.get(key) != wanted.get(key)), "about")
    return f"{key}: {str(found.get(key))[:60]!r}, not {str(wanted.get(key))[:60]!r}"
