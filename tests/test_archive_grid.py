import math
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ribs.archives import GridArchive

from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.evaluation import Evaluation, Status
from archive.grid import AddStatus, Grid

BINS = (3, 4)
AXES = tuple(Descriptor(name, tuple(range(1, bins)), "a test axis") for name, bins in zip("ab", BINS, strict=True))
OFFSET = -2.0

scores = st.floats(-2, 2, allow_nan=False)
coarse = st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0])  # ties are frequent


def elite(grid, candidate, a, b, *values, behaviour=None, size=5):
    descriptors = {"a": a, "b": b}
    behaviour = candidate if behaviour is None else behaviour
    return Elite.scored(candidate, behaviour, grid.cell(descriptors), size, values, descriptors)


# What is done to a grid: an elite is offered (a, b, score, behaviour, size), or a behaviour gets one more score.
# Few cells and behaviours, so that they meet.
adds = st.tuples(st.integers(0, 1), st.integers(0, 1), coarse, st.integers(0, 5), st.integers(1, 4))
updates = st.tuples(st.integers(0, 5), coarse)
deeds = st.lists(st.one_of(adds, updates), max_size=60)


def do(grid, deed, candidate):
    if len(deed) == 2:
        return grid.update(*deed)
    a, b, score, behaviour, size = deed
    return grid.add(elite(grid, candidate, a, b, score, behaviour=behaviour, size=size))


@given(st.lists(st.tuples(st.integers(-2, 5), st.integers(-2, 5), st.one_of(scores, coarse)), max_size=80))
def test_agrees_with_pyribs_at_depth_one(offered):
    grid = Grid(AXES, depth=1)
    ribs = GridArchive(
        solution_dim=1, dims=BINS, ranges=[(0, bins) for bins in BINS], qd_score_offset=OFFSET, dtype=np.float64
    )
    for candidate, (a, b, score) in enumerate(offered):
        measures = (a + 0.5, b + 0.5)  # away from edges, where pyribs rounds
        offer = elite(grid, candidate, *measures, score)
        assert offer.cell == ribs.index_of_single(measures)
        assert grid.add(offer) == ribs.add_single([candidate], score, measures)["status"]
    held = {e.cell: (e.id, e.mean) for e in grid.elites()}
    data = ribs.data()
    assert held == {
        int(cell): (int(solution[0]), float(objective))
        for cell, solution, objective in zip(data["index"], data["solution"], data["objective"], strict=True)
    }
    ours, theirs = grid.statistics(OFFSET), ribs.stats
    assert (ours.elites, ours.coverage) == (theirs.num_elites, theirs.coverage)
    assert ours.qd_score == pytest.approx(float(theirs.qd_score), abs=1e-9)
    if offered:
        assert ours.best == theirs.obj_max
        assert theirs.obj_mean is not None
        assert ours.mean == pytest.approx(float(theirs.obj_mean), abs=1e-9)
        best = grid.best()
        assert best is not None
        assert best.mean == theirs.obj_max


@given(deeds, st.integers(1, 4), st.sampled_from([0.0, 0.3]))
def test_a_grid_stays_in_order(done, depth, pessimism):
    grid = Grid(AXES, depth, pessimism)
    mirror: dict[int, tuple[Elite, ...]] = {}
    for candidate, deed in enumerate(done):
        before = grid.elites()
        outcome = do(grid, deed, candidate)
        changes = grid.take_changes()
        mirror.update(changes)
        held = grid.elites()
        assert held == tuple(e for cell in sorted(mirror) for e in mirror[cell])
        assert grid.take_changes() == {}
        if len(deed) == 5:
            assert bool(outcome) == (candidate in {e.id for e in held}) == bool(changes)
            assert (outcome == AddStatus.NEW) == (grid.cells > len({e.cell for e in before}))
            if outcome == AddStatus.REJECTED:
                assert held == before
        else:
            assert outcome == sum(e.behaviour == deed[0] for e in before)
        by_cell, by_behaviour = defaultdict(list), defaultdict(set)
        for e in held:
            by_cell[e.cell].append(e)
            by_behaviour[e.behaviour].add((e.count, e.mean, e.m2))
        for cell in by_cell.values():
            ranks = [(-(e.mean - pessimism / math.sqrt(e.count)), e.size, e.id) for e in cell]
            assert ranks == sorted(ranks)
            assert len(cell) <= depth
            assert len({e.behaviour for e in cell}) == len(cell)
        assert all(len(values) == 1 for values in by_behaviour.values())
        assert grid.tops() == tuple(cell[0] for cell in by_cell.values())
        assert len(grid) == len(held)
        assert grid.ranked() == by_hand(held, pessimism)
        assert grid.ranked(2) == by_hand(held, pessimism)[:2]
        assert grid.best() == next(iter(by_hand(held, pessimism)), None)


def by_hand(held, pessimism):
    """Elites by value, of each behaviour the first."""
    found: dict[int, Elite] = {}
    for e in sorted(held, key=lambda e: (pessimism / math.sqrt(e.count) - e.mean, e.size, e.id)):
        found.setdefault(e.behaviour, e)
    return list(found.values())


@given(deeds, deeds, st.integers(1, 3), st.randoms())
def test_restore_gives_the_grid_back(before, after, depth, random):
    grid, restored = Grid(AXES, depth, 0.1), Grid(AXES, depth, 0.1)
    for candidate, deed in enumerate(before):
        do(grid, deed, candidate)
    grid.take_changes()
    elites = list(grid.elites())
    random.shuffle(elites)
    do(restored, (0, 0, 1.0, 0, 1), 0)  # goes, with the change it left
    restored.restore(elites)
    assert restored.elites() == grid.elites()
    for candidate, deed in enumerate(after, start=len(before)):
        assert do(restored, deed, candidate) == do(grid, deed, candidate)
    assert restored.elites() == grid.elites()
    assert restored.ranked() == grid.ranked() == by_hand(grid.elites(), 0.1)
    assert restored.take_changes() == grid.take_changes()
    grid.clear()
    assert (grid.ranked(), grid.best()) == ([], None)


@given(st.lists(st.tuples(st.integers(0, 2), scores), unique_by=lambda o: o[1], max_size=40), st.integers(1, 5))
def test_a_cell_keeps_the_best_of_all_that_were_offered(offered, depth):
    grid = Grid(AXES, depth)
    cells = defaultdict(list)
    for candidate, (a, score) in enumerate(offered):
        grid.add(elite(grid, candidate, a, 0, score))
        cells[a].append((score, candidate))
    kept = {(e.descriptors["a"], e.id) for e in grid.elites()}
    assert kept == {(a, c) for a, cell in cells.items() for _, c in sorted(cell, reverse=True)[:depth]}


@given(st.lists(scores, min_size=1, max_size=30))
def test_statistics_of_the_scores_are_those_of_numpy(values):
    grid = Grid(AXES, 1)
    whole = elite(grid, 0, 1, 1, *values)
    grid.add(elite(grid, 0, 1, 1, values[0]))
    for value in values[1:]:
        grid.update(0, value)
    assert grid.elites() == (whole,)
    assert whole.count == len(values)
    assert whole.mean == pytest.approx(np.mean(values), abs=1e-12)
    if len(values) == 1:
        assert whole.variance is None
    else:
        assert whole.variance == pytest.approx(np.var(values, ddof=1), abs=1e-12)


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
def test_cells_are_numbered_as_numpy_numbers_them(a, b):
    grid = Grid(AXES, 1)
    bins = tuple(int(np.digitize(value, axis.edges)) for value, axis in zip((a, b), AXES, strict=True))
    cell = grid.cell({"a": a, "b": b, "other": 7.0})
    assert cell == np.ravel_multi_index(bins, BINS)
    assert grid.bins(cell) == bins
    assert grid.size == math.prod(BINS)


def test_of_equals_the_first_stays_unless_a_shorter_one_behaves_alike():
    grid = Grid(AXES, 1)
    assert grid.add(elite(grid, 0, 0, 0, 1.0, size=5)) == AddStatus.NEW
    assert grid.add(elite(grid, 1, 0, 0, 1.0, size=2)) == AddStatus.REJECTED
    assert grid.add(elite(grid, 2, 0, 0, 1.0, size=5, behaviour=0)) == AddStatus.REJECTED
    assert grid.add(elite(grid, 3, 0, 0, 1.0, size=4, behaviour=0)) == AddStatus.IMPROVED
    assert [(e.id, e.behaviour) for e in grid.elites()] == [(3, 0)]


def test_a_newcomer_takes_over_the_scores_its_behaviour_has_won():
    grid = Grid(AXES, 1)
    grid.add(elite(grid, 0, 0, 0, 1.0))
    grid.update(0, 0.0)
    grid.add(elite(grid, 7, 1, 1, 1.0, behaviour=0))
    assert [(e.id, e.count, e.mean, e.m2) for e in grid.elites()] == [(0, 2, 0.5, 0.5), (7, 2, 0.5, 0.5)]
    assert grid.update(0, 0.5) == 2
    assert grid.update(7, 0.5) == 0


def test_a_lucky_score_does_not_beat_a_proven_mean():
    proven, lucky = (0.5, 0.5, 0.5, 0.5), 0.6
    for pessimism, winner in ((0.0, 1), (0.4, 0)):
        grid = Grid(AXES, 2, pessimism)
        grid.add(elite(grid, 0, 0, 0, *proven))
        grid.add(elite(grid, 1, 0, 0, lucky))
        best = grid.best()
        assert best is not None
        assert best.id == winner
    grid = Grid(AXES, 2)
    grid.add(elite(grid, 0, 0, 0, *proven))
    grid.add(elite(grid, 1, 0, 0, lucky))
    assert [e.id for e in grid.elites()] == [1, 0]
    assert grid.update(1, 0.0) == 1
    assert [e.id for e in grid.elites()] == [0, 1]


def fresh(score, status=Status.OK, **descriptors):
    return Evaluation(status, score, stage=0, replicate=100, descriptors=descriptors)


@given(deeds, st.integers(1, 3))
def test_correcting_with_the_same_scores_changes_no_cell(done, depth):
    grid = Grid(AXES, depth)
    for candidate, deed in enumerate(done):
        do(grid, deed, candidate)
    corrected = grid.corrected({e.behaviour: [fresh(e.mean)] for e in grid.elites()})
    assert [(e.cell, e.mean) for e in corrected.tops()] == [(e.cell, e.mean) for e in grid.tops()]
    assert corrected.qd_score(OFFSET) == grid.qd_score(OFFSET)
    assert grid.corrected({}).elites() == ()


def test_the_corrected_grid_holds_what_fresh_evaluations_say():
    grid = Grid(AXES, 1)
    for candidate, a in enumerate((0, 1, 2)):
        grid.add(elite(grid, candidate, a, 0, 2.0))
    corrected = grid.corrected(
        {
            0: [fresh(1.0), fresh(0.0)],
            1: [fresh(1.5, a=0.0, b=2.0), fresh(0.5, a=0.5, b=3.0)],  # moves to cell (0, 2)
            2: [fresh(1.0), fresh(None, Status.DIVERGED)],  # lost
        }
    )
    assert [(corrected.bins(e.cell), e.id, e.count, e.mean) for e in corrected.elites()] == [
        ((0, 0), 0, 2, 0.5),
        ((0, 2), 1, 2, 1.0),
    ]
    assert corrected.qd_score(OFFSET) == 5.5 < grid.qd_score(OFFSET) == 12.0


def test_an_empty_grid_has_figures():
    grid = Grid(AXES, 1)
    assert grid.best() is None
    assert grid.elites() == ()
    figures = grid.statistics(OFFSET)
    assert (figures.elites, figures.cells, figures.coverage, figures.qd_score) == (0, 0, 0.0, 0.0)
    assert figures.best is figures.mean is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_score_that_is_no_number_gets_in(bad):
    grid = Grid(AXES, 1)
    good = elite(grid, 0, 0, 0, 1.0)
    grid.add(good)
    with pytest.raises(ValueError, match="finite"):
        grid.add(replace(good, id=1, behaviour=1, mean=bad))
    with pytest.raises(ValueError, match="finite"):
        grid.update(0, bad)
    with pytest.raises(ValueError, match="finite"):
        grid.update(99, bad)
    with pytest.raises(ValueError, match="finite"):
        elite(grid, 2, 0, 0, bad)
    with pytest.raises(ValueError, match="must have a score"):
        elite(grid, 2, 0, 0)
    assert grid.elites() == (good,)


def test_what_a_grid_cannot_be_or_hold_is_refused():
    for axes, depth, pessimism, text in (
        ((), 1, 0.0, "axes"),
        ((AXES[0], AXES[0]), 1, 0.0, "axes"),
        (AXES, 0, 0.0, "depth"),
        (AXES, 1, -1.0, "pessimism"),
        (AXES, 1, math.nan, "pessimism"),
        (tuple(Descriptor(f"d{i}", tuple(range(1023)), "wide") for i in range(7)), 1, 0.0, "2\\^63"),
    ):
        with pytest.raises(ValueError, match=text):
            Grid(axes, depth, pessimism)
    grid = Grid(AXES, 1)
    for values in ({"a": 1.0}, {"a": 1.0, "b": math.nan}):
        with pytest.raises(ValueError, match="every axis"):
            grid.cell(values)
    held = elite(grid, 0, 0, 0, 1.0)
    grid.add(held)
    for cell in (-1, 12):
        with pytest.raises(ValueError, match="a cell must be in 0 to 11"):
            grid.add(replace(held, cell=cell))
    other = replace(held, id=1)
    for elites in ([held, replace(other, behaviour=1)], [replace(held, cell=99)]):
        with pytest.raises(ValueError, match="cell"):
            grid.restore(elites)
    with pytest.raises(ValueError, match="different behaviours"):
        Grid(AXES, 2).restore([held, other])
    assert grid.elites() == (held,)
