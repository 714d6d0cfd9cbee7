"""What `pride show` tells of a run: figures that the store alone holds."""

from collections import defaultdict
from statistics import fmean

import pytest
from runs import configuration, counters, execute

from archive.evaluation import Status
from archive.grid import Grid
from archive.store import Store
from discovery.config import axes
from discovery.report import summary
from evaluators.domain import load


def qd_of(folder, config, chosen):
    """QD score of the elites that were evaluated again, by some of their evaluations: counted out cell by cell."""
    domain = load(config.domain)
    grid = Grid(axes(config, domain), 1)
    found = defaultdict(list)
    with Store.read(folder) as store:
        for elite in store.elites():
            evaluations = chosen(store.evaluations(elite.behaviour))
            if elite.count < 2 or any(e.status is not Status.OK for e in evaluations):
                continue
            measured = {name: fmean(e.descriptors[name] for e in evaluations) for name in evaluations[0].descriptors}
            cell = grid.cell({**elite.descriptors, **measured})
            found[cell].append(fmean(e.score for e in evaluations))
    return sum(max(scores) - config.archive.qd_offset for scores in found.values())


def test_the_corrected_qd_score_is_that_of_the_new_replicates(tmp_path):
    config = configuration(budget=640, archive={"pessimism": 0.0})
    held = execute(config, tmp_path / "run")
    shown = summary(tmp_path / "run")["corrected"]
    assert shown["elites"] == sum(row[5] > 1 for row in held["elites"]) > 4
    assert shown["qd_score"] == pytest.approx(qd_of(tmp_path / "run", config, lambda found: found[1:]), abs=1e-9)
    assert shown["first_qd_score"] == pytest.approx(qd_of(tmp_path / "run", config, lambda found: found[:1]), abs=1e-9)
    assert shown["qd_score"] != shown["first_qd_score"]


def test_without_a_second_evaluation_nothing_is_corrected(tmp_path):
    execute(configuration(budget=32, reevaluate=0.0), tmp_path / "run")
    assert summary(tmp_path / "run")["corrected"] is None


def test_restarts_are_told_where_there_may_be_some(tmp_path):
    execute(configuration(budget=160, restart={"from": "best", "patience": 1}), tmp_path / "run")
    assert summary(tmp_path / "run")["restarts"] == counters(tmp_path / "run")["restarts"] >= 2
    execute(configuration(budget=32), tmp_path / "plain")
    assert summary(tmp_path / "plain")["restarts"] is None
