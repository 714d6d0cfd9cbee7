"""Numeric functions: programs x -> y of few operations that approximate a function on an interval."""

from collections.abc import Mapping, Sequence
from typing import Any

from archive.descriptor import Descriptor
from archive.elite import Elite
from evaluators.domain import Domain, Evaluator
from evaluators.numerics.options import Options
from evaluators.numerics.structure import FUNCTION, read
from primitives.graph import Graph
from primitives.kinds import TENSOR
from primitives.ops import REALS
from primitives.program import Interface, Program

MOST = 20
"""Operations from which on the archive tells no difference."""


def _fingerprint(graph: Graph) -> int | None:
    """The key of the structure: programs that are equal up to their constants are one."""
    formula = read(graph)
    return None if formula is None else formula.structure.key


def _refuse(graph: Graph) -> str | None:
    if not graph.inputs or read(graph) is None:
        return "the approximation must depend on x, and never does; use x"
    return None


def _static_descriptors(graph: Graph) -> Mapping[str, float]:
    formula = read(graph)
    return {"operations": formula.structure.operations if formula else graph.size}


def _stages(options: Options) -> tuple[str, ...]:
    return tuple(stage.name for stage in options.stages)


def _evaluator(options: Options, cache: str | None) -> Evaluator:
    from evaluators.numerics.judge import Judge

    return Judge(options, cache)


def _baselines(options: Options, cache: str | None) -> Mapping[str, Mapping[str, Any]]:
    from evaluators.numerics.judge import Judge

    return Judge(options, cache).baselines()


def error_of(decade: float, options: Options, metric: str) -> dict[str, float]:
    """Returns the error that a descriptor stands for, by its name."""
    if options.arithmetic == "float32":
        return {"ULP": 10.0**decade * 2.0**24}
    return {f"{metric} error": 10.0**decade}


def _front(options: Options, elites: Sequence[Elite]) -> list[Mapping[str, Any]]:
    """The smallest error for each number of operations that brings a smaller one, beside the textbook's."""
    from evaluators.numerics import textbook
    from evaluators.numerics.targets import target_of

    target = target_of(options.target, options.interval, options.error)
    rows: list[Mapping[str, Any]] = []
    least = float("inf")
    for elite in sorted(elites, key=lambda e: (e.descriptors["operations"], e.descriptors["decade"], e.id)):
        # not its size, which counts what is done with constants alone, as where one is the sum of two floats
        operations, decade = int(elite.descriptors["operations"]), elite.descriptors["decade"]
        if decade < least:
            least = decade
            best = textbook.best(target, operations)
            rows.append(
                {
                    "id": elite.id,
                    "operations": operations,
                    **error_of(decade, options, target.metric),
                    "digits": -decade,
                    "textbook": best.error,
                    "its form": best.name,
                }
            )
    return rows


def _export(to: str, program: Program, options: Options, name: str) -> str:
    from evaluators.numerics.emit import export

    return export(to, program, options, name)


INTERFACE = Interface(function=FUNCTION, inputs=(("x", TENSOR),), outputs=(("y", TENSOR),))

DOMAIN = Domain(
    name="numerics",
    interface=INTERFACE,
    vocabulary=REALS,
    dtype="float64",
    options=Options,
    fingerprint=_fingerprint,
    refuse=_refuse,
    static_descriptors=_static_descriptors,
    descriptors=(
        Descriptor(
            "operations",
            tuple(i + 0.5 for i in range(MOST)),
            "operations on what depends on x; those on constants alone are free",
        ),
        Descriptor("decade", tuple(float(d) for d in range(-20, 1)), "log10 of the largest error on the interval"),
    ),
    stages=_stages,
    evaluator=_evaluator,
    start=("identity",),
    inputs=("x",),
    baselines=_baselines,
    front=_front,
    exports=("python", "jax", "c", "latex", "text"),
    export=_export,
    programs={"identity": "def approximate(x):\n    y = x\n    return y\n"},
)
