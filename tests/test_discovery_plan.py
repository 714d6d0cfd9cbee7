"""Plans: what a batch is bred from, which elites are evaluated again, and where hurdles stand."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import configuration

from archive.descriptor import Descriptor
from archive.elite import Elite
from archive.grid import Grid
from archive.plain import to_json
from discovery.plan import Again, Hurdles, Plan, make_plan, reevaluations
from discovery.population import Population

AXES = (Descriptor("size", (2, 4, 8), "operations"),)


def elite(id, behaviour, size, scores):
    cell = AXES[0].bin(size)
    return Elite.scored(id, behaviour, cell, size, scores, {"size": size})


def filled(scores_by_id, depth=3):
    grid = Grid(AXES, depth)
    for id, scores in scores_by_id.items():
        grid.add(elite(id, id, id % 10, scores))
    return grid


ids = st.integers(0, 2**40)
plans = st.builds(
    Plan,
    st.integers(0, 10**6),
    st.lists(ids, max_size=5).map(tuple),
    st.lists(st.builds(Again, ids, ids, st.integers(0, 9)), max_size=5).map(tuple),
    st.lists(st.floats(allow_nan=False), max_size=3).map(tuple),
)


@given(plans)
def test_a_plan_comes_back_from_its_json(plan):
    assert Plan.from_json(plan.batch, json.loads(to_json(plan.to_json()))) == plan


# --- re-evaluations ---------------------------------------------------------------------------------------------------


@given(
    scores=st.dictionaries(st.integers(0, 30), st.lists(st.floats(-2, 2), min_size=1, max_size=5), max_size=12),
    replicates=st.integers(1, 6),
    count=st.integers(0, 8),
    under_way=st.lists(st.integers(0, 30), max_size=6),
    faults=st.dictionaries(st.integers(0, 30), st.integers(0, 2), max_size=5),
)
def test_the_best_elites_that_lack_replicates_are_chosen(scores, replicates, count, under_way, faults):
    grid = filled(scores)
    pending = [Plan(9, (), (Again(b, b, 0),)) for b in under_way]
    chosen = reevaluations(grid, replicates, count, pending, lambda b: len(scores[b]) + faults.get(b, 0))
    expected = []
    for one in sorted(grid.elites(), key=lambda e: (-e.mean, e.id)):
        following = one.count + faults.get(one.behaviour, 0) + under_way.count(one.behaviour)
        if following < replicates:
            expected.append(Again(one.id, one.behaviour, following))
    assert list(chosen) == expected[:count]


def test_a_behaviour_in_several_cells_is_chosen_once():
    grid = Grid(AXES, 1)
    for id, size in ((0, 9), (5, 5), (7, 1)):
        grid.add(elite(id, 0, size, [1.0]))
    assert reevaluations(grid, 4, 3, [], lambda b: 1) == (Again(0, 0, 1),)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5])
def test_the_share_of_evaluations_that_elites_get_is_the_one_asked_for(share):
    config = configuration(reevaluate=share, replicates=1000)
    archive = filled({id: [0.0] for id in range(30)}, depth=10)
    population = Population(config, archive, 2)
    new = 7
    again = sum(len(make_plan(config, batch, population, (), new).again) for batch in range(400))
    assert again / (again + 400 * new) == pytest.approx(share, abs=0.01)


def test_a_plan_depends_on_seed_and_batch_alone():
    archive = filled({id: [id / 7] for id in range(30)})
    made = {}
    for seed in (0, 1):
        for batch in (3, 4):
            config = configuration(seed=seed)
            once, twice = (make_plan(config, batch, Population(config, archive, 2), (0.5,), 9) for _ in range(2))
            assert once == twice
            assert len(once.parents) == config.batch
            assert once.thresholds == (0.5,)
            made[seed, batch] = once.parents
    assert len(set(made.values())) == 4


# --- hurdles ----------------------------------------------------------------------------------------------------------


@given(
    scores=st.lists(st.lists(st.floats(-2, 2), min_size=1, max_size=3), max_size=60),
    quantile=st.floats(0.01, 0.99),
    window=st.integers(1, 30),
    warm_up=st.integers(1, 30),
)
def test_a_hurdle_is_the_quantile_of_the_last_scores_of_its_stage(scores, quantile, window, warm_up):
    config = configuration(hurdle={"quantile": quantile, "window": window, "warm_up": warm_up})
    hurdles = Hurdles(config, 3)
    for place, stages in enumerate(scores):
        hurdles.observe(stages)
        if place == len(scores) // 2:  # a resumed run goes on with the same windows
            state = hurdles.state()
            hurdles = Hurdles(config, 3)
            hurdles.restore(state)
    expected = []
    for stage in (0, 1):
        seen = [stages[stage] for stages in scores if len(stages) > stage][-window:]
        expected.append(float(np.quantile(seen, quantile)) if len(seen) >= warm_up else float("-inf"))
    assert hurdles.thresholds() == tuple(expected)


def test_a_quantile_of_zero_stops_nothing():
    hurdles = Hurdles(configuration(hurdle={"quantile": 0.0, "warm_up": 1}), 2)
    for score in range(100):
        hurdles.observe((float(score), 1.0))
    assert hurdles.thresholds() == (float("-inf"),)


def test_a_single_stage_has_no_hurdle():
    hurdles = Hurdles(configuration(), 1)
    hurdles.observe((1.0,))
    assert hurdles.thresholds() == ()
    hurdles.restore(hurdles.state())
