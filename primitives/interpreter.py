"""JAX execution in which programs are data: compiled once, then any program of the vocabulary runs.

The machine has two register files. The tensor file (registers, lanes, D) holds TENSOR values; the small file
(registers, lanes, L) holds LEAF values and, broadcast over the tensors, SCALAR values and constants. A program is a
list of tensor instructions; before each of them run the small instructions that it waits for. Both are rows
`(opcode, target, a, b, c)`.

What an instruction does is chosen in one of two ways. `step` runs one program and takes a real branch (`lax.switch`
outside any `vmap`): right for a CPU, while an accelerator would wait for each. `step_all` runs many programs side by
side and computes every instruction for all of them, keeping one for each: arithmetic that an accelerator has in plenty
(docs/accelerators.md has the figures). Either way the value is written to the file after the branch: a write inside the
branch copies the whole file (measured: 2.8 times slower). An opcode stands for a primitive and the files its operands
come from, so that a scalar operand is never materialized as a tensor where the pattern is a usual one; for the rest
there is an instruction that lifts.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from primitives.encode import FILES, Capacity, Encoded, align, encode
from primitives.graph import Graph
from primitives.kinds import LEAF, SCALAR, TENSOR
from primitives.layout import Layout
from primitives.primitive import Primitive, Scope, Vocabulary
from primitives.program import Interface
from primitives.reference import per_tensor

_LIFT, _COPY = "lift", "copy"
_T, _S, _E = "T", "S", "L"
"""Where an operand comes from: tensor file; small file, one value for the model; small file, one a tensor."""


def _patterns(primitive: Primitive) -> list[str]:
    """Operand patterns that have an opcode of their own in the tensor file."""
    n = primitive.arity
    if primitive.scope is not Scope.ELEMENT or (n and primitive.inputs[0] is SCALAR):
        return ["".join(_T if kind is None or kind is TENSOR else _S for kind in primitive.inputs)]
    if n == 2:
        return ["TT", "TS"] if primitive.commutative else ["TT", "TS", "ST"]
    return [_T * n] if n < 2 else [_T * n, _T * (n - 1) + _S]


def executes(primitive: Primitive) -> bool:
    """Returns whether the machine has an instruction for a primitive.

    Its registers hold the kinds of `FILES` only; what decomposes matrices takes longer to compile than all the rest.
    """
    return primitive.executable and not primitive.matrices and not primitive.overloads and primitive.kinds <= FILES


class Machine:
    """The interpreter of one vocabulary on one parameter layout.

    Args:
        vocabulary: primitives that programs may use; a program with one that the machine does not execute is refused.
        interface: inputs and state that programs may have; one output of kind TENSOR.
        layout: shapes of the parameter tensors.
        capacity: register and instruction counts.
    """

    def __init__(
        self, vocabulary: Vocabulary, interface: Interface, layout: Layout, capacity: Capacity = Capacity()
    ) -> None:
        self.vocabulary, self.layout, self.capacity = vocabulary, layout, capacity
        data = list(interface.inputs)
        tensors = [name for name, kind in data if kind is TENSOR]
        self.tensor_inputs = {name: i for i, name in enumerate(tensors)}
        self.small_inputs = {name: i for i, name in enumerate(n for n, k in data if k is not TENSOR)}
        self.first_state = len(tensors)
        self.first_temporary = len(tensors) + interface.max_state
        self.executed = frozenset(name for name in vocabulary if executes(vocabulary[name]))
        self.tensor_opcodes: dict[tuple[str, str], int] = {}
        self.small_opcodes: dict[tuple[str, str], int] = {}
        self._tensor_branches: list[Callable[..., jax.Array]] = []
        self._elements: dict[str, tuple[Callable[..., Any], int]] = {}  # element-wise functions, with their arities
        self._small_branches: list[Callable[..., jax.Array]] = []
        self._build()

    # --- what the opcodes do -------------------------------------------------------------------------------------

    def _build(self) -> None:
        self._tensor_op((_COPY, _T), lambda xp, x: x, _T, Scope.ELEMENT)
        self.small_opcodes[_COPY, _T] = len(self._small_branches)
        self._small_branches.append(lambda tensors, smalls, a, b, c: _row(smalls, a))
        self.tensor_opcodes[_LIFT, _E] = len(self._tensor_branches)
        self._tensor_branches.append(lambda tensors, smalls, a, b, c: _lift(_row(smalls, a), self.layout))
        for name in self.vocabulary:
            primitive = self.vocabulary[name]
            if not executes(primitive):
                continue
            reduces = primitive.arity > 0 and primitive.output in (SCALAR, LEAF)
            for pattern in _patterns(primitive):
                if reduces:
                    self._reduction(primitive, pattern)
                elif primitive.arity:
                    self._tensor_op((name, pattern), primitive.fn, pattern, primitive.scope)
            self._small_op(primitive)

    def _tensor_op(self, key: tuple[str, str], fn: Callable, pattern: str, scope: Scope) -> None:
        layout = self.layout

        def branch(tensors: jax.Array, smalls: jax.Array, a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
            rows = [
                _row(tensors, i) if source == _T else _row(smalls, i)[:, :1]
                for source, i in zip(pattern, (a, b, c), strict=False)
            ]
            if scope is Scope.ELEMENT:
                return fn(jnp, *rows)
            rows = [row if source == _T else row[:, 0] for source, row in zip(pattern, rows, strict=True)]
            return jax.vmap(partial(_scoped, fn, scope, layout, pattern, False))(*rows)

        self.tensor_opcodes[key] = len(self._tensor_branches)
        self._tensor_branches.append(branch)
        if scope is Scope.ELEMENT:
            self._elements[key[0]] = fn, len(pattern)

    def _reduction(self, primitive: Primitive, pattern: str) -> None:
        """A TENSOR in, a LEAF or SCALAR out: an instruction of the small file that reads the tensor file."""
        layout = self.layout

        def branch(tensors: jax.Array, smalls: jax.Array, a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
            rows = [
                _row(tensors, i) if source == _T else _row(smalls, i)[:, 0]
                for source, i in zip(pattern, (a, b, c), strict=False)
            ]
            value = jax.vmap(partial(_scoped, primitive.fn, primitive.scope, layout, pattern, True))(*rows)
            return value if value.ndim == 2 else jnp.broadcast_to(value[:, None], (value.shape[0], layout.leaves))

        self.small_opcodes[primitive.name, pattern] = len(self._small_branches)
        self._small_branches.append(branch)

    def _small_op(self, primitive: Primitive) -> None:
        if TENSOR in primitive.inputs:  # what is smaller is lifted first
            return
        layout = self.layout
        sources = (_S, _E) if primitive.scope is Scope.MODEL else (_E,)
        for source in sources:

            def branch(
                tensors: jax.Array, smalls: jax.Array, a: jax.Array, b: jax.Array, c: jax.Array, source: str = source
            ) -> jax.Array:
                rows = [_row(smalls, i) for i in (a, b, c)[: primitive.arity]]
                if primitive.arity == 0:
                    return jnp.full(smalls.shape[1:], primitive.fn(jnp), smalls.dtype)
                if primitive.scope is Scope.ELEMENT:
                    return primitive.fn(jnp, *rows)
                if source == _S:  # one value for the model: every column is the same
                    value = jax.vmap(partial(primitive.fn, jnp))(*(row[:, 0] for row in rows))
                    return jnp.broadcast_to(value[:, None], smalls.shape[1:])
                if primitive.scope is Scope.LEAF:
                    return jax.vmap(jax.vmap(partial(primitive.fn, jnp)))(*rows)
                rows = [r if kind is None else r[:, 0] for r, kind in zip(rows, primitive.inputs, strict=True)]
                value = jax.vmap(partial(primitive.fn, jnp))(*rows)
                return value if value.ndim == 2 else jnp.broadcast_to(value[:, None], (value.shape[0], layout.leaves))

            self.small_opcodes[primitive.name, source] = len(self._small_branches)
            self._small_branches.append(branch)

    # --- execution -----------------------------------------------------------------------------------------------

    def initial(self, program: Encoded, lanes: int, dtype: Any = jnp.float32) -> tuple[jax.Array, jax.Array]:
        """Returns the register files before the first step: state zero, constants in place.

        Returns:
            The tensor file (tensors, lanes, D) and the small file (smalls, lanes, L).
        """
        tensors = jnp.zeros((self.capacity.tensors, lanes, self.layout.size), dtype)
        shape = (self.capacity.smalls, lanes, self.layout.leaves)
        return tensors, jnp.broadcast_to(program.constants.astype(dtype)[:, None, None], shape)

    def step(self, program: Encoded, tensors: jax.Array, smalls: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Runs one step of a program on all lanes; the caller has set the input registers.

        Returns:
            The register files after the step; the output is tensor register `program.output`.
        """

        def run_small(i: Any, tensors: jax.Array, smalls: jax.Array) -> jax.Array:
            bounds = program.before[i], program.before[i + 1]
            return jax.lax.fori_loop(*bounds, lambda j, smalls: self._small(program.small[j], tensors, smalls), smalls)

        def body(i: Any, files: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            tensors, smalls = files
            smalls = run_small(i, tensors, smalls)
            return self._tensor(program.tensor[i], tensors, smalls), smalls

        return jax.lax.fori_loop(0, program.count, body, (tensors, smalls))

    def step_all(self, programs: Encoded, tensors: jax.Array, smalls: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Runs one step of many programs, each on register files of its own.

        Args:
            programs: programs that `align` gave, every array with an axis of programs before the others.
            tensors: the tensor files (programs, registers, lanes, D).
            smalls: the small files (programs, registers, lanes, L).

        Returns:
            The register files after the step.
        """
        write = jax.vmap(lambda file, row, value: jax.lax.dynamic_update_index_in_dim(file, value, row[1], 0))

        def body(i: Any, files: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            tensors, smalls = files
            smalls = jax.vmap(self._small)(programs.small[:, i], tensors, smalls)
            rows: Any = programs.tensor[:, i]
            return write(tensors, rows, self._values(rows, tensors, smalls)), smalls

        return jax.lax.fori_loop(0, jnp.max(programs.count), body, (tensors, smalls))

    def _values(self, rows: jax.Array, tensors: jax.Array, smalls: jax.Array) -> jax.Array:
        """Returns what one tensor instruction of each program gives, (programs, lanes, D).

        Element-wise functions are computed once each, whichever files their operands come from; what is no such
        function is computed only where a program asks for it.
        """
        opcodes, own = rows[:, 0], jnp.arange(len(rows))

        def look_up(table: np.ndarray) -> jax.Array:
            """What a table by opcode says, for each program."""
            return jnp.asarray(table)[opcodes][:, None, None]

        function, from_small, other, others = self._tables()
        operands = [
            jnp.where(look_up(from_small[:, j]), smalls[own, at, :, :1], tensors[own, at])
            for j, at in enumerate((rows[:, 2], rows[:, 3], rows[:, 4]))
        ]
        which = jnp.broadcast_to(look_up(function), operands[0].shape)
        computed = (fn(jnp, *operands[:arity]).astype(tensors.dtype) for fn, arity in self._elements.values())
        values = jax.lax.select_n(which, *computed)
        asked = look_up(other)

        def with_others() -> jax.Array:
            run = jax.vmap(lambda at, row, *files: jax.lax.switch(at, others, *files, *row[2:]).astype(tensors.dtype))
            return jnp.where(asked >= 0, run(jnp.maximum(asked[:, 0, 0], 0), rows, tensors, smalls), values)

        return jax.lax.cond((asked >= 0).any(), with_others, lambda: values)

    def _tables(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[Callable[..., jax.Array]]]:
        """What each opcode of the tensor file is.

        Returns:
            By opcode the number of its element-wise function; whether each operand comes from the small file; its
            number among the branches that are no such functions, -1 where it is none; and these branches.
        """
        number = len(self._tensor_branches)
        function, from_small = np.zeros(number, np.int32), np.zeros((number, 3), bool)
        other, others = np.full(number, -1, np.int32), []
        names = list(self._elements)
        for (name, pattern), opcode in self.tensor_opcodes.items():
            if name in self._elements:
                function[opcode] = names.index(name)
                from_small[opcode, : len(pattern)] = [source == _S for source in pattern]
            else:
                other[opcode] = len(others)
                others.append(self._tensor_branches[opcode])
        return function, from_small, other, others

    def _small(self, row: Any, tensors: jax.Array, smalls: jax.Array) -> jax.Array:
        op, target, a, b, c = row
        value = jax.lax.switch(op, self._small_branches, tensors, smalls, a, b, c)
        return jax.lax.dynamic_update_index_in_dim(smalls, value.astype(smalls.dtype), target, 0)

    def _tensor(self, row: Any, tensors: jax.Array, smalls: jax.Array) -> jax.Array:
        op, target, a, b, c = row
        value = jax.lax.switch(op, self._tensor_branches, tensors, smalls, a, b, c)
        return jax.lax.dynamic_update_index_in_dim(tensors, value.astype(tensors.dtype), target, 0)

    def set_inputs(
        self, tensors: jax.Array, smalls: jax.Array, values: Mapping[str, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        """Writes inputs to their registers: TENSOR (lanes, D), SCALAR (lanes,) or 0-d."""
        for name, value in values.items():
            if name in self.tensor_inputs:
                tensors = tensors.at[self.tensor_inputs[name]].set(value)
            else:
                column = jnp.broadcast_to(jnp.asarray(value, smalls.dtype).reshape(-1, 1), smalls.shape[1:])
                smalls = smalls.at[self.small_inputs[name]].set(column)
        return tensors, smalls

    def stranger(self, graph: Graph) -> str | None:
        """Returns what keeps the machine from running a graph: an operation, a kind, an input; None where nothing does.

        What it has too few registers for is not told here: `encode` refuses it.
        """
        strange = [node.op for node in graph.nodes if node.op not in self.executed]
        strange += [kind.name for kind in (*graph.kinds, *graph.state_kinds) if kind not in FILES]
        strange += [name for name in graph.inputs if name not in self.tensor_inputs and name not in self.small_inputs]
        return strange[0] if strange else None

    def encode(self, graph: Graph) -> Encoded:
        """Returns a canonical graph as arrays.

        Raises:
            ProgramError: the program needs more registers or instructions than the machine has.
        """
        return encode(self, graph)

    def align(self, program: Encoded) -> Encoded:
        """Returns a program that does the same, with one small instruction before each tensor instruction.

        Where more wait, tensor instructions that do nothing stand between them; where none waits, a small one that
        does nothing does.
        """
        return align(program, self.tensor_opcodes[_COPY, _T], self.small_opcodes[_COPY, _T])


def _row(file: jax.Array, i: jax.Array) -> jax.Array:
    return jax.lax.dynamic_index_in_dim(file, i, 0, keepdims=False)


def _lift(small: jax.Array, layout: Layout) -> jax.Array:
    """LEAF (lanes, L) to TENSOR (lanes, D)."""
    pieces = [jnp.broadcast_to(small[:, i : i + 1], (small.shape[0], size)) for i, size in enumerate(layout.sizes)]
    return jnp.concatenate(pieces, axis=1)


def _scoped(fn: Callable, scope: Scope, layout: Layout, pattern: str, reduces: bool, *args: jax.Array) -> jax.Array:
    """Applies a LEAF or MODEL primitive to the values of one lane."""
    if scope is Scope.MODEL:
        return fn(jnp, *args)
    kinds = tuple(TENSOR if source == _T else SCALAR for source in pattern)
    return per_tensor(fn, layout, kinds, reduces, jnp, *args)
