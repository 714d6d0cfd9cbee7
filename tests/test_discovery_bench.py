"""The benchmark's parts on small problems: their figures make sense, and the page shows them all."""

import math
import os

import pytest

from discovery.bench import _one_core, compilation, loops, markdown
from discovery.bench.breeding import breeding, population
from discovery.bench.page import FIGURES, shown
from discovery.bench.searching import searches
from discovery.config_file import build
from evaluators.domain import load
from primitives.graph import check
from primitives.simplify import canonicalize


@pytest.fixture(scope="module")
def small():
    return build({"evaluation": {"tasks": ["small_task:linear"]}, "budget": 1})


@pytest.fixture(scope="module")
def found(small, tmp_path_factory):
    """What the parts find, with figures in the place of those that take a process of their own."""
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compilation, "cache_folder", lambda: folder)
        return {
            **loops.interpreter(small, 2),
            **compilation.compilations(small, 10),
            **breeding(small, 100),
            **searches(build({"domain": "toy:DOMAIN", "batch": 16, "budget": 1}), 0.5),
            "evaluations_per_second_2_workers": 30.0,
            "device": "cpu: cpu",
            "processor": "a processor",
            "commit": "0a1b2c3",
            "python": "3.11",
            "numpy": "2.0",
            "jax": "0.5",
            "cores": 2,
            "pinned_to_core": 1,
            "load_before": 0.5,
            "date": "2026-01-01",
            "bench_seconds": 1.0,
        }


def test_ratios_are_those_of_the_rules_and_their_means(found):
    for kind in ("interpreter", "by_hand"):
        assert list(found[kind]) == list(loops.BY_HAND)
        (task,) = found["tasks"].values()
        assert found[kind] == pytest.approx(task[kind])
        logarithms = [math.log(ratio) for ratio in found[kind].values()]
        assert found[f"{kind}_geomean"] == pytest.approx(math.exp(sum(logarithms) / len(logarithms)))
    assert task["floor_milliseconds"] > 0.0
    assert task["floor"][task["floor_way"]] == 1.0
    assert min(found["interpreter"].values()) > 0.0


def test_nothing_is_compiled_after_the_warm_up(found):
    assert found["compilations_after_warmup"] == 0
    assert found["programs_after_warmup"] == 10


def test_the_population_is_one_that_a_search_could_have(small):
    domain = load("optimizers")
    programs = population(small, 30)
    assert len({program for program, _ in programs}) > 20
    for program, graph in programs:
        lowered = check(program, domain.vocabulary, small.max_statements)
        assert canonicalize(lowered, domain.vocabulary, domain.dtype) == graph
        assert domain.refuse(graph) is None


def test_searches_count_what_they_do(found):
    assert 0.0 < found["evaluation_share"] <= 1.0
    assert 0.0 < found["evaluations_per_second"] <= 2 * found["candidates_per_second"]
    gain = found["behaviours_per_hour"] / found["behaviours_per_hour_without_cache"]
    assert found["cache_gain"] == pytest.approx(gain)
    # an evaluation of a candidate finds at most one behaviour that was not there
    assert found["behaviours_per_hour"] <= 3600 * found["evaluations_per_second"] * 1.01
    assert found["breed_microseconds"] > found["fingerprint_microseconds"] * 0.1 > 0.0


def test_the_page_shows_every_figure(found):
    page = markdown(found)
    assert page.startswith("# Performance\n")
    for name in loops.BY_HAND:
        assert f"| {name} |" in page
    for text in ("2026-01-01", "a processor", "commit 0a1b2c3", "`pride bench`", "pinned to one core"):
        assert text in page
    for name, text in FIGURES.items():
        assert (f"| {text} | {shown(found[name])} |" in page) if name in found else (text not in page)
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in rows if "|" in line}) == 2  # two tables, each with its own width


def affinity() -> set[int] | None:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def test_the_core_is_given_back():
    before = affinity()
    with _one_core() as core:
        assert affinity() == (None if core is None else {core})
    assert affinity() == before
