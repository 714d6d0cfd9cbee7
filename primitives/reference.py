"""NumPy reference: what a program means, statement by statement, in float64 unless told otherwise.

A TENSOR is a flat vector (D,) of all parameter tensors, a LEAF is (L,), a SCALAR is 0-d, and the other kinds are flat
vectors too (`primitives.layout`). `prepare` turns a graph into straight-line code once; the code takes the array module
at the call, so that `primitives.compile` traces the same instructions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from primitives.graph import Graph
from primitives.kinds import LEAF, SCALAR, TENSOR, Kind
from primitives.layout import Layout
from primitives.primitive import Primitive, Scope, Vocabulary


@dataclass(frozen=True, slots=True)
class Code:
    """A graph as straight-line code over registers `[*inputs, *state, *constants, *instructions]`.

    Args:
        constants: values of the constants, at the type of the execution.
        instructions: `fn(xp, *args)` and the registers of its arguments; each appends one register.
        registers: register of every reference of the graph (where a lower kind meets a higher one, an instruction of
            its own lifts it, so that registers and references may part).
        outputs: registers of the outputs, lifted to their declared kinds.
        next_state: registers of the state at the next step, lifted to its declared kinds.
    """

    constants: Sequence[Any]
    instructions: Sequence[tuple[Callable[..., Any], tuple[int, ...]]]
    registers: Sequence[int]
    outputs: Sequence[int]
    next_state: Sequence[int]

    def run(self, xp: Any, inputs: Sequence[Any], state: Sequence[Any]) -> list[Any]:
        """Executes one step with the array module `xp` and returns all registers."""
        registers = [*inputs, *state, *self.constants]
        append = registers.append
        for fn, args in self.instructions:
            if len(args) == 2:  # one and two arguments without building a list: a fifth of the loop's time
                a, b = args
                append(fn(xp, registers[a], registers[b]))
            elif len(args) == 1:
                append(fn(xp, registers[args[0]]))
            else:
                append(fn(xp, *[registers[a] for a in args]))
        return registers


def prepare(
    graph: Graph, vocabulary: Vocabulary, layout: Layout, constant: Callable[[float], Any] = np.float64
) -> Code:
    """Turns a graph into straight-line code.

    Args:
        graph: a checked or canonical graph.
        vocabulary: the primitives it uses.
        layout: shapes of the parameter tensors.
        constant: makes a 0-d value of the execution's type from a float.
    """
    return _Preparation(graph, vocabulary, layout, constant).code()


class _Preparation:
    """Instructions of one graph, with the lifts that they need."""

    def __init__(self, graph: Graph, vocabulary: Vocabulary, layout: Layout, constant: Callable[[float], Any]) -> None:
        self.graph, self.vocabulary, self.layout, self.constant = graph, vocabulary, layout, constant
        self.registers = list(range(graph.first_node))
        self.instructions: list[tuple[Callable[..., Any], tuple[int, ...]]] = []
        self.lifted: dict[tuple[int, str], int] = {}

    def code(self) -> Code:
        graph, registers, instructions = self.graph, self.registers, self.instructions
        primitives = self.vocabulary._by_name  # noqa: SLF001  (the dict itself: fingerprints are made by the million)
        first = graph.first_node
        plain = _BROADCAST.issuperset(graph.kinds)
        for ref, (op, args) in enumerate(graph.nodes, first):
            primitive = primitives[op]
            fn: Callable[..., Any] = primitive.fn
            if primitive.scope is not Scope.ELEMENT:
                fn, args = self._scoped(ref, primitive, args)
            elif not args:
                fn = partial(_value, self.constant(float(fn(np))))
            elif plain:
                args = tuple([registers[a] for a in args])
            else:
                args = tuple([self._lift(a, graph.kinds[ref], broadcasts=True) for a in args])
            registers.append(first + len(instructions))
            instructions.append((fn, args))
        outputs = [self._lift(ref, kind) for ref, kind in zip(graph.outputs, graph.output_kinds, strict=True)]
        following = [self._lift(ref, kind) for ref, kind in zip(graph.next_state, graph.state_kinds, strict=True)]
        constants = [self.constant(c) for c in graph.constants]
        return Code(constants, instructions, registers, outputs, following)

    def _lift(self, ref: int, kind: Kind, broadcasts: bool = False) -> int:
        """Register of a value lifted to `kind`; a SCALAR stays what it is where it `broadcasts` anyway."""
        have = self.graph.kinds[ref]
        if have is kind or (broadcasts and have is SCALAR):
            return self.registers[ref]
        register = self.lifted.get((ref, kind.name))
        if register is None:
            fn = partial(lift, have, kind, self.layout)
            register = self.lifted[ref, kind.name] = self.graph.first_node + len(self.instructions)
            self.instructions.append((fn, (self.registers[ref],)))
        return register

    def _scoped(
        self, ref: int, primitive: Primitive, args: tuple[int, ...]
    ) -> tuple[Callable[..., Any], tuple[int, ...]]:
        """Function and argument registers of a primitive that sees a tensor or the model at a time."""
        kinds = primitive.arriving(tuple([self.graph.kinds[a] for a in args]))
        registers = tuple([self._lift(a, kind) for a, kind in zip(args, kinds, strict=True)])
        if primitive.scope is Scope.MODEL or all(kind is SCALAR for kind in kinds):
            return primitive.fn, registers
        return partial(per_tensor, primitive.fn, self.layout, kinds, self.graph.kinds[ref] is LEAF), registers


_BROADCAST = frozenset((SCALAR, TENSOR))
"""Where a graph has these kinds alone, element-wise arguments broadcast by themselves."""


def lift(have: Kind, kind: Kind, layout: Layout, xp: Any, value: Any) -> Any:
    """Lifts a value from kind `have` to a higher kind, such as a SCALAR to (L,) or (D,), a LEAF (L,) to (D,)."""
    if have is SCALAR:
        return xp.full(layout.count(kind), value)
    return value[layout.index(have, kind)]


def per_tensor(
    fn: Callable[..., Any], layout: Layout, kinds: tuple[Kind, ...], reduces: bool, xp: Any, *args: Any
) -> Any:
    """Applies `fn` to one parameter tensor at a time.

    Args:
        fn: function of the array module and, by the kind of the argument, an array in its own shape or 0-d values.
        layout: shapes of the parameter tensors.
        kinds: kinds of `args`.
        reduces: whether `fn` gives one value for each tensor.
        xp: array module.
        args: values, flat.

    Returns:
        (L,) where it reduces, else the entries of all results.
    """
    pieces = [
        [x] * layout.leaves if kind is SCALAR else x if kind is LEAF else layout.split(x, kind)
        for x, kind in zip(args, kinds, strict=True)
    ]
    results = [fn(xp, *leaf) for leaf in zip(*pieces, strict=True)]
    return xp.array(results) if reduces else xp.concatenate([xp.ravel(x) for x in results])


def _value(value: Any, xp: Any) -> Any:
    return value


def zero_state(graph: Graph, layout: Layout, dtype: Any = np.float64) -> tuple[Any, ...]:
    """Returns the state before the first step: zeros, one-dimensional or (SCALAR) 0-d."""
    zero = np.dtype(dtype).type(0.0)
    return tuple(zero if kind is SCALAR else np.full(layout.count(kind), zero) for kind in graph.state_kinds)


def values(
    graph: Graph,
    vocabulary: Vocabulary,
    layout: Layout,
    inputs: Mapping[str, Any],
    state: Sequence[Any],
    dtype: Any = np.float64,
) -> tuple[list[Any], tuple[Any, ...], tuple[Any, ...]]:
    """Executes one step and returns every value on the way.

    Args:
        graph: a checked or canonical graph.
        vocabulary: the primitives it uses.
        layout: shapes of the parameter tensors.
        inputs: value of every data input by name: (D,), (L,) or 0-d.
        state: value of every state variable in the order of `graph.state`.
        dtype: floating-point type of the execution.

    Returns:
        The value of every reference of the graph, the outputs, and the state at the next step.

    Raises:
        ValueError: an input has no value.
    """
    kind_of = np.dtype(dtype).type  # applied to a 0-d value it gives a scalar, to an array an array
    missing = [name for name in graph.inputs if name not in inputs]
    if missing:
        raise ValueError(f"every input must have a value, got none for {', '.join(missing)}; add it to `inputs`")
    code = prepare(graph, vocabulary, layout, kind_of)
    with np.errstate(all="ignore"):
        registers = code.run(np, [kind_of(inputs[name]) for name in graph.inputs], [kind_of(s) for s in state])
    return (
        [registers[r] for r in code.registers],
        tuple(registers[r] for r in code.outputs),
        tuple(registers[r] for r in code.next_state),
    )


def step(
    graph: Graph,
    vocabulary: Vocabulary,
    layout: Layout,
    inputs: Mapping[str, Any],
    state: Sequence[Any],
    dtype: Any = np.float64,
) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Executes one step; arguments and errors as for `values`.

    Returns:
        The outputs that are no state and the state at the next step, lifted to their declared kinds.
    """
    return values(graph, vocabulary, layout, inputs, state, dtype)[1:]
