"""What passes becomes an entry of a library: the simplified program, its card, and sources that need no Pride."""

import os
from collections.abc import Mapping, Sequence
from math import exp, log
from pathlib import Path
from statistics import fmean
from typing import Any

from archive import library
from archive.library.card import write_card
from discovery.promote.finals import name_of
from discovery.promote.funnel import Candidate
from evaluators.optimizers.contenders import DECAY
from evaluators.optimizers.trials import Contender
from primitives.ops import LIBRARY
from primitives.program import COPY, OPTIMIZER, Program, Signature, Statement
from primitives.simplify import canonical_key
from primitives.text import parse, render

SHOWN = 8
"""Statements that an ablation names."""
TARGETS = ("optax", "torch")
"""Sources that come with an entry."""


def rule_name(candidate: Candidate) -> str:
    """Returns a name that says what the rule is made of, and its number: `clipped_adaptive_momentum_4711`."""
    graph = candidate.contender.graph
    ops = {node.op for node in graph.nodes}
    words = ["clipped"] if "clip_by_global_norm" in ops else []
    words += ["sign"] if "sign" in ops else []
    words += ["normalized"] if ops & {"norm", "global_norm", "cosine_sim"} else []
    words += ["adaptive"] if ops & {"guarded_divide", "divide"} and ops & {"sqrt", "square", "abs"} else []
    words += ["momentum"] if graph.state_buffers else ["descent"]
    return "_".join([*words, str(candidate.id)])


def card_of(candidate: Candidate, report: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the card of a candidate as plain data.

    Args:
        candidate: a rule that was found.
        report: the report of its promotion, its finals included.
    """
    inside = with_decay(candidate.contender)
    graph, name = candidate.contender.graph, name_of(candidate)
    losses = report["found"]["losses"]
    rates = [rows[name]["rate"] for rows in losses.values() if rows[name]["rate"]]
    buffers = graph.state_buffers
    return {
        "title": rule_name(candidate).rpartition("_")[0].replace("_", " ").capitalize(),
        "summary": f"found by search, {graph.size} operations, {buffers} state buffer{'s' * (buffers != 1)}",
        "learning_rate": float(f"{exp(fmean(map(log, rates))):.2g}"),
        "hyperparameters": {
            one: {"range": _range(one, value), "doc": _doc(one, candidate, report)}
            for one, value in zip(inside.constants, inside.values, strict=True)
        },
        "source": f"Pride, {report['run']['folder']}, candidate {candidate.id}",
        "advice": _advice(name, losses),
        "provenance": (
            f"Searched from {', '.join(report['run']['start'])} with seed {report['run']['seed']}, "
            f"{report['run']['candidates']:,} candidates and {report['run']['seconds'] / 60:.0f} minutes; promoted "
            f"{report['date']} at {report['machine']['commit']} on {report['machine']['processor']}."
        ),
        "scores": _scores(name, report["found"]),
        "ablation": _ablation(candidate),
    }


def with_decay(contender: Contender) -> Contender:
    """Returns a rule with the decoupled weight decay that trials give it from outside, zero at first.

    w <- w - update - lr * decay * w.

    Args:
        contender: a rule in canonical form, which assigns neither to w nor to lr.
    """
    program = parse(contender.text, OPTIMIZER, LIBRARY)
    inputs = dict(program.signature.inputs)
    taken = {*inputs, *(statement.target for statement in program.statements)}
    name = next(name for name in (DECAY, *(f"decay{k}" for k in range(1, 1000))) if name not in taken)
    shrink = next(name for name in ("shrink", *(f"shrink{k}" for k in range(1, 1000))) if name not in taken)
    kinds = dict(OPTIMIZER.inputs)
    inputs = {"w": kinds["w"], **inputs, "lr": kinds["lr"]}
    statements = (
        Statement(name, COPY, (0.0,)),
        *program.statements,
        Statement(shrink, "multiply", ("w", name)),
        Statement(shrink, "multiply", (shrink, "lr")),
        Statement("update", "add", ("update", shrink)),
    )
    signature = Signature(tuple(inputs.items()), program.signature.outputs)
    text = render(Program(signature, statements, program.name), LIBRARY)
    return Contender(text, (*contender.constants, name))


def _range(name: str, value: float) -> str:
    """The range of a sort of constant, where the constant itself lies in it."""
    if name.startswith("beta") and 0.0 <= value <= 1.0:
        return "[0, 1]"
    return "[0, inf)" if name.startswith(("bound", "weight_decay", "decay")) and value >= 0.0 else "(-inf, inf)"


def _doc(name: str, candidate: Candidate, report: Mapping[str, Any]) -> str:
    """What a constant is, and the values that it had where all constants were tuned."""
    what = {"beta": "weight of the old value", "bound": "bound of the norm", "weight_decay": "weight decay of the rule"}
    doc = next((text for sort, text in what.items() if name.startswith(sort)), "constant") + ", as the search found it"
    if name not in candidate.contender.constants:
        used = [rows[name_of(candidate)]["decay"] for rows in report["found"]["losses"].values()]
        doc = "decoupled weight decay outside of the rule, times the learning rate"
        return f"{doc}; tuned, {min(used):g} to {max(used):g}"
    if "tuned" not in report:
        return doc
    place = candidate.contender.constants.index(name)
    rows = [rows[name_of(candidate)] for rows in report["tuned"]["losses"].values()]
    values = [row["constants"][place] for row in rows if row["constants"]]
    return f"{doc}; tuned, {min(values):.3g} to {max(values):.3g}" if values else doc


def _advice(name: str, losses: Mapping[str, Any]) -> str:
    used = [f"{task} {rows[name]['rate']:.2g} and {rows[name]['decay']:g}" for task, rows in losses.items()]
    return f"Learning rate and decoupled weight decay that served best: {'; '.join(used)}."


def _scores(name: str, table: Mapping[str, Any]) -> str:
    """How it did beside the best tuned baseline on each task."""
    compared = [
        f"{task} {d['mean']:+.3f} [{d['low']:+.3f}, {d['high']:+.3f}] ({table['best_baseline'][task]})"
        for task, d in table["against_best"][name].items()
    ]
    verdict = table["gate"][name]
    place = [one["name"] for one in table["ranking"]].index(name) + 1
    return (
        f"Rate and decay tuned per task: log(test loss of the best baseline / its own), bootstrap interval and that "
        f"baseline: {'; '.join(compared)}. Significantly better on {len(verdict['better'])} and worse on "
        f"{len(verdict['worse'])} of {len(compared)}; median {verdict['median_gain']:+.3f}; place {place} of "
        f"{len(table['ranking'])} in the ranking."
    )


def _ablation(candidate: Candidate) -> str:
    """What was removed and what it cost; then what the statements are worth, those that are worth least first."""
    cuts = candidate.reduction["cuts"]
    kept = [f"{cut['what']} ({cut['cost']:+.3f} ± {cut['error']:.3f})" for cut in cuts if cut["kept"]]
    worth: dict[str, Mapping[str, Any]] = {}
    for cut in cuts:
        statement = cut["what"].split(" became ")[0]
        if not cut["kept"] and " = " in statement and cut["cost"] < worth.get(statement, {"cost": 1e9})["cost"]:
            worth[statement] = cut
    dear = sorted(worth, key=lambda statement: worth[statement]["cost"])[:SHOWN]
    missed = [f"{one} {worth[one]['cost']:+.3f} ± {worth[one]['error']:.3f}" for one in dear]
    return (
        f"Loss of score where it was made simpler: {'; '.join(kept) or 'nothing was'}. Loss of score where a statement "
        f"goes, cheapest first: {'; '.join(missed) or 'none was tried'}."
    )


def write(candidates: Sequence[Candidate], report: Mapping[str, Any], out: Path, folder: Path) -> dict[str, str]:
    """Writes entries and sources.

    An entry of the same program that is there already, from an earlier promotion of the run, stays as it is. Where
    another rule has the name, this one gets a number behind it.

    Args:
        candidates: those that passed.
        report: the report of the promotion.
        out: folder of the promotion, for the sources.
        folder: the library.

    Returns:
        Names in the library by name of the candidate.

    Raises:
        ValueError: the library or the folder can't be written or read.
    """
    names = {}
    for one in candidates:
        name, there = _place(one, folder)
        path = out / "rules" / f"{name}.py"
        if there is None:
            replace_file(path, write_card(card_of(one, report), with_decay(one.contender).text))
            entry = library.add(path, folder, name)
        else:
            replace_file(path, there.text)
            entry = there
        for target in TARGETS:
            replace_file(out / "rules" / f"{name}_{target}.py", entry.source(target))
        names[name_of(one)] = name
    return names


def _place(candidate: Candidate, folder: Path) -> tuple[str, library.Entry | None]:
    """A name for a candidate, and the entry of its program where there is one already."""
    base, program = rule_name(candidate), canonical_key(with_decay(candidate.contender).graph)
    there = folder if folder.exists() else None
    name, number = base, 1
    while library.knows(name, there):
        entry = library.load(name, there)
        if canonical_key(Contender(entry.text).graph) == program:
            return name, entry
        number += 1
        name = f"{base}_{number}"
    return name, None


def replace_file(path: Path, text: str) -> None:
    """Writes a file in one piece: whoever looks finds the old one or the new one.

    Raises:
        ValueError: it can't be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, "utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ValueError(f"{path} must be a file that can be written, got: {error.strerror}; choose another") from None
