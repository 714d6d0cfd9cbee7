"""Update rules for the training of neural networks."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from archive.descriptor import Descriptor
from evaluators.domain import VALIDATION_REPLICATE, Domain, Evaluator
from evaluators.optimizers.options import Options, Stage
from evaluators.optimizers.promotion import Promotion
from primitives.encode import FILES
from primitives.fingerprint import fingerprint, optimizer_probe
from primitives.graph import Graph
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER

WIDE = tuple(10.0 ** (half / 2) for half in range(-12, 5))
"""Learning rates for rules with a scale of their own: 10^-6 to 100 by half decades."""

VALIDATION_SEEDS = 3
"""Seeds that the loss on a task of validation is the mean of."""


_probe = cache(optimizer_probe)  # making it takes as long as a fingerprint


def _fingerprint(graph: Graph) -> int | None:
    return fingerprint(graph, LIBRARY, _probe())


def _refuse(graph: Graph) -> str | None:
    """An update that the gradient never reaches trains nothing."""
    return None if "g" in graph.inputs else "the update must depend on the gradient g, and never does; use g"


def _compiled(graph: Graph) -> str | None:
    """The operation, kind or input that `Machine.stranger` tells, found without loading JAX."""
    used = [LIBRARY[node.op] for node in graph.nodes]
    strange = [one.name for one in used if one.matrices or one.overloads or not one.kinds <= FILES]
    strange += [kind.name for kind in (*graph.kinds, *graph.state_kinds) if kind not in FILES]
    strange += [name for name in graph.inputs if name not in ("w", "g", "lr", "t")]
    return strange[0] if strange else None


def _static_descriptors(graph: Graph) -> Mapping[str, float]:
    return {"state_buffers": graph.state_buffers, "size": graph.size}


def _stages(options: Options) -> tuple[str, ...]:
    return tuple(stage.name for stage in options.stages)


def _evaluator(options: Options, cache: str | None) -> Evaluator:
    from evaluators.optimizers.judge import Judge  # JAX loads only where programs are judged

    return Judge(options, cache)


def _wide_evaluator(options: Options, cache: str | None) -> Evaluator:
    from evaluators.optimizers.judge import Judge

    return Judge(options, cache, learning_rates=WIDE)


def _baselines(options: Options, cache: str | None) -> Mapping[str, Mapping[str, Any]]:
    from evaluators.optimizers.judge import Judge

    return Judge(options, cache).baselines()


def _validator(options: Options, cache: str | None) -> Evaluator:
    from evaluators.optimizers.judge import Judge

    stage = Stage(name="validation", share=1.0, seeds=VALIDATION_SEEDS)
    larger = options.model_copy(update={"tasks": options.validation_tasks, "stages": (stage,)})
    return Judge(larger, cache, replicate=VALIDATION_REPLICATE, most=VALIDATION_SEEDS)


DOMAIN = Domain(
    name="optimizers",
    interface=OPTIMIZER,
    vocabulary=LIBRARY,
    dtype="float32",
    options=Options,
    fingerprint=_fingerprint,
    refuse=_refuse,
    static_descriptors=_static_descriptors,
    descriptors=(
        Descriptor("state_buffers", (0.5, 1.5), "live state variables that are no few numbers", version=2),
        Descriptor("size", (4, 7, 10, 13, 16, 20, 25, 32), "operations of the canonical form"),
        Descriptor(
            "learning_rate_tolerance",
            (0.3, 0.45, 0.6, 0.8, 1.5),
            "share of learning rates with a loss within 10 % of the best, mean over tasks; 2 if a rule ignores lr",
            version=2,
        ),
    ),
    stages=_stages,
    evaluator=_evaluator,
    start=("adamw_uncorrected",),
    inputs=("w", "g", "lr"),
    wide_evaluator=_wide_evaluator,
    accelerated=True,
    baselines=_baselines,
    validator=_validator,
    promotion=Promotion,
    compiled=_compiled,
)
