"""Numeric functions: programs x -> y of few operations that approximate a function on an interval."""

from collections.abc import Mapping
from typing import Any

from archive.descriptor import Descriptor
from evaluators.domain import Domain, Evaluator
from evaluators.numerics.options import Options
from evaluators.numerics.structure import read
from primitives.graph import Graph
from primitives.kinds import TENSOR
from primitives.ops import REALS
from primitives.program import Interface

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


INTERFACE = Interface(function="approximate", inputs=(("x", TENSOR),), outputs=(("y", TENSOR),))

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
    programs={"identity": "def approximate(x):\n    y = x\n    return y\n"},
)
