"""The store: one SQLite file in the run folder that holds all a run needs to go on, and all there is to see of it."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from archive import folder as run_folder
from archive.elite import Elite
from archive.evaluation import Evaluation
from archive.folder import StoreError
from archive.plain import TextError, from_json, to_json
from archive.records import (
    EvaluationRow,
    MergedBatch,
    ProgramRecord,
    elite_from_row,
    elite_to_row,
    evaluation_from_row,
    evaluation_to_row,
)


class Store:
    """The SQLite file of a run: one writer, readers at any time.

    `create` and `open` give the writer, which holds a lock that the kernel releases when its process ends, however
    it ends; `read` gives a reader. Use it in a `with` statement, or `close` it.
    """

    def __init__(self, folder: Path, db: sqlite3.Connection, lock: int | None) -> None:
        """Private: `create`, `open` and `read` make stores."""
        self.folder = folder
        self._db = db
        self._lock = lock

    @classmethod
    def create(cls, folder: str | os.PathLike[str], meta: Mapping[str, Any] | None = None) -> "Store":
        """Makes a run folder (new, or an empty one) and returns its writer.

        Args:
            folder: where the run is to live; parents are made too.
            meta: what holds for the whole run (configuration, versions, device), JSON by key.

        Raises:
            StoreError: the folder holds something, is in use, is read-only or on a full disk.
        """
        path = Path(folder)
        with run_folder.clear_errors(path):
            return cls(path, *run_folder.create(path, meta or {}))

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> "Store":
        """Returns the writer of an existing run, after a check of the whole file.

        Raises:
            StoreError: no run folder, in use by another writer, read-only, damaged, or of a newer version.
        """
        path = Path(folder)
        with run_folder.clear_errors(path):
            run_folder.refuse_missing(path)
            lock = run_folder.acquire(path)
            try:
                return cls(path, run_folder.connect_writer(path), lock)
            except BaseException:
                os.close(lock)
                raise

    @classmethod
    def read(cls, folder: str | os.PathLike[str]) -> "Store":
        """Returns a reader of an existing run, also while a writer is at work.

        Raises:
            StoreError: no run folder, damaged, or of a newer version.
        """
        path = Path(folder)
        with run_folder.clear_errors(path):
            run_folder.refuse_missing(path)
            return cls(path, run_folder.connect_reader(path), None)

    def close(self) -> None:
        """Ends the use of the store; a writer gives the lock back. May be called again."""
        self._db.close()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def discard(self) -> None:
        """Closes the store and removes its files, where nothing was ever merged; its folder too, if it is empty then.

        Raises:
            StoreError: it is no writer, or holds a batch.
        """
        if self._lock is None or self.last_batch >= 0:
            raise StoreError(
                f"what is discarded must be the writer's own and without results, got {self.folder}; leave it"
            )
        self._db.close()
        run_folder.remove(self.folder)
        self.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def commit(self, merged: MergedBatch) -> None:
        """Writes all that merging a batch changes, or nothing.

        Raises:
            ValueError: the batch does not follow the last one, a program or evaluation is there already, or a score
                is NaN; nothing is written.
            StoreError: a reader, a full disk, a read-only folder, a damaged file; all batches before are safe.
        """
        programs = [
            (p.id, p.text, p.parent, p.proposer, p.batch, p.structural, p.canonical, p.functional, p.behaviour)
            for p in merged.programs
        ]
        evaluations = [evaluation_to_row(behaviour, evaluation) for behaviour, evaluation in merged.evaluations]
        grids = {0: merged.cells, **{island + 1: cells for island, cells in merged.islands.items()}}
        cells = [(grid, cell, held) for grid, changed in grids.items() for cell, held in changed.items()]
        elites = [elite_to_row(grid, cell, rank, e) for grid, cell, held in cells for rank, e in enumerate(held)]
        plans = [(batch, to_json(plan)) for batch, plan in merged.plans.items()]
        state = [(key, v if isinstance(v, bytes) else to_json(v)) for key, v in merged.state.items()]
        row = (merged.batch, to_json(dict(merged.progress)), merged.cache_delta)
        with self._transaction() as db:
            last = self.last_batch
            if merged.batch != last + 1:
                raise ValueError(f"batches must be merged in order, got {merged.batch} after {last}; merge the next")
            db.execute("INSERT INTO batches VALUES (?, ?, ?)", row)
            db.executemany(f"INSERT INTO programs VALUES ({_marks(9)})", programs)
            db.executemany(f"INSERT INTO evaluations VALUES ({_marks(12)})", evaluations)
            db.executemany("DELETE FROM elites WHERE grid = ? AND cell = ?", [cell[:2] for cell in cells])
            db.executemany(f"INSERT INTO elites VALUES ({_marks(10)})", elites)
            db.execute("DELETE FROM plans WHERE batch <= ?", (merged.batch,))
            db.executemany("INSERT OR REPLACE INTO plans VALUES (?, ?)", plans)
            db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state)

    def set_meta(self, key: str, value: Any) -> None:
        """Writes one entry of `meta` in a transaction of its own: what no batch tells (a run that ended, a resume).

        Raises:
            StoreError: as `commit`.
        """
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, to_json(value)))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """All reads inside see one and the same moment of the run, whatever the writer does meanwhile."""
        with run_folder.clear_errors(self.folder):
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")

    @property
    def last_batch(self) -> int:
        """Number of the batch merged last; -1 before the first."""
        ((last,),) = self._rows("SELECT coalesce(max(batch), -1) FROM batches")
        return last

    @property
    def meta(self) -> dict[str, Any]:
        """What holds for the whole run."""
        return dict(self._rows("SELECT key, value FROM meta ORDER BY key", read=_named))

    def progress(self, start: int = 0) -> dict[int, Any]:
        """Returns the progress of the batches from `start` on, by batch."""
        return dict(
            self._rows("SELECT batch, progress FROM batches WHERE batch >= ? ORDER BY batch", start, read=_named)
        )

    def cache_deltas(self) -> Iterator[bytes]:
        """Yields what each batch inserted in the cache, in order."""
        for (delta,) in self._stream("SELECT cache_delta FROM batches ORDER BY batch"):
            yield delta

    def program(self, candidate: int) -> ProgramRecord | None:
        """Returns the program of a candidate id, or None."""
        return next((ProgramRecord(*row) for row in self._rows("SELECT * FROM programs WHERE id = ?", candidate)), None)

    def programs(self, start: int = 0) -> Iterator[ProgramRecord]:
        """Yields the stored programs from candidate id `start` on, by id."""
        for row in self._stream("SELECT * FROM programs WHERE id >= ? ORDER BY id", start):
            yield ProgramRecord(*row)

    def parents(self) -> Iterator[tuple[int, int | None, str, int]]:
        """Yields (id, parent, proposer, batch) of all stored programs by id, without their texts."""
        yield from self._stream("SELECT id, parent, proposer, batch FROM programs ORDER BY id")

    def evaluation(self, behaviour: int, replicate: int = 0) -> Evaluation | None:
        """Returns the evaluation of a behaviour on a replicate, or None."""
        query = "SELECT * FROM evaluations WHERE behaviour = ? AND replicate = ?"
        return next(iter(self._rows(query, behaviour, replicate, read=_whole)), None)

    def evaluations(self, behaviour: int) -> tuple[Evaluation, ...]:
        """Returns the evaluations of a behaviour by replicate."""
        return self.evaluations_of([behaviour]).get(behaviour, ())

    def evaluations_of(self, behaviours: Iterable[int]) -> dict[int, tuple[Evaluation, ...]]:
        """Returns the evaluations of each behaviour that has some, by replicate: one query takes least time."""
        query = """
            SELECT * FROM evaluations WHERE behaviour IN (SELECT value FROM json_each(?)) ORDER BY behaviour, replicate
        """
        found: dict[int, tuple[Evaluation, ...]] = {}
        for behaviour, evaluation in self._rows(query, to_json(list(behaviours)), read=_judged):
            found[behaviour] = (*found.get(behaviour, ()), evaluation)
        return found

    def elites(self, island: int | None = None) -> tuple[Elite, ...]:
        """Returns the elites of the archive, or of the grid that an island has beside it, by cell, then rank."""
        grid = 0 if island is None else island + 1
        return tuple(self._rows("SELECT * FROM elites WHERE grid = ? ORDER BY cell, rank", grid, read=elite_from_row))

    def plans(self) -> dict[int, Any]:
        """Returns what the batches not yet merged are bred from, by batch."""
        return dict(self._rows("SELECT batch, plan FROM plans ORDER BY batch", read=_named))

    def state(self) -> dict[str, Any]:
        """Returns the named values of the last merge: bytes as they were, the rest from JSON."""
        return dict(self._rows("SELECT key, value FROM state ORDER BY key", read=_named))

    def _rows(self, query: str, *values: int | str, read: Callable[[Any], Any] = tuple) -> list[Any]:
        """All rows, each as `read` makes it; damage shows in either."""
        with run_folder.clear_errors(self.folder):
            rows = self._db.execute(query, values).fetchall()
            try:
                return [read(row) for row in rows]
            except (AttributeError, TypeError) as error:  # SQLite read it well, but it is something else
                raise TextError(str(error)) from error

    def _stream(self, query: str, *values: int) -> Iterator[Any]:
        with run_folder.clear_errors(self.folder):
            yield from self._db.execute(query, values)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        if self._lock is None:
            raise StoreError(
                f"writing must be done by the writer, got a reader or a closed store of {self.folder}; open it"
            )
        with run_folder.clear_errors(self.folder):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite has rolled back by itself after some errors
                    with suppress(sqlite3.Error):
                        self._db.execute("ROLLBACK")
                raise


def _named(row: tuple[Any, Any]) -> tuple[Any, Any]:
    """A name, or a number, and what it stands for: bytes as they are, or JSON."""
    key, value = row
    return key, value if isinstance(value, bytes) else from_json(value)


def _judged(row: EvaluationRow) -> tuple[int, Evaluation]:
    """A behaviour and an evaluation of it."""
    return row[0], evaluation_from_row(row)


def _whole(row: EvaluationRow) -> Evaluation:
    """An evaluation, its tasks read too."""
    evaluation = evaluation_from_row(row)
    len(evaluation.tasks)
    return evaluation


def _marks(number: int) -> str:
    return ", ".join("?" * number)
