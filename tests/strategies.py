"""Hypothesis strategies: random programs of a vocabulary, valid by construction."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from primitives.interpreter import executes
from primitives.kinds import LEAF, SCALAR, TENSOR, Kind, lifts
from primitives.ops import LIBRARY
from primitives.primitive import Primitive, Vocabulary, fits
from primitives.program import COPY, OPTIMIZER, Interface, Program, Statement

CONSTANTS = st.one_of(
    st.sampled_from((0.9, 0.999, 0.01, 1.0, -1.0, 0.0, -0.0, 1e-8, 2.0, -0.5)),
    st.floats(-4.0, 4.0),
    st.floats(allow_nan=False, allow_infinity=False),
)
"""What search meets (decay rates, small whole numbers), draws as mutation makes them, and any finite float."""

MODERATE = CONSTANTS.filter(lambda c: c == 0.0 or 1e-60 < abs(c) < 1e60)
"""For executions by XLA, which flushes subnormal numbers to zero and rewrites sqrt(x * x) to |x|: what NumPy loses to
underflow or overflow it may keep, and the other way round. Nothing here comes near the ends of float64."""

INTERPRETED = Vocabulary(tuple(primitive for primitive in LIBRARY.primitives if executes(primitive)))
"""What the interpreter has instructions for."""
SEARCHED = replace(OPTIMIZER, inputs=OPTIMIZER.inputs[:4], state=(TENSOR, SCALAR, LEAF))
"""Signatures that the interpreter takes."""

_STATE_NAMES = ("m", "v", "s3")
_NEW_NAMES = ("a", "b", "x_1", "_", "norm", "max", "copy", "v845")


@st.composite
def programs(
    draw: st.DrawFn,
    vocabulary: Vocabulary,
    interface: Interface,
    max_statements: int = 12,
    constants: st.SearchStrategy[float] = CONSTANTS,
) -> Program:
    """Well-kinded programs over all executable primitives, with dead statements, copies and reassigned inputs.

    Args:
        draw: given by Hypothesis.
        vocabulary: primitives to draw from.
        interface: signature to keep to; programs have 0 to `min(3, interface.max_state)` state variables.
        max_statements: most statements drawn; one for each output may be added, so that it has a value of its kind.
        constants: finite constants.
    """
    operations = [None, *(p for p in vocabulary.values() if p.executable)]
    most = min(len(_STATE_NAMES), interface.max_state) if interface.state else 0
    state = _STATE_NAMES[: draw(st.integers(0, most))]
    held = [(name, draw(st.sampled_from(interface.state))) for name in state]
    data = [name for name, _ in interface.inputs if draw(st.booleans())]
    inputs = draw(st.permutations([*data, *state]))
    signature = interface.signature(inputs, [*(name for name, _ in interface.outputs), *state], held)

    kinds = dict(signature.inputs)
    required = [name for name, _ in interface.outputs]
    statements: list[Statement] = []
    for _ in range(draw(st.integers(0, max_statements))):
        primitive = draw(st.sampled_from([p for p in operations if p is None or _can_be_called(p, kinds)]))
        wanted = (None,) if primitive is None else draw(st.sampled_from(_ways(primitive, kinds)))
        args = [_argument(draw, kind, kinds, constants) for kind in wanted]
        output = _kind(args[0], kinds) if primitive is None else _output(primitive, args, kinds)
        if output is None:  # kinds that never lift met: take one argument for all the free ones
            free = next(a for a, kind in zip(args, wanted, strict=True) if kind is None)
            args = [free if kind is None else a for a, kind in zip(args, wanted, strict=True)]
            output = _output(primitive, args, kinds) if primitive is not None else _kind(free, kinds)
        if output is None:
            continue
        target = draw(st.sampled_from([*required, *kinds, *_NEW_NAMES]))
        statements.append(Statement(target, COPY if primitive is None else primitive.name, tuple(args)))
        kinds[target] = output
    for name, kind in signature.outputs:
        if name not in kinds or not lifts(kinds[name], kind):
            value = _argument(draw, kind, kinds, constants)
            statements.append(Statement(name, COPY, (value,)))
            kinds[name] = _kind(value, kinds)
    return Program(signature, tuple(statements), interface.function)


def _can_be_called(primitive: Primitive, kinds: dict[str, Kind]) -> bool:
    return bool(_ways(primitive, kinds))


def _ways(primitive: Primitive, kinds: dict[str, Kind]) -> list[tuple[Kind | None, ...]]:
    """Kinds of arguments that have a candidate each; a constant is one wherever a SCALAR lifts."""
    available = {SCALAR, *kinds.values()}
    declared = [given for given, _ in primitive.overloads] or [primitive.inputs]
    return [way for way in declared if all(wanted is None or any(fits(k, wanted) for k in available) for wanted in way)]


def _argument(
    draw: st.DrawFn, wanted: Kind | None, kinds: dict[str, Kind], constants: st.SearchStrategy[float]
) -> str | float:
    """A variable that lifts to `wanted` or, where a SCALAR does, sometimes a constant."""
    names: list[str | None] = [name for name, kind in kinds.items() if wanted is None or fits(kind, wanted)]
    if wanted is None or fits(SCALAR, wanted) or not names:
        names.append(None)
    name = draw(st.sampled_from(names))
    return draw(constants) if name is None else name


def _kind(arg: str | float, kinds: dict[str, Kind]) -> Kind:
    return kinds[arg] if isinstance(arg, str) else SCALAR


def _output(primitive: Primitive, args: Sequence[str | float], kinds: dict[str, Kind]) -> Kind | None:
    return primitive.output_kind(tuple(_kind(arg, kinds) for arg in args))
