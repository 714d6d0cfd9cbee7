import errno
import gc
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archive
from archive import folder as run_folder
from archive.cache import Cache, Keys
from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.evaluation import Evaluation, Status, TaskResult
from archive.grid import Grid
from archive.lineage import ancestors, lineage_graph
from archive.records import MergedBatch, ProgramRecord
from archive.store import Store
from primitives.kinds import LEAF, SCALAR, TENSOR, Kind
from primitives.program import Program, Signature, Statement

ROOT = str(Path(archive.__file__).parents[1])
SIZE, LAG = 4, 2


def merged(batch):
    """A batch that tells from its number all that it holds."""
    ids = range(batch * SIZE, (batch + 1) * SIZE)
    score = batch / 3
    return MergedBatch(
        batch=batch,
        progress={"candidates": (batch + 1) * SIZE, "best": score},
        cache_delta=batch.to_bytes(8, "little") * 4,
        programs=[
            ProgramRecord(i, f"text {i}", i - SIZE if batch else None, "insert", batch, i, -i, None, i) for i in ids
        ],
        evaluations=[(i, Evaluation(Status.OK, score, 1, 0, descriptors={"size": score})) for i in ids],
        cells={c: [Elite(ids[c], ids[c], c, batch, 1, score, 0.0, {"size": score})] for c in (0, batch % 3)},
        plans={batch + LAG: {"parents": list(ids), "thresholds": [score]}},
        state={"counters": {"hits": batch}, "window": bytes([batch % 256]) * 100},
    )


def contents(store):
    return {
        "progress": store.progress(),
        "deltas": list(store.cache_deltas()),
        "programs": list(store.programs()),
        "evaluations": [store.evaluations(p.id) for p in store.programs()],
        "elites": store.elites(),
        "plans": store.plans(),
        "state": store.state(),
    }


def assert_whole(store):
    """The store holds the batches up to the last, all of each, and nothing of a later one."""
    last = store.last_batch
    batches = [merged(batch) for batch in range(last + 1)]
    cells = {}
    for batch in batches:
        cells.update(batch.cells)
    assert contents(store) == {
        "progress": {b.batch: b.progress for b in batches},
        "deltas": [b.cache_delta for b in batches],
        "programs": [p for b in batches for p in b.programs],
        "evaluations": [(evaluation,) for b in batches for _, evaluation in b.evaluations],
        "elites": tuple(e for cell in sorted(cells) for e in cells[cell]),
        "plans": {batch: plan for b in batches for batch, plan in b.plans.items() if batch > last},
        "state": dict(batches[-1].state) if batches else {},
    }


def make(folder, batches=3, meta=None):
    with Store.create(folder, meta) as store:
        for batch in range(batches):
            store.commit(merged(batch))
    return folder


@contextmanager
def refused(text):
    """A refusal is a ValueError of one line."""
    with pytest.raises(ValueError, match=text) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    assert "must" in message
    assert ";" in message


# --- what is stored comes back


def test_a_run_comes_back_as_it_was_written(tmp_path):
    folder = tmp_path / "deep" / "run #1?%"
    make(folder, 5, {"config": {"seed": 1}, "versions": ["1.0"]})
    with Store.open(folder) as store:
        assert store.meta == {"config": {"seed": 1}, "versions": ["1.0"]}
        store.set_meta("finished", True)
        assert_whole(store)
        assert store.last_batch == 4
        assert list(store.progress(3)) == [3, 4]
        assert [p.id for p in store.programs(18)] == [18, 19]
        assert store.program(7) == merged(1).programs[3]
        assert store.program(999) is store.evaluation(999) is store.evaluation(0, 1) is None
        assert store.evaluation(0) == merged(0).evaluations[0][1]
        assert store.evaluations(999) == ()
    with Store.read(folder) as store:
        assert_whole(store)
        assert store.meta["finished"] is True


def test_a_new_run_is_empty_and_may_take_an_empty_folder(tmp_path):
    with Store.create(tmp_path) as store:
        assert_whole(store)
        assert store.last_batch == -1
        assert store.meta == {}


number = st.floats(allow_nan=False)
maybe = st.none() | number
name = st.text(max_size=8)
key = st.none() | st.integers(-(2**63), 2**63 - 1)
kind = st.sampled_from([SCALAR, LEAF, TENSOR, Kind("LEFT"), Kind("GRADE")])
named = st.lists(st.tuples(name, kind), max_size=3).map(tuple)
programs = st.builds(
    Program,
    st.builds(Signature, named, named),
    st.lists(
        st.builds(Statement, name, name, st.lists(name | st.floats(allow_nan=False), max_size=3).map(tuple)), max_size=4
    ).map(tuple),
    name,
)
evaluations = st.builds(
    Evaluation,
    status=st.sampled_from(Status),
    score=maybe,
    stage=st.integers(0, 9),
    replicate=st.just(0),
    tasks=st.dictionaries(name, st.builds(TaskResult, number, maybe, maybe, maybe), max_size=3),
    descriptors=st.dictionaries(name, number, max_size=3),
    stage_scores=st.lists(number, max_size=3).map(tuple),
    steps=st.integers(0, 2**62),
    seconds=number,
    program=st.none() | programs,
    message=name,
)
elites = st.builds(
    Elite,
    id=st.integers(0, 2**62),
    behaviour=st.integers(0, 2**62),
    cell=st.just(0),
    size=st.integers(0, 99),
    count=st.integers(1, 99),
    mean=number,
    m2=number,
    descriptors=st.dictionaries(name, number, max_size=3),
)
records = st.builds(
    ProgramRecord,
    id=st.just(0),
    text=st.text(),
    parent=key,
    proposer=name,
    batch=st.just(0),
    structural=key,
    canonical=key,
    functional=key,
    behaviour=st.integers(0, 2**62),
)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(evaluations, max_size=3), st.lists(elites, max_size=3), records, st.dictionaries(name, number), st.binary()
)
def test_every_bit_comes_back(judged, held, record, numbers, raw):
    with tempfile.TemporaryDirectory() as folder:
        batch = MergedBatch(
            0, numbers, raw, [record], list(enumerate(judged)), {0: held}, {2: numbers}, {"json": numbers, "raw": raw}
        )
        with Store.create(folder) as store:
            store.commit(batch)
        with Store.read(folder) as store:
            # repr tells -0.0 from 0.0, and a list from a tuple
            assert repr([store.evaluation(i) for i in range(len(judged))]) == repr(judged)
            assert repr(store.elites()) == repr(tuple(held))
            assert repr(list(store.programs())) == repr([record])
            assert repr(store.progress()) == repr({0: numbers})
            assert repr(store.plans()) == repr({2: numbers})
            assert repr(store.state()) == repr({"json": numbers, "raw": raw})
            assert list(store.cache_deltas()) == [raw]


@pytest.mark.parametrize("value", [-0.0, 0.1 + 0.2, 3.0, 5e-324, 1.7976931348623157e308, float("inf")])
def test_every_bit_of_a_float_column_comes_back(tmp_path, value):
    judged = Evaluation(Status.OK, value, 0, 0, seconds=value)
    elite = Elite(0, 0, 0, 1, 1, value, value, {"size": value})
    with Store.create(tmp_path) as store:
        store.commit(MergedBatch(0, {}, evaluations=[(0, judged)], cells={0: [elite]}))
        assert repr(store.evaluation(0)) == repr(judged)
        assert repr(store.elites()) == repr((elite,))


def test_grid_and_cache_come_back_from_the_store(tmp_path):
    axes = [Descriptor("size", (2.0, 4.0, 6.0), "test")]
    draw = random.Random(0)
    grid, cache = Grid(axes, 2, 0.1), Cache(20)
    with Store.create(tmp_path / "run") as store:
        for batch in range(30):
            keys = [Keys(batch * SIZE + slot, *(draw.randrange(40) for _ in range(3))) for slot in range(SIZE)]
            for known, hit in zip(keys, cache.admit(batch, keys), strict=True):
                values = {"size": draw.random() * 8}
                if hit is None:
                    grid.add(Elite.scored(known.id, known.id, grid.cell(values), 3, [draw.random()], values))
                else:
                    grid.update(hit.behaviour, draw.random())
            store.commit(MergedBatch(batch, {}, cache.delta(batch), cells=grid.take_changes()))
    other_grid, other_cache = Grid(axes, 2, 0.1), Cache(20)
    with Store.open(tmp_path / "run") as store:
        other_grid.restore(store.elites())
        other_cache.restore(store.cache_deltas())
    assert other_grid.elites() == grid.elites()
    assert [list(known.items()) for known in other_cache._layers] == [list(known.items()) for known in cache._layers]


def test_evaluations_of_many_behaviours_come_at_once(tmp_path):
    draw = random.Random(0)
    judged = [
        (b, Evaluation(Status.OK, draw.random(), 0, r)) for b in range(2000) for r in range(draw.choice((1, 1, 3)))
    ]
    draw.shuffle(judged)
    with Store.create(tmp_path) as store:
        store.commit(MergedBatch(0, {}, evaluations=judged))
        asked = draw.sample(range(3000), 1500)
        found = store.evaluations_of(asked)
        assert found.keys() == {b for b in asked if b < 2000}
        assert all(store.evaluations(b) == held for b, held in found.items())
        assert [e.replicate for e in found[max(found, key=lambda b: len(found[b]))]] == [0, 1, 2]
        assert {(b, e.score) for b, held in found.items() for e in held} == {
            (b, e.score) for b, e in judged if b in found
        }
        assert store.evaluations_of([]) == {}


def test_an_emptied_cell_is_empty(tmp_path):
    with Store.create(tmp_path) as store:
        store.commit(merged(0))
        assert len(store.elites()) == 1
        store.commit(MergedBatch(1, {}, cells={0: ()}))
        assert store.elites() == ()


# --- one transaction a batch


@pytest.mark.parametrize(
    "wrong",
    [
        replace(merged(3), batch=2),
        replace(merged(3), batch=5),
        replace(merged(3), programs=[*merged(3).programs, merged(0).programs[0]]),
        replace(merged(3), evaluations=[*merged(3).evaluations, *merged(0).evaluations]),
        replace(merged(3), evaluations=[(99, Evaluation(Status.OK, float("nan"), 0, 0))]),
    ],
)
def test_a_batch_that_does_not_fit_changes_nothing(tmp_path, wrong):
    with Store.open(make(tmp_path)) as store:
        with refused("must"):
            store.commit(wrong)
        assert_whole(store)
        store.commit(merged(3))
        assert_whole(store)
        assert store.last_batch == 3


WRITER = """
import sys
sys.path[:0] = sys.argv[2:]
from test_archive_store import merged
from archive.store import Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
for batch in range(store.last_batch + 1, 1_000_000):
    store.commit(merged(batch))
    print(batch, flush=True)
"""


def start_writer(folder):
    tests = str(Path(__file__).parent)
    return subprocess.Popen([sys.executable, "-c", WRITER, str(folder), ROOT, tests], stdout=subprocess.PIPE, text=True)


def test_a_kill_at_any_moment_leaves_whole_batches(tmp_path):
    folder = make(tmp_path / "run", 0)
    draw = random.Random(0)
    last, stopped_short = -1, 0
    for _ in range(8):
        with start_writer(folder) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            with refused("in use by process"), Store.open(folder):
                pass
            time.sleep(draw.random() * 0.05)
            os.kill(writer.pid, signal.SIGKILL)
            told = [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
            assert writer.wait() == -signal.SIGKILL
        with Store.read(folder) as store:  # before any writer has mended the file
            assert_whole(store)
            assert store.last_batch >= (told[-1] if told else last)
            last = store.last_batch
        stopped_short += bool((folder / "run.sqlite-wal").exists())
        with Store.open(folder) as store:  # the kernel gave the lock back
            assert_whole(store)
            assert store.last_batch == last
    assert last > 0
    assert stopped_short > 0


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 1))
def test_a_journal_that_ends_anywhere_gives_a_whole_prefix(share):
    """What a power failure or a copy in the middle of a write leaves."""
    with tempfile.TemporaryDirectory() as name:
        cut, kept = Path(name, "cut"), Path(name, "kept")
        with Store.create(kept) as store:
            store._db.execute("PRAGMA wal_autocheckpoint = 0")
            for batch in range(6):
                store.commit(merged(batch))
            cut.mkdir()
            for suffix in ("", "-wal"):
                shutil.copy(kept / f"run.sqlite{suffix}", cut)
        journal = cut / "run.sqlite-wal"
        size = journal.stat().st_size
        os.truncate(journal, int(share * size))
        with Store.open(cut) as store:
            assert_whole(store)
            assert store.last_batch <= 5
            assert share < 1 or store.last_batch == 5


# --- readers


def test_readers_look_while_the_writer_writes(tmp_path):
    with Store.create(tmp_path) as writer, Store.read(tmp_path) as reader:
        for batch in range(5):
            writer.commit(merged(batch))
            assert_whole(reader)
            assert reader.last_batch == batch
        with reader.snapshot():
            assert reader.last_batch == 4
            writer.commit(merged(5))
            assert_whole(reader)
            assert reader.last_batch == 4
        assert reader.last_batch == 5
        for write in (lambda: reader.commit(merged(6)), lambda: reader.set_meta("a", 1)):
            with refused("by the writer"):
                write()
    with refused("closed"):
        writer.commit(merged(6))


def test_one_writer_at_a_time(tmp_path):
    with Store.create(tmp_path) as store:
        for use in (Store.open, Store.create):
            with refused("one writer|with a run in it"):
                use(tmp_path)
        store.commit(merged(0))
    with Store.open(tmp_path) as store:
        store.commit(merged(1))
        with refused(f"in use by process {os.getpid()} on "):
            Store.open(tmp_path)


# --- bad folders


def test_a_run_is_never_overwritten(tmp_path):
    folder = make(tmp_path / "run")
    with refused("with a run in it"):
        Store.create(folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    with refused("'thesis.tex' in it"):
        Store.create(other)
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    with refused("File exists"):
        Store.create(other / "thesis.tex")
    with Store.read(folder) as store:
        assert_whole(store)


def test_a_creation_that_was_killed_may_be_repeated(tmp_path, monkeypatch):
    def killed(self, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            Store.create(tmp_path / "run")
    assert (tmp_path / "run" / "run.sqlite.new").exists()
    with refused("without run.sqlite"):
        Store.open(tmp_path / "run")
    make(tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        assert_whole(store)


@pytest.mark.parametrize("use", [Store.open, Store.read])
def test_what_is_no_run_folder_is_refused(tmp_path, use):
    with refused("no folder"):
        use(tmp_path / "nowhere")
    with refused("without run.sqlite"):
        use(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("use", [Store.open, Store.read])
@pytest.mark.parametrize(("number", "wrote"), [(run_folder.FORMAT + 1, "newer"), (run_folder.FORMAT - 1, "older")])
def test_another_format_is_refused_and_left_alone(tmp_path, use, number, wrote):
    make(tmp_path)
    db = sqlite3.connect(tmp_path / "run.sqlite")
    db.execute(f"PRAGMA user_version = {number}")
    db.close()
    before = (tmp_path / "run.sqlite").read_bytes()
    with refused(f"format {number}; an? {wrote} Pride"):
        use(tmp_path)
    assert (tmp_path / "run.sqlite").read_bytes() == before


@pytest.mark.parametrize("use", [Store.open, Store.read])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9, 0.999])
def test_a_file_cut_off_in_the_middle_is_refused(tmp_path, use, share):
    file = make(tmp_path, 40) / "run.sqlite"
    os.truncate(file, int(share * file.stat().st_size))
    before = file.read_bytes()
    with refused("damaged or cut-off"):
        use(tmp_path)
    assert file.read_bytes() == before


def test_a_damaged_page_and_a_stranger_are_refused(tmp_path):
    file = make(tmp_path / "run", 40) / "run.sqlite"
    with file.open("r+b") as stream:
        stream.seek(4096 * 3)
        stream.write(b"\xff" * 4096 * 4)
    with refused("damaged or cut-off"):
        Store.open(tmp_path / "run")
    with refused("damaged or cut-off"), Store.read(tmp_path / "run") as store:
        contents(store)
    file.write_text("this is no database at all\n" * 1000)
    with refused("damaged or cut-off"):
        Store.open(tmp_path / "run")
    file.unlink()
    stranger = sqlite3.connect(file)
    stranger.execute("CREATE TABLE meta (a)")
    stranger.close()
    with refused("not a file of Pride"):
        Store.open(tmp_path / "run")


@pytest.mark.parametrize(
    "table", ["meta SET value", "batches SET progress", "plans SET plan", "elites SET descriptors"]
)
def test_text_that_is_damaged_within_is_refused(tmp_path, table):
    """A page may be whole for SQLite and hold what nobody wrote; no generator is left over that speaks up later."""
    make(tmp_path, meta={"starts": []})
    db = sqlite3.connect(tmp_path / "run.sqlite")
    db.execute(f"UPDATE {table} = '[cut'")
    db.commit()
    db.close()
    with refused("damaged or cut-off"), Store.read(tmp_path) as store:
        assert store.meta
        contents(store)
    gc.collect()


@pytest.mark.parametrize(
    "damage", ["tasks = '[cut'", "tasks = '[1]'", "stage_scores = 'null'", "descriptors = '[cut'", "program = '5'"]
)
def test_an_evaluation_that_is_damaged_within_is_told_to_whom_looks(tmp_path, damage):
    with Store.create(tmp_path / "run") as store:
        store.commit(MergedBatch(0, {}, evaluations=[(7, Evaluation(Status.OK, 0.5, 0, 0))]))
    db = sqlite3.connect(tmp_path / "run" / "run.sqlite")
    db.execute(f"UPDATE evaluations SET {damage}")
    db.commit()
    db.close()
    with refused("damaged or cut-off one in .*run"), Store.read(tmp_path / "run") as store:
        store.evaluation(7)


def test_only_a_run_without_results_is_discarded(tmp_path):
    with Store.create(tmp_path / "a" / "run") as store:
        store.discard()
    assert list((tmp_path / "a").iterdir()) == []
    (tmp_path / "b").mkdir()
    with Store.create(tmp_path / "b") as store:
        (tmp_path / "b" / "mine").touch()
        store.discard()
    assert [file.name for file in (tmp_path / "b").iterdir()] == ["mine"]
    make(tmp_path / "c")
    with Store.open(tmp_path / "c") as store, refused("without results"):
        store.discard()
    with Store.read(tmp_path / "c") as store, refused("the writer.s own"):
        store.discard()
    with Store.open(tmp_path / "c") as store:
        assert store.last_batch == 2


@pytest.fixture
def read_only(tmp_path):
    """A run in a folder that this process may only read; root, whom permissions do not stop, becomes nobody."""
    folder = Path(tempfile.mkdtemp())  # pytest's own folder is closed to nobody
    root = os.geteuid() == 0
    try:
        make(folder / "run")
        (folder / "run").chmod(0o555)
        for file in (folder / "run").iterdir():
            file.chmod(0o444)
        folder.chmod(0o555)
        if root:
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in (folder, folder / "run"):
            path.chmod(0o755)
        shutil.rmtree(folder)


def test_a_read_only_folder_can_be_looked_at_and_not_written(read_only):
    with refused("may write to.*Permission denied"):
        Store.create(read_only / "new")
    with refused("may write to.*Permission denied"):
        Store.open(read_only / "run")
    with Store.read(read_only / "run") as store:
        assert_whole(store)
        assert store.last_batch == 2


def test_a_folder_that_turns_read_only_is_told(tmp_path):
    with Store.open(make(tmp_path)) as store:
        store._db.execute("PRAGMA query_only = ON")
        with refused("may write to.*readonly"):
            store.commit(merged(3))
        store._db.execute("PRAGMA query_only = OFF")
        store.commit(merged(3))
        assert_whole(store)


def test_a_full_disk_is_told_and_no_merged_batch_is_lost(tmp_path):
    big = replace(merged(3), cache_delta=bytes(100_000))
    with Store.open(make(tmp_path)) as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        for _ in range(2):
            with refused("room for the run.*full"):
                store.commit(big)
            assert_whole(store)
            assert store.last_batch == 2
        store._db.execute("PRAGMA max_page_count = 1000000")
        store.commit(merged(3))
        assert_whole(store)
    with Store.open(tmp_path) as store:
        assert_whole(store)
        assert store.last_batch == 3


def test_a_full_disk_at_the_start_is_told(tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    with refused("room for the run.*No space left"):
        Store.create(tmp_path / "run")


def test_a_file_that_may_not_grow_is_told_and_no_merged_batch_is_lost(tmp_path):
    """A write that the kernel refuses in the middle of a transaction."""
    with Store.open(make(tmp_path)) as store:
        store.commit(merged(3))
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        limit = (tmp_path / "run.sqlite-wal").stat().st_size + 5_000
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with refused("must (be readable and writable|have room)"):
                store.commit(replace(merged(4), cache_delta=bytes(100_000)))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert_whole(store)
        store.commit(merged(4))
    with Store.open(tmp_path) as store:
        assert_whole(store)
        assert store.last_batch == 4


# --- lineage


def test_lineage_goes_back_to_the_root(tmp_path):
    draw = random.Random(1)
    graph = networkx.DiGraph()
    with Store.create(tmp_path) as store:
        for batch in range(20):
            bred = []
            for candidate in range(batch * SIZE, (batch + 1) * SIZE):
                parent = draw.randrange(batch * SIZE) if batch else None
                bred.append(ProgramRecord(candidate, "", parent, "modify", batch, None, None, None, candidate))
                graph.add_node(candidate)
                if parent is not None:
                    graph.add_edge(parent, candidate)
            store.commit(MergedBatch(batch, {}, programs=bred))
        assert set(lineage_graph(store)) == set(graph)
        assert set(lineage_graph(store).edges) == set(graph.edges)
        assert lineage_graph(store).nodes[50] == {"proposer": "modify", "batch": 12}
        for candidate in graph:
            line = [record.id for record in ancestors(store, candidate)]
            assert line[-1] == candidate
            assert line == [*sorted(networkx.ancestors(graph, candidate)), candidate]
            assert store.program(line[0]) == ProgramRecord(line[0], "", None, "modify", 0, None, None, None, line[0])
        with refused("got id 999"):
            ancestors(store, 999)


def test_lineage_ends_where_nothing_is_stored_and_never_turns(tmp_path):
    with Store.create(tmp_path) as store:
        bred = [
            ProgramRecord(i, "", parent, "insert", 0, None, None, None, i) for i, parent in ((7, 3), (8, 7), (9, 9))
        ]
        store.commit(MergedBatch(0, {}, programs=bred))
        assert [record.id for record in ancestors(store, 8)] == [7, 8]
        with refused("older than its child"):
            ancestors(store, 9)
        assert set(lineage_graph(store)) == {7, 8, 9}
