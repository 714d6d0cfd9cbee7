"""The run folder: its file, its lock, and errors a person can act on.

Durability. The journal is a write-ahead log (WAL): a commit appends to it, and what is not whole there is as if it
had never been. So a process killed at any moment loses at most the transaction it was in. `synchronous` is FULL:
each commit is also flushed to the disk before it returns, so a power failure loses no merged batch either, as far as
the disk tells the truth. NORMAL would be consistent too, but a power failure could take the last batches back; the
flush costs a few tenths of a millisecond a batch. WAL needs shared memory between the processes that look at a file,
so run folders belong on a local disk.
"""

import errno
import fcntl
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from archive.plain import TextError, to_json

FORMAT = 3
"""Version of the schema, in `PRAGMA user_version`: raised whenever it changes."""

FILE = "run.sqlite"
"""Name of the file in the run folder."""

_APPLICATION = 0x50524944  # "PRID", in `PRAGMA application_id`
_LOCK, _NEW = "run.lock", "run.sqlite.new"

# Columns for floats have no type on purpose: in a REAL column SQLite keeps whole numbers as integers and -0.0 as 0.
_SCHEMA = f"""
BEGIN;
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE batches (batch INTEGER PRIMARY KEY, progress TEXT NOT NULL, cache_delta BLOB NOT NULL);
CREATE TABLE programs (
    id INTEGER PRIMARY KEY, text TEXT NOT NULL, parent INTEGER, proposer TEXT NOT NULL, batch INTEGER NOT NULL,
    structural INTEGER, canonical INTEGER, functional INTEGER, behaviour INTEGER NOT NULL
);
CREATE TABLE evaluations (
    behaviour INTEGER, replicate INTEGER, status TEXT NOT NULL, stage INTEGER NOT NULL, score, tasks TEXT NOT NULL,
    descriptors TEXT NOT NULL, stage_scores TEXT NOT NULL, steps INTEGER NOT NULL, seconds, program TEXT,
    message TEXT NOT NULL, PRIMARY KEY (behaviour, replicate)
) WITHOUT ROWID;
CREATE TABLE elites (
    grid INTEGER, cell INTEGER, rank INTEGER, id INTEGER NOT NULL, behaviour INTEGER NOT NULL, size INTEGER NOT NULL,
    count INTEGER NOT NULL, mean, m2, descriptors TEXT NOT NULL, PRIMARY KEY (grid, cell, rank)
) WITHOUT ROWID;
CREATE TABLE plans (batch INTEGER PRIMARY KEY, plan TEXT NOT NULL);
CREATE TABLE state (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {_APPLICATION};
PRAGMA user_version = {FORMAT};
"""


class StoreError(ValueError):
    """A run folder that can't be used, or no longer; the text says what must hold, what was got, what to do."""


def create(path: Path, meta: Mapping[str, Any]) -> tuple[sqlite3.Connection, int]:
    """Makes the folder and the file of a new run; returns the writer's connection and lock."""
    path.mkdir(parents=True, exist_ok=True)
    _refuse_occupied(path)
    lock = acquire(path)
    try:
        _refuse_occupied(path)  # again: two may have come at once
        # Made under another name and renamed when whole: a kill leaves a run or nothing.
        (path / _NEW).unlink(missing_ok=True)
        db = sqlite3.connect(path / _NEW, isolation_level=None)
        try:
            db.execute("PRAGMA journal_mode = MEMORY")
            db.executescript(_SCHEMA)
            db.executemany("INSERT INTO meta VALUES (?, ?)", [(key, to_json(value)) for key, value in meta.items()])
            db.execute("COMMIT")
        finally:
            db.close()
        (path / _NEW).replace(path / FILE)
        return connect_writer(path), lock
    except BaseException:
        os.close(lock)
        raise


def _refuse_occupied(path: Path) -> None:
    held = sorted(entry.name for entry in path.iterdir() if entry.name not in (_LOCK, _NEW))
    if FILE in held:
        raise StoreError(
            f"a new run must have a folder of its own, got {path} with a run in it; choose another, or resume that run"
        )
    if held:
        raise StoreError(f"a new run must have an empty folder, got {path} with {held[0]!r} in it; choose another")


def refuse_missing(path: Path) -> None:
    """Refuses what is no run folder.

    Raises:
        StoreError: there is no folder, or no run in it.
    """
    if not (path / FILE).is_file():
        what = f"{path} without {FILE}" if path.is_dir() else f"no folder {path}"
        raise StoreError(f"a run folder must hold a run, got {what}; give the folder that `pride run` printed")


def acquire(path: Path) -> int:
    """Takes the writer's lock and returns its descriptor; closing it, or the end of the process, gives it back.

    Programs that the process starts do not inherit it; a plain fork would, and would hold the lock as long as it lives.

    Raises:
        StoreError: another writer holds it.
    """
    lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)
    except BlockingIOError:
        holder = os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"
        os.close(lock)
        raise StoreError(
            f"a run must have one writer, got {path} in use by {holder}; stop that one first, or look with `pride show`"
        ) from None
    except BaseException:
        os.close(lock)
        raise
    return lock


def remove(path: Path) -> None:
    """Removes the files of a run; the folder too, if nothing else is in it."""
    for name in (FILE, f"{FILE}-wal", f"{FILE}-shm", _NEW, _LOCK):
        (path / name).unlink(missing_ok=True)
    with suppress(OSError):
        path.rmdir()


def connect_writer(path: Path) -> sqlite3.Connection:
    """Returns a connection that may write, after a check of the whole file."""
    db = _connect(path, "mode=rw")
    try:
        # Reads the whole file, about a second a gigabyte: so that no damage is met in the middle of a search.
        found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(" ".join(found.split()))
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
    except BaseException:
        db.close()
        raise
    return db


def connect_reader(path: Path) -> sqlite3.Connection:
    """Returns a connection that can't write."""
    try:
        return _connect(path, "mode=ro")
    except sqlite3.OperationalError:
        # In a read-only folder there is no making the -shm that a WAL needs.
        if not _at_rest(path):
            raise
        return _connect(path, "mode=ro&immutable=1")


def _connect(path: Path, how: str) -> sqlite3.Connection:
    db = sqlite3.connect(f"{(path / FILE).absolute().as_uri()}?{how}", uri=True, isolation_level=None, timeout=30.0)
    try:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if application != _APPLICATION:
            raise sqlite3.DatabaseError("not a file of Pride")
        if version != FORMAT:
            wrote = (
                "a newer Pride wrote it: update Pride" if version > FORMAT else "an older Pride wrote it: use that one"
            )
            raise StoreError(f"a run must be of format {FORMAT}, got {path} of format {version}; {wrote}")
        pages = db.execute("PRAGMA page_size").fetchone()[0]
        if (path / FILE).stat().st_size % pages and _at_rest(path):  # SQLite would read zeros for the rest of a page
            raise sqlite3.DatabaseError("its last page is not whole")
        db.execute("SELECT count(*) FROM meta").fetchone()
    except BaseException:
        db.close()
        raise
    return db


def _at_rest(path: Path) -> bool:
    """Whether the file holds all there is: nothing waits in the journal."""
    journal = path / f"{FILE}-wal"
    return not journal.exists() or journal.stat().st_size == 0


@contextmanager
def clear_errors(path: Path) -> Iterator[None]:
    """Turns errors of SQLite and the file system into one line: what must hold, what was got, what to do."""
    try:
        yield
    except OSError as error:
        text = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StoreError(_explain_full(path, text)) from error
        raise StoreError(
            f"a run folder must be one that this user may write to, got {path}: {text}; choose another or mend that"
        ) from error
    except TextError as error:
        raise StoreError(_explain_damage(path, error)) from error
    except sqlite3.IntegrityError as error:
        raise ValueError(
            f"programs and evaluations must be stored once, got a second: {error}; reuse the first"
        ) from error
    except sqlite3.ProgrammingError:
        raise  # a mistake of the caller: a closed store, a value of a type that SQLite does not have
    except sqlite3.DatabaseError as error:
        raise StoreError(_explain(path, error)) from error


def _explain_damage(path: Path, error: Exception) -> str:
    return (
        f"a run's {FILE} must be whole, got a damaged or cut-off one in {path} ({error}); restore a copy, "
        f"or start anew with the same configuration and seed, which finds the same"
    )


def _explain(path: Path, error: sqlite3.DatabaseError) -> str:
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:
        case sqlite3.SQLITE_FULL:
            return _explain_full(path, str(error))
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return (
                f"a run folder must be one that this user may write to, got {path}: {error}; "
                f"mend that, or copy the folder"
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR:
            return _explain_damage(path, error)
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"a run's {FILE} must be free, got {error} in {path} for 30 s; close other programs that use it"
    return (
        f"the disk must be readable and writable, got {error} in {path}; check it, then resume: merged batches are safe"
    )


def _explain_full(path: Path, text: str) -> str:
    return f"the disk must have room for the run, got {text} in {path}; free some, then resume: merged batches are safe"
