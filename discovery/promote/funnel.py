"""The funnel: elites are simplified, judged on fresh seeds and on larger tasks, and the finalists on held-out ones.

Nothing here trains: the bench measures units, and what happens next depends on results alone, so a promotion that is
started again goes through the same steps, finds what is finished in the ledger and goes on from there.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite, sqrt
from statistics import fmean, median
from typing import Any

import numpy as np

from archive.elite import Elite
from discovery.promote.measure import Bench
from discovery.promote.units import CHOOSING, REPORTING, TUNING, Report, Simplify, Sweep, diverged
from evaluators.domain import Domain
from evaluators.forms import canonical_graph
from evaluators.optimizers.contenders import baseline, contender_of, settings_of
from evaluators.optimizers.promotion import Promotion, Stage
from evaluators.optimizers.trials import Contender, Trial
from evaluators.statistics import difference, paired_scores, verdict
from primitives.simplify import canonical_key

_Chosen = dict[str, dict[str, dict[str, Any]]]
SAME = 1e-3
"""Two programs whose losses on a larger task differ by no more than this share at any learning rate behave alike."""


@dataclass
class Candidate:
    """An elite on its way.

    Args:
        id: number of the program in the run.
        score: mean score in the search.
        replicates: replicates that this is the mean of.
        found: text of its canonical form.
        text: what is left of it; `found` until it is simplified.
        reduction: what `discovery.promote.reduce.reduce` says of it.
        stages: by stage score and interval, seeds spent, and for each task the trial that was chosen.
        fell: why it goes no further; empty while it does.
    """

    id: int
    score: float
    replicates: int
    found: str
    text: str
    reduction: Mapping[str, Any] = field(default_factory=dict)
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)
    fell: str = ""

    @property
    def contender(self) -> Contender:
        """The rule with names for its constants."""
        return contender_of(self.text)


class Funnel:
    """The stages from elites to finalists.

    Args:
        domain: the domain of the run.
        settings: settings of the promotion.
        bench: where units are measured.
        candidates: where those that enter are put, for those who watch.
    """

    def __init__(
        self, domain: Domain, settings: Promotion, bench: Bench, candidates: list[Candidate] | None = None
    ) -> None:
        self.domain, self.settings, self.bench = domain, settings, bench
        self.candidates: list[Candidate] = [] if candidates is None else candidates
        self.race = {"seeds": 0, "seeds_without": 0}

    @property
    def alive(self) -> list[Candidate]:
        """Those that are still in the race."""
        return [one for one in self.candidates if not one.fell]

    def run(self, elites: Sequence[tuple[Elite, str]]) -> list[Candidate]:
        """Returns the finalists, best first.

        Args:
            elites: the best of each cell and their texts, best first.
        """
        self._choose(elites)
        self._simplify()
        for stage in self.settings.stages:
            if self.alive:
                self._stage(stage)
        return sorted(self.alive, key=lambda one: -_last_score(one))

    # --- choice and simplification -------------------------------------------------------------------------------

    def _choose(self, elites: Sequence[tuple[Elite, str]]) -> None:
        """Takes the best elites of different cells that behave differently on a larger task."""
        searched = self.bench.config.evaluation["tasks"]
        staged = [task for stage in self.settings.stages for task in stage.tasks or ()]
        task = next((task for task in staged if task not in searched), searched[0])
        trials = tuple(Trial(rate) for rate in self.settings.rates)
        seen: dict[int, list[float]] = {}
        waiting = list(elites)
        while waiting and len(self.alive) < self.settings.top:
            chosen = waiting[: self.settings.top - len(self.alive)]
            del waiting[: len(chosen)]
            entered = [Candidate(e.id, e.mean, e.count, text, text) for e, text in chosen]
            self.candidates += entered
            swept = self.bench.measure("choice", [Sweep(one.contender, task, CHOOSING, trials) for one in entered])
            for one, result in zip(entered, swept, strict=True):
                losses = _losses(result["losses"])
                twin = next((other for other, theirs in seen.items() if alike(losses, theirs)), None)
                if one.contender.text in self.bench.faults:
                    one.fell = f"choice: {self.bench.faults[one.contender.text]}"
                elif twin is not None:
                    one.fell = f"behaves like #{twin} on {task}"
                else:
                    seen[one.id] = losses

    def _simplify(self) -> None:
        alive = self.alive
        seen: dict[int, int] = {}
        for one, found in zip(alive, self.bench.measure("simplify", [Simplify(c.found) for c in alive]), strict=True):
            if found is None:
                one.fell = f"simplify: {self.bench.faults[one.found]}"
                continue
            one.reduction, one.text = found, found["text"]
            twin = seen.setdefault(canonical_key(canonical_graph(one.text, self.domain)), one.id)
            if twin != one.id:
                one.fell = f"is #{twin} once it is simplified"

    # --- races ---------------------------------------------------------------------------------------------------

    def _race(self, name: str, spend: Callable[[list[Candidate], int], list[Sequence[float]]]) -> None:
        """Gives blocks of seeds to those whose fate is open; who is worse than the reference falls.

        Args:
            name: name of the stage.
            spend: returns for each candidate the scores of the block of seeds that begins with the given one.
        """
        settings = self.settings
        looks = settings.seeds // settings.block
        racing = self.alive
        scores: dict[int, list[float]] = {one.id: [] for one in racing}
        still = list(racing)
        for look in range(looks):
            if not still:
                break
            for one, block in zip(still, spend(still, look * settings.block), strict=True):
                scores[one.id] += block
            verdicts = {one.id: verdict(scores[one.id], looks, settings.confidence) for one in still}
            for one in still:
                if verdicts[one.id] == "worse":
                    worse = f"{fmean(scores[one.id]):+.3f} after {len(scores[one.id])} seeds"
                    one.fell = f"{name}: {self.bench.faults.get(one.contender.text, worse)}"
            still = [one for one in still if verdicts[one.id] == "open"]
        for one in racing:
            found = difference(scores[one.id], settings.confidence)
            one.stages[name].update(score=found.mean, low=found.low, high=found.high, seeds=found.seeds)
            if not one.fell and found.mean <= 0.0:
                one.fell = f"{name}: {found.mean:+.3f} after {found.seeds} seeds"
        self.race["seeds"] += sum(map(len, scores.values()))
        self.race["seeds_without"] += len(racing) * settings.seeds

    def _stage(self, stage: Stage) -> None:
        """All trials on one seed, then a race of the best ones against the reference."""
        reference, tasks = baseline(self.settings.baselines[0]), stage.tasks or ()
        entered = self.alive
        chosen = self.tune(stage.name, {"": reference, **{str(one.id): one.contender for one in entered}}, tasks)
        useless = [task for task in tasks if chosen[task][""]["trial"] is None]
        if useless:
            raise ValueError(
                f"the reference of a stage must come to a finite loss, got none for {self.settings.baselines[0]!r} on "
                f"{useless[0]} in any trial; lower promotion.rates"
            )
        for one in entered:
            trials = {task: chosen[task][str(one.id)] for task in tasks}
            one.stages[stage.name] = {"tasks": trials}
            lost = [task for task, found in trials.items() if found["trial"] is None]
            slower = median(found["seconds"] / chosen[task][""]["seconds"] for task, found in trials.items())
            if lost:
                diverges = f"diverges on {lost[0]} in every trial"
                one.fell = f"{stage.name}: {self.bench.faults.get(one.contender.text, diverges)}"
            elif slower > self.settings.slowdown:
                one.fell = f"{stage.name}: takes {slower:.1f} times the reference's time"
        self._race(stage.name, lambda still, first: self._duel(stage, reference, still, first, chosen))
        seen: dict[int, int] = {}
        for one in sorted(self.alive, key=lambda one: -one.stages[stage.name]["score"]):
            twin = seen.setdefault(structure(one.contender), one.id)
            if twin != one.id:
                one.fell = f"{stage.name}: is #{twin} with other constants, which is better"
            elif stage.keep is not None and len(seen) > stage.keep:
                one.fell = f"{stage.name}: {stage.keep} others were better"

    def _duel(
        self,
        stage: Stage,
        reference: Contender,
        still: list[Candidate],
        first: int,
        chosen: Mapping[str, Mapping[str, Any]],
    ) -> list[Sequence[float]]:
        """Scores of a block of seeds: mean over the tasks of log(reference's loss / loss)."""
        racers = {"": reference, **{str(one.id): one.contender for one in still}}
        tasks = stage.tasks or ()
        found = self.report(stage.name, racers, tasks, chosen, first)
        per_task = {
            name: [paired_scores(found[task][name]["valid"], found[task][""]["valid"]) for task in tasks]
            for name in racers
        }
        return [np.mean(per_task[str(one.id)], axis=0).tolist() for one in still]

    # --- trials --------------------------------------------------------------------------------------------------

    def tune(
        self, phase: str, contenders: Mapping[str, Contender], tasks: Sequence[str]
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Sweeps learning rate and decay for every contender on every task, on one and the same seed.

        Returns:
            By task and name: `trial`, the best by validation loss (None where all diverged), `alone`, the best of those
            without decay, their losses `loss` and `loss_alone`, and `seconds` of a set of lanes.
        """
        grid = tuple(Trial(rate, decay) for decay in self.settings.decays for rate in self.settings.rates)
        asked = [(task, name) for task in tasks for name in contenders]
        swept = self.bench.measure(phase, [Sweep(contenders[name], task, TUNING, grid) for task, name in asked])
        found: dict[str, dict[str, dict[str, Any]]] = {task: {} for task in tasks}
        for (task, name), result in zip(asked, swept, strict=True):
            losses = _losses(result["losses"])
            trial, loss = _best(grid, losses)
            if loss <= 0.0:
                raise ValueError(
                    f"a task must have positive losses, got {loss:.3g} on {task}; logarithms compare: add a constant"
                )
            bare = [i for i, one in enumerate(grid) if one.decay == 0.0]
            alone, loss_alone = _best([grid[i] for i in bare], [losses[i] for i in bare])
            found[task][name] = {
                "trial": trial,
                "loss": loss,
                "alone": alone,
                "loss_alone": loss_alone,
                "seconds": result["lanes_seconds"],
            }
        return found

    def refine(
        self,
        phase: str,
        contenders: Mapping[str, Contender],
        tasks: Sequence[str],
        chosen: _Chosen,
        key: str,
        loss: str,
    ) -> None:
        """Sweeps the learning rates around the chosen one in twelfths of a decade, and chooses anew.

        A rule that takes the root of its learning rate would have a finer grid than the others otherwise.

        Args:
            phase: what the time is counted for.
            contenders: rules by name.
            tasks: names of tasks.
            chosen: what `tune` returned; it is changed.
            key: `trial` or `alone`.
            loss: `loss` or `loss_alone`.
        """

        def grid(name: str, best: Trial) -> tuple[Trial, ...]:
            return _around(best)

        for task, name, trial, found in self._best_near(phase, contenders, tasks, chosen, key, grid):
            if found < chosen[task][name][loss]:
                chosen[task][name] |= {key: trial, loss: found}

    def _best_near(
        self,
        phase: str,
        contenders: Mapping[str, Contender],
        tasks: Sequence[str],
        chosen: Mapping[str, Mapping[str, Any]],
        key: str,
        grid: Callable[[str, Trial], tuple[Trial, ...]],
    ) -> Iterator[tuple[str, str, Trial | None, float]]:
        """Sweeps a grid around each trial that was chosen; yields task, name and the best there with its loss."""
        asked = [(task, name) for task in tasks for name in contenders if chosen[task][name][key] is not None]
        grids = [grid(name, chosen[task][name][key]) for task, name in asked]
        units = [
            Sweep(contenders[name], task, TUNING, trials) for (task, name), trials in zip(asked, grids, strict=True)
        ]
        for (task, name), trials, result in zip(asked, grids, self.bench.measure(phase, units), strict=True):
            yield task, name, *_best(trials, _losses(result["losses"]))

    def tune_constants(
        self,
        phase: str,
        contenders: Mapping[str, Contender],
        tasks: Sequence[str],
        chosen: Mapping[str, Mapping[str, Any]],
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Tries other constants, at the chosen decay and at the chosen learning rate and its neighbours.

        Returns:
            By task and name `trial` and `loss`, as `tune` does; what was chosen before stays where nothing is better.
        """

        def grid(name: str, best: Trial) -> tuple[Trial, ...]:
            near = (best.rate / sqrt(10.0), best.rate, best.rate * sqrt(10.0))
            rule = contenders[name]
            settings = settings_of(dict(zip(rule.constants, rule.values, strict=True)), self.settings.constants)
            return tuple(Trial(rate, best.decay, setting) for rate in near for setting in settings)

        found = {task: {name: dict(chosen[task][name]) for name in contenders} for task in tasks}
        for task, name, trial, loss in self._best_near(phase, contenders, tasks, chosen, "trial", grid):
            if loss < found[task][name]["loss"]:
                found[task][name] |= {"trial": trial, "loss": loss}
        return found

    def report(
        self,
        phase: str,
        contenders: Mapping[str, Contender],
        tasks: Sequence[str],
        chosen: Mapping[str, Mapping[str, Any]],
        first: int,
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Trains the chosen trials from a block of fresh seeds.

        Returns:
            By task and name losses by seed, `valid` and `test`, and `curve` (checkpoints, seeds), infinite where a run
            diverged, or where no trial was left to choose.
        """
        asked = [(task, name) for task in tasks for name in contenders if chosen[task][name]["trial"] is not None]
        units = [Report(contenders[name], task, REPORTING, chosen[task][name]["trial"], first) for task, name in asked]
        lost = _decoded(diverged(self.settings))
        found: dict[str, dict[str, dict[str, Any]]] = {task: dict.fromkeys(contenders, lost) for task in tasks}
        for (task, name), result in zip(asked, self.bench.measure(phase, units), strict=True):
            found[task][name] = _decoded(result)
        return found


def structure(contender: Contender) -> int:
    """Returns a key that rules share which differ in constants alone."""
    return canonical_key(contender.opened)


def _around(trial: Trial) -> tuple[Trial, ...]:
    """The trial at 13 learning rates, half a decade to both sides."""
    return tuple(trial._replace(rate=trial.rate * 10.0 ** (k / 12)) for k in range(-6, 7))


def _decoded(result: Mapping[str, Any]) -> dict[str, Any]:
    """The result of a report, with the losses that JSON has no word for."""
    return {
        "valid": _losses(result["valid"]),
        "test": _losses(result["test"]),
        "curve": [_losses(row) for row in result["curve"]],
    }


def _losses(values: Sequence[float | None]) -> list[float]:
    return [inf if value is None else value for value in values]


def _best(trials: Sequence[Trial], losses: Sequence[float]) -> tuple[Trial | None, float]:
    """The trial with the lowest loss, the first of equals."""
    place = min(range(len(losses)), key=losses.__getitem__)
    return (trials[place], losses[place]) if isfinite(losses[place]) else (None, inf)


def alike(losses: Sequence[float], others: Sequence[float]) -> bool:
    """Whether two programs have the same losses at every learning rate, up to `SAME`."""
    a, b = np.array(losses), np.array(others)
    finite = np.isfinite(a)
    if not (finite == np.isfinite(b)).all():
        return False
    return bool((np.abs(a[finite] - b[finite]) <= SAME * np.abs(a[finite])).all())


def _last_score(one: Candidate) -> float:
    return [*one.stages.values()][-1]["score"] if one.stages else one.score
