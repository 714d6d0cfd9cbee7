"""From a canonical graph to the interpreter's arrays: choice of opcodes and allocation of registers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from primitives.graph import Graph
from primitives.kinds import LEAF, SCALAR, TENSOR
from primitives.primitive import Scope
from primitives.program import ProgramError

if TYPE_CHECKING:
    from primitives.interpreter import Machine

_LIFT, _COPY = ("lift", "L"), ("copy", "T")
FILES = frozenset((SCALAR, LEAF, TENSOR))
"""Kinds that the register files hold."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """Sizes of the machine; a program that needs more is refused.

    Args:
        tensors: registers of the tensor file, inputs and state included.
        smalls: registers of the small file, inputs and constants included.
        instructions: instructions of each of the two lists.
    """

    tensors: int = 32
    smalls: int = 96
    instructions: int = 96


class Encoded(NamedTuple):
    """A program as arrays, the same shapes for every program of one machine (a JAX pytree).

    Args:
        tensor: (instructions, 5) int32 rows (opcode, target, a, b, c) of the tensor file.
        small: (instructions, 5) int32 rows of the small file.
        before: (instructions + 2,) int32; small rows before[i]:before[i + 1] run before tensor row i. None run after
            the last, so that where one is needed there (the next value of small state) a tensor row that does nothing
            follows.
        count: () int32, number of tensor rows.
        constants: (smalls,) initial values of the small file.
        output: () int32, tensor register of the output.
    """

    tensor: np.ndarray
    small: np.ndarray
    before: np.ndarray
    count: np.ndarray
    constants: np.ndarray
    output: np.ndarray


class _Registers:
    """Registers of one file: fixed ones below `first`, the others handed out and taken back."""

    def __init__(self, first: int, capacity: int, what: str) -> None:
        self._free = list(range(capacity - 1, first - 1, -1))
        self._first, self._what, self._capacity = first, what, capacity

    def take(self) -> int:
        if not self._free:
            raise ProgramError(
                f"a program may hold at most {self._capacity} live {self._what} values, inputs, state and constants "
                f"included, and needs more; shorten it"
            )
        return self._free.pop()

    def give(self, register: int) -> None:
        if register >= self._first:
            self._free.append(register)


class _Encoder:
    def __init__(self, machine: "Machine", graph: Graph) -> None:
        self.machine, self.graph = machine, graph
        capacity = machine.capacity
        self.tensor_rows: list[tuple[int, int, int, int, int]] = []
        self.small_rows: list[tuple[int, int, int, int, int]] = []
        self.before: list[int] = [0]
        self.registers: dict[int, int] = {}
        self.constants = np.zeros(capacity.smalls, np.float64)
        self.tensors = _Registers(machine.first_temporary, capacity.tensors, "TENSOR")
        first_small = len(machine.small_inputs) + len(graph.constants)
        strange = machine.stranger(graph)
        if strange is not None:
            raise ProgramError(
                f"the interpreter runs element-wise functions, functions of a tensor and of the model, values of kinds "
                f"SCALAR, LEAF and TENSOR and the inputs {', '.join((*machine.tensor_inputs, *machine.small_inputs))}, "
                f"got {strange}; compile the program"
            )
        if first_small >= capacity.smalls:
            raise ProgramError(
                f"a program may have at most {capacity.smalls - len(machine.small_inputs) - 1} constants, "
                f"got {len(graph.constants)}; shorten it"
            )
        self.smalls = _Registers(first_small, capacity.smalls, "SCALAR and LEAF")
        self.position = 0

    def encode(self) -> Encoded:
        graph, capacity = self.graph, self.machine.capacity
        self._place_leaves()
        self._find_last_uses()
        home = self._homes()
        for position, node in enumerate(graph.nodes):
            self.position = position
            ref = graph.first_node + position
            self._instruction(ref, node.op, node.args, home.get(ref))
            for arg in dict.fromkeys(node.args):
                self._release(arg)
            self._release(ref)
        output = self._finish(home)
        self.small_rows += self._small_moves()
        if len(self.small_rows) > self.before[-1]:
            self._tensor_row((self.machine.tensor_opcodes[_COPY], output, output, 0, 0))
        if max(len(self.tensor_rows), len(self.small_rows)) > capacity.instructions:
            raise ProgramError(f"a program may have at most {capacity.instructions} instructions; shorten it")
        n = len(self.tensor_rows)
        before = np.full(capacity.instructions + 2, len(self.small_rows), np.int32)
        before[: n + 1] = self.before[: n + 1]
        return Encoded(
            _rows(self.tensor_rows, capacity.instructions),
            _rows(self.small_rows, capacity.instructions),
            before,
            np.array(n, np.int32),
            self.constants,
            np.array(output, np.int32),
        )

    def _place_leaves(self) -> None:
        graph, machine = self.graph, self.machine
        for ref, name in enumerate(graph.inputs):
            table = machine.tensor_inputs if graph.kinds[ref] is TENSOR else machine.small_inputs
            self.registers[ref] = table[name]
        for i, kind in enumerate(graph.state_kinds):
            register = machine.first_state + i if kind is TENSOR else self.smalls.take()
            self.registers[len(graph.inputs) + i] = register
        first = len(graph.inputs) + len(graph.state)
        for i, constant in enumerate(graph.constants):
            register = len(machine.small_inputs) + i
            self.registers[first + i] = register
            self.constants[register] = constant

    def _find_last_uses(self) -> None:
        self.last: dict[int, int] = {}
        for position, node in enumerate(self.graph.nodes):
            for arg in node.args:
                self.last[arg] = position
        for ref in (*self.graph.outputs, *self.graph.next_state):
            self.last[ref] = len(self.graph.nodes)

    def _homes(self) -> dict[int, int]:
        """Nodes that can be computed straight into a state register: nothing reads the old value afterwards."""
        graph, home = self.graph, {}
        for i, ref in enumerate(graph.next_state):
            old = len(graph.inputs) + i
            position = ref - graph.first_node
            alike = (graph.kinds[ref] is TENSOR) == (graph.state_kinds[i] is TENSOR)
            if position >= 0 and ref not in home and alike and self.last.get(old, -1) <= position:
                home[ref] = self.registers[old]
        return home

    def _release(self, ref: int) -> None:
        if ref >= self.graph.first_node and self.last.get(ref, -1) <= self.position:
            file = self.tensors if self.graph.kinds[ref] is TENSOR else self.smalls
            file.give(self.registers[ref])

    def _instruction(self, ref: int, op: str, args: tuple[int, ...], home: int | None) -> None:
        primitive = self.machine.vocabulary[op]
        kinds = [self.graph.kinds[a] for a in args]
        if self.graph.kinds[ref] is TENSOR:
            self._emit_tensor(ref, primitive.name, args, home)
            return
        if TENSOR in primitive.arriving(tuple(kinds)):  # a reduction
            operands, temporaries = self._lift_to_pattern(primitive.name, args)
            opcode = self.machine.small_opcodes[primitive.name, operands[0]]
            registers = operands[1]
        else:
            model = primitive.scope is Scope.MODEL and all(kind is SCALAR for kind in kinds)
            opcode = self.machine.small_opcodes[primitive.name, "S" if model else "L"]
            registers, temporaries = [self.registers[a] for a in args], []
        target = self.registers[ref] = self.smalls.take() if home is None else home
        self.small_rows.append((opcode, target, *_three(registers)))
        for temporary in temporaries:
            self.tensors.give(temporary)

    def _emit_tensor(self, ref: int, name: str, args: tuple[int, ...], home: int | None) -> None:
        primitive = self.machine.vocabulary[name]
        if primitive.commutative and len(args) == 2 and self.graph.kinds[args[0]] is not TENSOR:
            args = (args[1], args[0])
        (pattern, registers), temporaries = self._lift_to_pattern(name, args)
        target = self.registers[ref] = self.tensors.take() if home is None else home
        self._tensor_row((self.machine.tensor_opcodes[name, pattern], target, *_three(registers)))
        for temporary in temporaries:
            self.tensors.give(temporary)

    def _lift_to_pattern(self, name: str, args: tuple[int, ...]) -> tuple[tuple[str, list[int]], list[int]]:
        """Lifts operands until their pattern has an opcode; returns pattern and registers, and the temporaries."""
        codes = {"T": TENSOR, "S": SCALAR}
        kinds = ["T" if self.graph.kinds[a] is TENSOR else "S" if self.graph.kinds[a] is SCALAR else "L" for a in args]
        pattern = "".join(kinds)
        table = self.machine.tensor_opcodes
        if (name, pattern) not in table and (name, pattern) not in self.machine.small_opcodes:
            primitive = self.machine.vocabulary[name]
            pattern = "".join("T" if wanted is None or wanted is codes["T"] else "S" for wanted in primitive.inputs)
        registers, temporaries = [], []
        for source, kind, arg in zip(pattern, kinds, args, strict=True):
            if source == "T" and kind != "T":
                temporary = self.tensors.take()
                self._tensor_row((self.machine.tensor_opcodes[_LIFT], temporary, self.registers[arg], 0, 0))
                temporaries.append(temporary)
                registers.append(temporary)
            else:
                registers.append(self.registers[arg])
        return (pattern, registers), temporaries

    def _tensor_row(self, row: tuple[int, int, int, int, int]) -> None:
        self.before.append(len(self.small_rows))
        self.tensor_rows.append(row)

    def _finish(self, home: dict[int, int]) -> int:
        """Moves what is not in its place: the output to a register of its own, next state to the state registers."""
        graph, machine = self.graph, self.machine
        self.position = len(graph.nodes)
        first_state, end_state = len(graph.inputs), len(graph.inputs) + len(graph.state)
        (out,) = graph.outputs
        output = self._move(out, self.tensors.take()) if graph.kinds[out] is not TENSOR else self.registers[out]
        if first_state <= out < end_state:
            output = self._move(out, self.tensors.take())
        moves = []
        for i, ref in enumerate(graph.next_state):
            register = machine.first_state + i
            if graph.state_kinds[i] is not TENSOR or home.get(ref) == register or ref == first_state + i:
                continue
            if first_state <= ref < end_state:  # state that becomes other state: read before any is overwritten
                moves.append((self._move(ref, self.tensors.take()), register))
            else:
                moves.append((ref, register))
        for source, register in moves:
            if isinstance(source, _Moved):
                self._tensor_row((machine.tensor_opcodes[_COPY], register, int(source), 0, 0))
            else:
                self._move(source, register)
        return int(output)

    def _small_moves(self) -> list[tuple[int, int, int, int, int]]:
        """Returns rows that move the next values of small state to its registers: read all before any is overwritten.

        The rule's output and tensor state may still be lifted from registers that are overwritten here, so what this
        does waits in rows of its own until all else has run (see `encode`).
        """
        graph = self.graph
        first, copy = len(graph.inputs), self.machine.small_opcodes[_COPY]
        pairs = [
            (self.registers[ref], self.registers[first + i])
            for i, ref in enumerate(graph.next_state)
            if graph.state_kinds[i] is not TENSOR and self.registers[ref] != self.registers[first + i]
        ]
        held = [self.smalls.take() for _ in pairs]
        rows = [(copy, new, source, 0, 0) for new, (source, _) in zip(held, pairs, strict=True)]
        rows += [(copy, register, new, 0, 0) for new, (_, register) in zip(held, pairs, strict=True)]
        return rows

    def _move(self, ref: int, register: int) -> "_Moved":
        tensor = self.graph.kinds[ref] is TENSOR
        opcode = self.machine.tensor_opcodes[_COPY if tensor else _LIFT]
        self._tensor_row((opcode, register, self.registers[ref], 0, 0))
        return _Moved(register)


class _Moved(int):
    """A register that already holds the value (to tell it from a reference)."""


def _three(registers: list[int]) -> tuple[int, int, int]:
    a, b, c = (*registers, 0, 0, 0)[:3]
    return a, b, c


def _rows(rows: list[tuple[int, int, int, int, int]], length: int) -> np.ndarray:
    table = np.zeros((length, 5), np.int32)
    if rows:
        table[: len(rows)] = rows
    return table


def align(program: Encoded, tensor_copy: int, small_copy: int) -> Encoded:
    """Returns a program of twice the length with small row i before tensor row i (see `Machine.align`).

    Args:
        program: the program.
        tensor_copy: opcode that copies a tensor register; copied to itself it stays as it is.
        small_copy: the same of the small file.
    """
    length = 2 * len(program.tensor)
    tensor, small = np.zeros((length, 5), np.int32), np.zeros((length, 5), np.int32)
    tensor[:, 0], small[:, 0] = tensor_copy, small_copy
    end = 0
    for i in range(int(program.count)):
        waiting = program.small[program.before[i] : program.before[i + 1]]
        small[end : end + len(waiting)] = waiting
        end += max(1, len(waiting))
        tensor[end - 1] = program.tensor[i]
    before = np.minimum(np.arange(length + 2), end).astype(np.int32)
    return program._replace(tensor=tensor, small=small, before=before, count=np.array(end, np.int32))


def encode(machine: "Machine", graph: Graph) -> Encoded:
    """Returns a canonical graph as arrays for `machine` (see `Machine.encode`)."""
    return _Encoder(machine, graph).encode()
