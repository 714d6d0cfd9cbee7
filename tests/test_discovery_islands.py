"""Islands: populations apart from each other, bred from in turn, that exchange their best; one is a plain search."""

import json

import pytest
from runs import Disorderly, at_random, configuration, contents, counters, execute, newest_first

from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.grid import Grid
from archive.store import Store
from discovery.islands import Islands
from discovery.report import summary
from discovery.run import Run

AXES = (Descriptor("size", (10, 20), "operations"),)


def elite(id, score, size=5):
    return Elite.scored(id, id, AXES[0].bin(size), size, [score], {"size": size})


def islands(count=3, depth=3, **changes):
    return Islands(configuration(islands=count, **changes), Grid(AXES, depth), 2)


def ids(grid):
    return {one.id for one in grid.elites()}


def test_one_island_is_bred_from_the_archive_itself():
    people = islands(1, migration={"every": 1})
    assert people.of(0).grid is people.archive
    assert people.offer(0, elite(0, 1.0))
    assert not people.end_batch(0)
    assert people.take_changes() == {}
    assert people.best() == elite(0, 1.0)


def test_a_batch_goes_back_to_the_island_that_it_was_bred_from_and_to_the_archive():
    people = islands(depth=1)
    for batch, score in enumerate([0.5, 0.2, 0.9, 0.1, 0.3]):
        assert people.offer(batch, elite(batch, score)) == (batch in (0, 1, 2, 4)), "3 is behind 0 where it belongs"
        people.end_batch(batch)
    assert [ids(one.grid) for one in people.populations] == [{0}, {4}, {2}]
    assert ids(people.archive) == {2}
    assert people.best() == elite(2, 0.9)
    assert {island: list(cells) for island, cells in people.take_changes().items()} == {0: [0], 1: [0], 2: [0]}
    assert people.take_changes() == {}
    assert set(people.take_state()) == {"population.0", "population.1", "population.2"}
    people.end_batch(7)
    assert set(people.take_state()) == {"population.1"}


def test_the_best_migrate_to_the_next_island_as_they_were_before():
    people = islands(migration={"every": 6, "elites": 2}, depth=3)
    for batch in range(6):
        people.offer(batch, elite(batch, float(batch)))
        if batch < 3:
            people.offer(batch, elite(10 + batch, -1.0))
        people.end_batch(batch)
        if batch < 5:
            assert [len(one.grid) for one in people.populations] == [
                sum(2 if b < 3 else 1 for b in range(batch + 1) if b % 3 == i) for i in range(3)
            ]
    assert [ids(one.grid) for one in people.populations] == [{0, 3, 2, 5} - {0}, {1, 4, 0, 3} - {0}, {2, 5, 1, 4} - {1}]


def test_strategies_with_a_memory_hear_of_those_who_come():
    people = islands(2, migration={"every": 2, "elites": 1}, strategy={"name": "regularized_evolution"})
    for batch in range(2):
        people.offer(batch, elite(batch, float(batch)))
        people.end_batch(batch)
    assert [one.strategy.state() for one in people.populations] == [[[1, 1.0]], [[0, 0.0]]]


def test_replicates_reach_every_island():
    people = islands()
    for batch in range(3):
        people.offer(batch, elite(0, 1.0))
    people.update(0, 0.0)
    grids = [people.archive, *(one.grid for one in people.populations)]
    assert [[one.mean for one in grid.elites()] for grid in grids] == [[0.5]] * 4


@pytest.mark.parametrize(
    "changes",
    [
        {"islands": 2},
        {"islands": 3, "migration": {"every": 4, "elites": 3}, "lag": 4},
        {"islands": 3, "migration": {"every": 2}, "strategy": {"name": "regularized_evolution", "population": 30}},
        {"islands": 2, "migration": {"every": 7}, "restart": {"from": "best", "patience": 2}},
        {"islands": 2, "validation": {"every": 2, "patience": 1, "then": "restart"}},
    ],
    ids=str,
)
def test_islands_are_reproducible_in_disorder_and_in_pieces(tmp_path, changes):
    whole = execute(configuration(**changes), tmp_path / "whole")
    assert whole["islands"]

    def watch(progress):
        if progress.batch in (3, 8):
            raise KeyboardInterrupt

    with Run.create(configuration(**changes), tmp_path / "run") as run, pytest.raises(KeyboardInterrupt):
        run.execute(watch=watch, executor=Disorderly(run, 3, at_random(5)))
    with Run.resume(tmp_path / "run") as run:
        with pytest.raises(KeyboardInterrupt):
            run.execute(watch=watch)
        run.execute(executor=Disorderly(run, 2, newest_first))
    assert contents(tmp_path / "run") == whole


def test_islands_differ_and_the_archive_has_what_all_found(tmp_path):
    config = configuration(islands=2, migration={"every": 10**6}, budget=640, archive={"depth": 1})
    execute(config, tmp_path / "run")
    with Store.read(tmp_path / "run") as store:
        found, apart = store.elites(), [store.elites(island) for island in range(2)]
        parents = {id: (parent, batch) for id, parent, _, batch in store.parents()}
    assert apart[0] != apart[1]
    best = {}
    for one in (*apart[0], *apart[1]):
        best[one.cell] = max(best.get(one.cell, -99.0), one.mean)
    assert {one.cell for one in found} == set(best)
    for parent, batch in parents.values():
        assert parent is None or parent < 2 or parents[parent][1] % 2 == batch % 2, "no migration, no mixing"
    told = summary(tmp_path / "run")
    assert told["cells"] == len(found)


def test_islands_share_the_cache(tmp_path):
    execute(configuration(islands=4), tmp_path / "run")
    figures = counters(tmp_path / "run")
    hits = sum(count for key, count in figures.items() if key.startswith("hit."))
    assert hits > 0
    assert figures["candidates"] == 320


def test_the_state_of_one_island_is_written_where_it_changes(tmp_path):
    execute(configuration(islands=3, budget=32), tmp_path / "run")
    state = dict(contents(tmp_path / "run")["state"])
    assert {key for key in state if key.startswith("population.")} == {"population.0", "population.1"}
    assert json.loads(state["population.0"]) == {"strategy": None}
