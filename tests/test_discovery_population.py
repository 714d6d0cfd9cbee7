"""Restarts: at a plateau breeding begins anew, the archive stays, and a resumed run does the same."""

import json

import numpy as np
import pytest
from runs import Disorderly, configuration, contents, counters, execute, newest_first

from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.grid import Grid
from archive.plain import to_json
from discovery.islands import Islands
from discovery.run import Run
from discovery.strategies import Scored

AXES = (Descriptor("size", (10, 20), "operations"),)


def elite(id, score, size=5):
    return Elite.scored(id, id, AXES[0].bin(size), size, [score], {"size": size})


def population(start="start", patience=3, lag=2, **changes):
    config = configuration(restart={"from": start, "patience": patience}, lag=lag, **changes)
    return Islands(config, Grid(AXES, 3), 2)


def merge(people, batch, *elites):
    """Merges a batch of elites as a search does; returns whether breeding begins anew."""
    for one in elites:
        people.offer(batch, one)
    people.of(batch).observe(batch, [Scored(one.id, one.mean) for one in elites])
    return people.end_batch(batch)


def ids(grid):
    return {one.id for one in grid.elites()}


def test_without_restarts_the_archive_is_what_is_bred_from():
    people = population("none", patience=1)
    assert people.of(0).grid is people.archive
    assert not any(merge(people, batch) for batch in range(10))
    assert set(people.of(0).state()) == {"strategy"}


@pytest.mark.parametrize("start", ["start", "best"])
def test_patience_counts_the_batches_without_a_better_best(start):
    people = population(start)
    assert not merge(people, 0, elite(0, 0.0), elite(1, -1.0))
    assert not merge(people, 1, elite(20, 0.5))
    assert not merge(people, 2, elite(40, 0.4, 15))
    assert not merge(people, 3, elite(50, 0.5001, 15)), "a better best starts the count again"
    assert not merge(people, 4)
    assert not merge(people, 5, elite(90, 0.5001, 25)), "as good is not better"
    assert merge(people, 6)
    assert people.of(0).origins == ((0, 1) if start == "start" else (50,))
    assert ids(people.archive) == {0, 1, 20, 40, 50, 90}
    assert not people.of(0).grid.elites()


@pytest.mark.parametrize("strategy", ["map_elites", "regularized_evolution"])
def test_batches_under_way_at_a_restart_do_not_enter_the_new_population(strategy):
    people = population(patience=1, lag=3, strategy={"name": strategy})
    merge(people, 0, elite(0, 1.0))
    assert merge(people, 1), "batches 2 and 3 are planned already, batch 4 is the first of the new population"
    for batch in (2, 3):
        assert not merge(people, batch, elite(10 * batch, 5.0 + batch)), "and they are not waited for"
    assert ids(people.archive) == {0, 20, 30}
    assert not people.of(0).grid.elites()
    assert set(people.of(0).parents(np.random.default_rng(0), 50)) == {0, 1}, "until then all is bred from the starts"
    assert not merge(people, 4, elite(40, 0.1))
    assert ids(people.of(0).grid) == {40}, "worse than the archive's, and bred from all the same"
    assert set(people.of(0).parents(np.random.default_rng(0), 50)) == {40}


def test_an_elite_that_only_the_population_takes_counts_as_entered():
    people = Islands(configuration(restart={"from": "start", "patience": 1}, lag=1), Grid(AXES, 1), 1)
    assert people.offer(0, elite(0, 1.0))
    assert not people.offer(0, elite(1, 0.5))
    people.end_batch(0)
    assert people.end_batch(1)
    assert people.offer(2, elite(32, 0.5))
    assert not people.offer(2, elite(33, 0.4))
    assert ids(people.archive) == {0}


def test_replicates_reach_archive_and_population():
    people = population()
    merge(people, 0, elite(0, 1.0))
    people.update(0, 0.0)
    assert [one.mean for one in people.archive.elites()] == [0.5]
    assert [one.mean for one in people.of(0).grid.elites()] == [0.5]


@pytest.mark.parametrize("strategy", ["map_elites", "regularized_evolution"])
@pytest.mark.parametrize("start", ["start", "best"])
def test_a_restored_population_goes_on_as_the_first_would(strategy, start):
    def going(interrupted):
        config = configuration(restart={"from": start, "patience": 2}, lag=2, strategy={"name": strategy})
        people, told = Islands(config, Grid(AXES, 2), 2), []
        for batch in range(14):
            score = [0.1, 0.9, 0.3, 0.2, 0.25, 0.1, 0.5, 0.05][batch % 8]
            began_anew = merge(people, batch, elite(batch * 16, score, 3 * batch))
            (state,) = people.take_state().values()
            told.append((began_anew, people.of(0).origins, ids(people.of(0).grid), state))
            if interrupted:
                before, people = people, Islands(config, Grid(AXES, 2), 2)
                people.archive.restore(before.archive.elites())
                people.of(0).grid.restore(before.of(0).grid.elites())
                people.of(0).restore(json.loads(to_json(state)))
        return to_json([(began, origins, sorted(grid), state) for began, origins, grid, state in told])

    assert going(interrupted=True) == going(interrupted=False)


@pytest.mark.parametrize("start", ["start", "best"])
def test_a_run_begins_anew_from_where_it_is_told(tmp_path, start):
    config = configuration(budget=480, lag=3, restart={"from": start, "patience": 3}, max_statements=12)
    firsts = {}
    with Run.create(config, tmp_path / "run") as run:
        people = run.search.islands.of(0)
        run.execute(watch=lambda progress: firsts.setdefault(people._first, people.origins))
    held = contents(tmp_path / "run")
    assert counters(tmp_path / "run")["restarts"] == len(firsts) - 1 >= 2
    parents = {row[0]: row[2] for row in held["programs"]}
    lives = sorted(firsts)
    for id, parent in parents.items():
        first = max(life for life in lives if life <= id // 16)
        if parent is not None:
            assert parent in firsts[first] or parent >= 16 * first
    assert any(parent in firsts[lives[1]] for id, parent in parents.items() if id >= 16 * lives[1])
    if start == "best":
        assert all(len(origins) == 1 for life, origins in firsts.items() if life)
    plain = execute(configuration(budget=16 * (lives[1] - 1), lag=3, max_statements=12), tmp_path / "plain")
    before = [row for row in held["programs"] if row[4] < lives[1] - 1]
    assert before == plain["programs"], "until the first restart nothing differs"


def test_a_restart_is_reproducible_at_every_batch(tmp_path):
    config = configuration(budget=160, lag=2, restart={"from": "best", "patience": 1})
    whole = execute(config, tmp_path / "whole")
    assert counters(tmp_path / "whole")["restarts"] >= 2
    with Run.create(config, tmp_path / "run") as run:
        pass

    def interrupt(progress):
        raise KeyboardInterrupt

    for _ in range(10):
        with Run.resume(tmp_path / "run") as run, pytest.raises(KeyboardInterrupt):
            run.execute(watch=interrupt, executor=Disorderly(run, 3, newest_first))
    assert contents(tmp_path / "run") == whole
