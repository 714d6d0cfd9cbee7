"""The finals: finalists and baselines on held-out tasks, equally tuned, from fresh seeds.

Every rule gets the same trials of learning rate and decoupled weight decay, then of a finer grid of rates around the
best. The trial is chosen by validation loss from one seed; what is reported is the test loss from seeds that nothing
was chosen on. The first table has constants as they were found or published; the second has those of all rules tuned,
with as many trials for each. A rule with a decay of its own is also shown without the one outside, as `NAME alone`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import inf, isfinite
from statistics import fmean, median
from typing import Any

import numpy as np
from scipy import stats

from discovery.promote.funnel import Candidate, Funnel
from evaluators.optimizers.contenders import baseline
from evaluators.optimizers.promotion import Promotion
from evaluators.optimizers.trials import Contender, task_of
from evaluators.profiles import baseline_target, performance_profile, profile_score, steps_to_target
from evaluators.ranking import strengths
from evaluators.statistics import Difference, holm, mean_difference

ALONE = " alone"
"""Suffix of a rule with a decay of its own and none outside."""
TAUS = (1.0, 1.05, 1.1, 1.25, 1.5, 2.0, 4.0)
"""Factors at which performance profiles are shown."""

Results = dict[str, dict[str, dict[str, Any]]]
"""By task and rule: `trial`, `edge`, losses by seed `valid` and `test`, and `curve` (checkpoints, seeds)."""


def name_of(candidate: Candidate) -> str:
    """Returns what a candidate is called in tables."""
    return f"#{candidate.id}"


def measure(funnel: Funnel, finalists: Sequence[Candidate]) -> dict[str, Results]:
    """Tunes and trains all rules on the held-out tasks.

    Args:
        funnel: the funnel that the finalists are from.
        finalists: rules that were found.

    Returns:
        The first table as `found` and, unless the settings tune no constants, the second as `tuned`.
    """
    settings, tasks = funnel.settings, funnel.settings.held_out
    rules = {name: baseline(name) for name in settings.baselines}
    rules |= {name_of(one): one.contender for one in finalists}
    chosen = funnel.tune("held-out", rules, tasks)
    rivals = settings.gate.against or settings.baselines
    useless = [task for task in tasks if all(chosen[task][name]["trial"] is None for name in rivals)]
    if useless:
        raise ValueError(
            f"a baseline of the gate must come to a finite loss on every held-out task, got none on {useless[0]} in "
            f"any trial; lower promotion.rates"
        )
    funnel.refine("held-out", rules, tasks, chosen, "trial", "loss")
    # a rule with a decay of its own reads the parameters
    with_decay = {name_of(one): one.contender for one in finalists if "w" in one.contender.graph.inputs}
    funnel.refine("held-out", with_decay, tasks, chosen, "alone", "loss_alone")
    for task in tasks:
        for name in with_decay:
            best = chosen[task][name]
            chosen[task][name + ALONE] = {"trial": best["alone"], "loss": best["loss_alone"]}
    rules |= {name + ALONE: rule for name, rule in with_decay.items()}
    found = {"found": _reports(funnel, "held-out", rules, chosen)}
    if settings.constants:
        plain = {name: rule for name, rule in rules.items() if not name.endswith(ALONE)}
        tuned = funnel.tune_constants("constants", plain, tasks, chosen)
        found["tuned"] = _reports(funnel, "constants", plain, tuned)
    return found


def _reports(funnel: Funnel, phase: str, rules: Mapping[str, Contender], chosen: Results) -> Results:
    """All seeds of the chosen trials."""
    settings, tasks = funnel.settings, funnel.settings.held_out
    blocks = [funnel.report(phase, rules, tasks, chosen, first) for first in range(0, settings.seeds, settings.block)]
    return {
        task: {
            name: {
                "trial": chosen[task][name]["trial"],
                "valid": [loss for block in blocks for loss in block[task][name]["valid"]],
                "test": [loss for block in blocks for loss in block[task][name]["test"]],
                "curve": np.concatenate([np.array(block[task][name]["curve"]) for block in blocks], axis=1).tolist(),
            }
            for name in rules
        }
        for task in tasks
    }


# --- analysis ---------------------------------------------------------------------------------------------------------


def analyse(results: Results, settings: Promotion, finalists: Sequence[str]) -> dict[str, Any]:
    """Compares all rules; a function of the results alone.

    Args:
        results: one table.
        settings: settings of the promotion.
        finalists: names of the rules that were found.

    Returns:
        `losses`: by task and rule the mean test loss, its interval, the trial; `best_baseline` by task, chosen by
        validation loss among those of the gate that diverge from the fewest seeds; `against_best`: by finalist and task
        the difference to it, with the p-value corrected over all of these (Holm); `gate`: by finalist the verdict;
        `versus`: the verdicts if the gate compared with all baselines, and with each alone; `steps`: by task the target
        and the steps within which half of the seeds reach it; `profile` and `profile_score`; `ranking`: Bradley-Terry
        log-strengths with intervals, best first.
    """
    judged = _judge(results, settings, finalists, settings.gate.against or settings.baselines)
    names = [name for name in next(iter(results.values())) if not name.endswith(ALONE)]
    steps = _steps({task: {name: rows[name] for name in names} for task, rows in results.items()}, settings)
    costs = {name: [steps[task]["steps"][name] for task in results] for name in names}
    ranked = strengths({name: {task: results[task][name]["test"] for task in results} for name in costs})
    order = np.argsort(-ranked.values, kind="stable")
    return {
        "losses": {task: {name: _row(row, settings) for name, row in rows.items()} for task, rows in results.items()},
        **judged,
        "versus": {
            " ".join(rivals): _judge(results, settings, finalists, rivals)["gate"]
            for rivals in dict.fromkeys([settings.baselines, *((name,) for name in settings.baselines)])
        },
        "steps": steps,
        "profile": {
            "taus": TAUS,
            **{name: shares.tolist() for name, shares in performance_profile(costs, TAUS).items()},
        },
        "profile_score": profile_score(costs),
        "ranking": [
            {
                "name": ranked.names[i],
                "strength": float(ranked.values[i]),
                "low": float(ranked.low[i]),
                "high": float(ranked.high[i]),
            }
            for i in order
        ],
    }


def _judge(
    results: Results, settings: Promotion, finalists: Sequence[str], against: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Finalists beside the best of some baselines: `best_baseline`, `against_best` and `gate` of `analyse`."""
    best = {task: min(against, key=lambda name: _standing(rows[name]["valid"])) for task, rows in results.items()}
    differences = {
        (name, task): mean_difference(
            results[task][name]["test"], results[task][best[task]]["test"], settings.confidence
        )
        for name in finalists
        for task in results
    }
    adjusted = dict(zip(differences, holm([d.p_value for d in differences.values()]).tolist(), strict=True))
    return {
        "best_baseline": best,
        "against_best": {
            name: {task: {**asdict(differences[name, task]), "corrected": adjusted[name, task]} for task in results}
            for name in finalists
        },
        "gate": {
            name: gate(
                settings,
                {task: differences[name, task] for task in results},
                {task: adjusted[name, task] for task in results},
                [task for task in results if not np.isfinite(results[task][name]["test"]).all()],
            )
            for name in finalists
        },
    }


def gate(
    settings: Promotion, differences: Mapping[str, Difference], corrected: Mapping[str, float], diverged: Sequence[str]
) -> dict[str, Any]:
    """Returns whether a rule passes, and why not.

    Args:
        settings: settings of the promotion.
        differences: by task log(best baseline's test loss / the rule's).
        corrected: by task the p-value, corrected for all comparisons.
        diverged: tasks where the rule diverged from one seed at least.
    """
    alpha = 1.0 - settings.confidence
    gains: dict[str, list[float]] = {}
    for task, found in differences.items():
        gains.setdefault(task.partition("@")[0], []).append(found.mean)
    gain = median(map(fmean, gains.values()))
    better = [task for task, d in differences.items() if d.mean > 0.0 and corrected[task] <= alpha]
    worse = [task for task, d in differences.items() if d.mean < 0.0 and corrected[task] <= alpha]
    lead = len({task.partition("@")[0] for task in better}) - len({task.partition("@")[0] for task in worse})
    reasons = []
    if gain <= settings.gate.gain:
        reasons.append(f"gains {gain:+.3f} on the median task, must be above {settings.gate.gain:+.3f}")
    if lead < settings.gate.lead:
        reasons.append(
            f"is significantly better on {len(better)} and worse on {len(worse)} of {len(differences)} tasks, "
            f"a lead of {lead} (variants as one), must be {settings.gate.lead}"
        )
    if diverged:
        reasons.append(f"diverges on {', '.join(diverged)}")
    return {
        "passes": not reasons,
        "reasons": reasons,
        "median_gain": gain,
        "better": better,
        "worse": worse,
        "diverged": list(diverged),
    }


def gates(analysed: Mapping[str, Mapping[str, Any]], finalists: Sequence[str], shown: Sequence[str]) -> dict[str, Any]:
    """Returns the verdict on each rule that is shown: it must have come to the finals and pass in every table.

    Args:
        analysed: what `analyse` gives, by table.
        finalists: names of those that came so far.
        shown: names of those to judge.
    """
    verdicts = {}
    for name in shown:
        reasons = [] if name in finalists else ["fell before the finals"]
        for table, found in analysed.items():
            where = "" if table == "found" else "constants tuned: "
            reasons += [where + reason for reason in found["gate"][name]["reasons"]]
        verdicts[name] = {"passes": not reasons, "reasons": reasons}
    return verdicts


def _steps(results: Results, settings: Promotion) -> dict[str, dict[str, Any]]:
    """By task the target and, by rule, the steps within which half of its seeds reach it; inf where most never do.

    Of an even number of seeds that is the lower of the two medians: their mean would be infinite for a rule that half
    of its seeds take to the target, as they take a baseline that sets the target alone.
    """
    found = {}
    for task, rows in results.items():
        total = task_of(task).steps
        points = [total * k // settings.checkpoints for k in range(1, settings.checkpoints + 1)]
        curves = {name: np.array(row["curve"]).T for name, row in rows.items()}
        target = _target([curves[name] for name in settings.baselines])
        medians = {
            name: inf if target is None else _half(steps_to_target(curve, points, target))
            for name, curve in curves.items()
        }
        found[task] = {"target": target, "total": total, "steps": medians}
    return found


def _half(values: np.ndarray) -> float:
    """The smallest value that half of them do not exceed."""
    return float(np.sort(values)[(len(values) - 1) // 2])


def _target(curves: Sequence[np.ndarray]) -> float | None:
    """The target, or None where most baselines diverge."""
    finite = [curve for curve in curves if np.isfinite(np.median(np.min(curve, axis=1)))]
    return baseline_target({str(i): curve for i, curve in enumerate(curves)}) if 2 * len(finite) > len(curves) else None


def _row(row: Mapping[str, Any], settings: Promotion) -> dict[str, Any]:
    losses = np.array(row["test"])
    if not np.isfinite(losses).all():
        return {"test": None, "margin": None, "diverged": int((~np.isfinite(losses)).sum()), **_trial(row, settings)}
    margin = stats.t.ppf(0.975, len(losses) - 1) * losses.std(ddof=1) / np.sqrt(len(losses))
    return {"test": float(losses.mean()), "margin": float(margin), "diverged": 0, **_trial(row, settings)}


def _trial(row: Mapping[str, Any], settings: Promotion) -> dict[str, Any]:
    trial = row["trial"]
    if trial is None:
        return {"rate": None, "decay": None, "constants": None, "edge": False}
    edge = not settings.rates[0] < trial.rate < settings.rates[-1]
    return {"rate": trial.rate, "decay": trial.decay, "constants": list(trial.constants), "edge": edge}


def _standing(losses: Sequence[float]) -> tuple[int, float]:
    """Seeds that diverged, then the mean loss of the others: the mean of all would be infinite after one of them."""
    finite = [loss for loss in losses if isfinite(loss)]
    return len(losses) - len(finite), fmean(finite) if finite else inf
