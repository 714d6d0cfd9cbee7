"""Strategies: what all of them must keep, and each against its own definition."""

import json
from collections import Counter, deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import configuration, contents, execute
from scipy import stats

from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.grid import Grid
from archive.plain import to_json
from discovery.config import Strategy as Options
from discovery.config_file import build
from discovery.proposers import names as proposer_names
from discovery.strategies import Scored, load, names
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER
from primitives.text import parse

AXES = (Descriptor("size", (2, 4, 6, 8), "operations"),)
STARTS = (0, 1, 2)


def grid_of(scores, depth=2):
    """A grid with a program for every score; ids follow the start programs."""
    grid = Grid(AXES, depth)
    for id, score in enumerate(scores, start=len(STARTS)):
        size = id % 10
        grid.add(Elite.scored(id, id, AXES[0].bin(size), size, [score], {"size": size}))
    return grid


histories = st.lists(st.lists(st.floats(-2, 2), max_size=12), min_size=1, max_size=6)


def batches_of(history):
    """Scored batches with ascending ids."""
    id, batches = len(STARTS), []
    for scores in history:
        batches.append([Scored(id + place, score) for place, score in enumerate(scores)])
        id += len(scores)
    return batches


def test_the_front_breeds_from_every_bin_of_the_first_axis_in_proportion_to_its_number():
    grid = grid_of(np.linspace(-1.0, 1.0, 60).tolist(), depth=6)
    bins = {elite.id: grid.bins(elite.cell)[0] for elite in grid.elites()}
    parents = load("front")(Options(name="front", tournament=1)).parents(grid, STARTS, np.random.default_rng(0), 5_000)
    drawn = Counter(bins[parent] for parent in parents)
    assert set(drawn) == set(bins.values())
    weights = 1.0 + np.array(sorted(drawn))
    expected = len(parents) * weights / weights.sum()
    assert stats.chisquare([drawn[number] for number in sorted(drawn)], expected).pvalue > 1e-3
    best = {max((e for e in grid.elites() if bins[e.id] == one), key=grid.value).id for one in set(bins.values())}
    keen = load("front")(Options(name="front", tournament=200)).parents(grid, STARTS, np.random.default_rng(0), 500)
    assert set(keen) == best


# --- every strategy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
@given(history=histories, tournament=st.integers(1, 5), population=st.integers(2, 20), seed=st.integers(0, 2**32))
def test_parents_are_known_and_depend_on_the_arguments_alone(name, history, tournament, population, seed):
    options = Options(name=name, tournament=tournament, population=population)
    strategy, other = load(name)(options), load(name)(options)
    grid = grid_of([score for scores in history for score in scores])
    known = {*STARTS, *(elite.id for elite in grid.elites())}
    rng = np.random.default_rng(seed)
    assert set(strategy.parents(Grid(AXES, 2), STARTS, rng, 30)) <= set(STARTS), "before there is anything"
    for batch in batches_of(history):
        strategy.observe(batch)
        other.observe(batch)
        if strategy.keeps_all:
            known |= {one.id for one in batch}
        restored = load(name)(options)
        restored.restore(json.loads(to_json(strategy.state())))
        given_out = [
            one.parents(grid, STARTS, np.random.default_rng(seed), 20) for one in (strategy, other, restored, strategy)
        ]
        assert all(parents == given_out[0] for parents in given_out)
        assert len(given_out[0]) == 20
        assert set(given_out[0]) <= known
        assert all(type(id) is int for id in given_out[0]), "they go into JSON"
        assert restored.state() == strategy.state()
        strategy = restored  # whatever the life, it goes on the same


@pytest.mark.parametrize("name", names())
def test_the_proposer_of_a_strategy_exists(name):
    proposer = load(name)(Options(name=name)).proposer
    assert proposer is None or proposer in proposer_names()


@pytest.mark.parametrize("name", names())
def test_another_source_of_randomness_gives_other_parents(name):
    strategy, grid = load(name)(Options(name=name)), grid_of(np.linspace(-1, 1, 20))
    strategy.observe([Scored(id, id / 20) for id in range(3, 23)])
    drawn = {tuple(strategy.parents(grid, STARTS, np.random.default_rng(seed), 20)) for seed in range(5)}
    assert len(drawn) == 5


def test_an_unknown_strategy_is_told():
    with pytest.raises(ValueError, match=r"must be one of constants, front, map_elites, .*did you mean 'map_elites'"):
        load("map_elite")
    with pytest.raises(ValueError, match="must be importable, got 'no_such:STRATEGY'"):
        load("no_such:STRATEGY")
    with pytest.raises(ValueError, match="name the class"):
        load("toy:RATES")
    with pytest.raises(ValueError, match="a strategy must be one of"):
        build({"domain": "toy:DOMAIN", "strategy": {"name": "annealing"}})


class Newest:
    """A user's own strategy: breeds from the elite that came last."""

    proposer = None
    keeps_all = False

    def __init__(self, options):
        self.seen = 0

    def parents(self, grid, starts, rng, count):
        return [max((elite.id for elite in grid.elites()), default=starts[-1])] * count

    def observe(self, scored):
        self.seen += len(scored)

    def state(self):
        return {"seen": self.seen}

    def restore(self, state):
        self.seen = state["seen"]


def test_a_strategy_of_the_users_own_is_named_by_its_module(tmp_path):
    held = execute(configuration(strategy={"name": f"{__name__}:Newest"}, budget=160), tmp_path / "run")
    assert len({row[2] for row in held["programs"]}) > 2
    seen = json.loads(dict(held["state"])["population.0"])["strategy"]["seen"]
    assert 20 < seen <= 160


# --- regularized evolution --------------------------------------------------------------------------------------------


@given(history=histories, tournament=st.integers(1, 4), population=st.integers(2, 15), seed=st.integers(0, 2**32))
def test_regularized_evolution_is_a_queue_with_tournaments(history, tournament, population, seed):
    strategy = load("regularized_evolution")(Options(tournament=tournament, population=population))
    alive = deque()
    for batch in batches_of(history):
        strategy.observe(batch)
        for one in batch:
            alive.append(one)
            if len(alive) > population:
                alive.popleft()
        rng, same = np.random.default_rng(seed), np.random.default_rng(seed)
        parents = strategy.parents(Grid(AXES, 1), STARTS, rng, 10)
        if not alive:
            assert set(parents) <= set(STARTS)
            continue
        for parent, places in zip(parents, same.integers(len(alive), size=(10, tournament)), strict=True):
            met = [alive[place] for place in places]
            best = max(one.score for one in met)
            assert parent == min(one.id for one in met if one.score == best), "the best, of equals the oldest"


def test_regularized_evolution_lets_the_best_die_of_age():
    strategy = load("regularized_evolution")(Options(tournament=50, population=10))
    strategy.observe([Scored(5, 100.0)])
    strategy.observe([Scored(id, 0.0) for id in range(10, 19)])
    assert set(strategy.parents(Grid(AXES, 1), STARTS, np.random.default_rng(0), 20)) == {5}
    strategy.observe([Scored(20, 0.0)])
    assert 5 not in strategy.parents(Grid(AXES, 1), STARTS, np.random.default_rng(0), 200)


def test_in_a_run_the_population_is_the_last_scored_candidates(tmp_path):
    config = configuration(strategy={"name": "regularized_evolution", "population": 40})
    held = execute(config, tmp_path / "run")
    alive = json.loads(dict(held["state"])["population.0"])["strategy"]
    programs = {row[0] for row in held["programs"]}
    assert len(alive) == 40
    assert [id for id, _ in alive] == sorted(programs)[-40:], "known behaviours live too, failures do not"
    ranks = Counter(row[2] for row in held["programs"] if row[4] > 2)
    assert len(ranks) > 20


# --- the others -------------------------------------------------------------------------------------------------------


def test_map_elites_draws_cells_alike_however_full_they_are():
    grid = grid_of(np.linspace(0, 1, 9), depth=4)
    strategy = load("map_elites")(Options(tournament=1))
    drawn = Counter(strategy.parents(grid, STARTS, np.random.default_rng(0), 20_000))
    held = Counter(elite.cell for elite in grid.elites())
    assert len(set(held.values())) > 1
    for elite in grid.elites():
        assert drawn[elite.id] / 20_000 == pytest.approx(1 / len(held) / held[elite.cell], rel=0.15)


@given(scores=st.lists(st.floats(-2, 2), max_size=40), tournament=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_a_parent_of_map_elites_is_the_best_of_its_tournament(scores, tournament, seed):
    grid = grid_of(scores, depth=3)
    found = load("map_elites")(Options(tournament=tournament)).parents(grid, STARTS, np.random.default_rng(seed), 20)
    same, held = np.random.default_rng(seed), grid.filled()
    if not held:
        assert set(found) <= set(STARTS)
        return
    cells, ranks = same.integers(len(held), size=(20, tournament)), same.random((20, tournament))
    drawn = [
        [held[cell][int(rank * len(held[cell]))] for cell, rank in zip(*one, strict=True)]
        for one in zip(cells, ranks, strict=True)
    ]
    assert found == [max((grid.value(elite), elite.id) for elite in one)[1] for one in drawn]


def test_a_tournament_of_map_elites_prefers_the_better():
    grid = grid_of(np.linspace(0, 1, 9), depth=4)
    by_value = sorted(grid.elites(), key=grid.value)
    shares = []
    for tournament in (1, 2, 4):
        strategy = load("map_elites")(Options(tournament=tournament))
        drawn = Counter(strategy.parents(grid, STARTS, np.random.default_rng(1), 10_000))
        shares.append(drawn[by_value[-1].id] / 10_000)
    assert shares[0] < shares[1] < shares[2]


def test_random_search_breeds_from_the_start_programs_alone(tmp_path):
    strategy = load("random")(Options())
    strategy.observe([Scored(9, 2.0)])
    drawn = Counter(strategy.parents(grid_of([1.0, 2.0]), STARTS, np.random.default_rng(0), 3000))
    assert set(drawn) == set(STARTS)
    assert min(drawn.values()) > 800
    held = execute(configuration(strategy={"name": "random"}), tmp_path / "run")
    assert {row[2] for row in held["programs"]} == {None, 0, 1}
    assert {row[3] for row in held["programs"]} == {"start", "random_program"}


def skeleton(text):
    """A program but for its constants."""
    program = parse(text, OPTIMIZER, LIBRARY)
    return program.signature, tuple(
        (target, op, tuple(arg if isinstance(arg, str) else None for arg in args))
        for target, op, args in program.statements
    )


def test_constants_never_change_a_skeleton(tmp_path):
    starts = ["sgd", "adamw_uncorrected", "adam_uncorrected"]
    held = execute(configuration(strategy={"name": "constants"}, start=starts), tmp_path / "run")
    texts = {row[0]: row[1] for row in held["programs"]}
    allowed = {skeleton(texts[start]) for start in range(3)}
    assert {skeleton(text) for text in texts.values()} <= allowed
    assert len(texts) > 20
    assert len(set(texts.values())) == len(texts)
    assert {row[3] for row in held["programs"]} == {"start", "constants"}


def test_contents_of_the_strategies_differ(tmp_path):
    held = {}
    for name in names():
        execute(configuration(strategy={"name": name}, budget=128), tmp_path / name)
        held[name] = to_json(contents(tmp_path / name)["programs"])
    assert len(set(held.values())) == len(held)
