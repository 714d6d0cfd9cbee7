"""Canonical form: the phenotype of a program, without changing a bit of what it computes.

Three things are dropped: code that no output needs (liveness across iterations: state that only feeds dead state is
dead), values that are computed twice (value numbering), and state variables that provably hold the same value at
every step. The last is a coinduction: assume that all state variables are equal (they all start at zero), compute
the value that each takes at the next step under that assumption, split those that differ, repeat until nothing splits
(the partition refinement that minimizes an automaton; Hopcroft 1971).

What is left is ordered by a walk from the outputs, so that names, the order of statements and the names of state
do not matter. Only identities that hold for every IEEE number, NaN, infinity and -0 included, are applied.
"""

from functools import lru_cache

import numpy as np

from primitives.graph import Graph, Node
from primitives.kinds import SCALAR, Kind
from primitives.primitive import Scope, Vocabulary
from primitives.program import COPY, Program, ProgramError, Signature, Statement, key_of

_IGNORES_SIGN = frozenset({"abs", "square", "sqrt", "log", "log2", "log10", "norm", "global_norm"})
"""Operations that take the absolute value of their argument first, or square it."""
_NON_NEGATIVE = frozenset({"abs", "square", "sqrt", "norm", "global_norm"})
"""Operations whose output never has its sign bit set (but for NaN)."""


@lru_cache(maxsize=4096)
def _stable(name: str) -> int:
    """A hash of a name that is the same in every process (Python's own is salted)."""
    return key_of(name.encode())


def round_constants(graph: Graph, dtype: str) -> Graph:
    """Returns the graph with its constants rounded to `dtype`, as it executes.

    Raises:
        ProgramError: a constant is not finite in `dtype`.
    """
    return Graph(
        graph.inputs,
        graph.state,
        tuple(_round(c, dtype) for c in graph.constants),
        graph.nodes,
        graph.outputs,
        graph.next_state,
        graph.kinds,
        graph.output_kinds,
        graph.state_kinds,
    )


def _round(constant: float, dtype: str) -> float:
    if dtype == "float64":
        return constant
    limit = float(np.finfo(dtype).max)
    if abs(constant) > limit:
        raise ProgramError(f"a constant must be finite in {dtype}, got {constant!r}; keep it within +-{limit:.3g}")
    return float(np.dtype(dtype).type(constant))


def canonicalize(graph: Graph, vocabulary: Vocabulary, dtype: str) -> Graph:
    """Returns the canonical form of a checked graph, constants rounded to `dtype`.

    Canonical state is named s0, s1 ... in the order in which a walk from the outputs meets it.

    Raises:
        ProgramError: a constant is not finite in `dtype`.
    """
    live = _live(graph)
    first_state = len(graph.inputs)
    states = [i for i in range(len(graph.state)) if first_state + i in live]
    color: dict[int, int] = {i: _stable(graph.state_kinds[i].name) for i in states}
    classes = len(set(color.values()))
    while True:
        numbering = _Numbering(graph, vocabulary, dtype, live, color)
        refined: dict[tuple[int, int], int] = {}
        for i in states:
            following = numbering.value[graph.next_state[i]]
            key = (color[i], following)
            if key not in refined:
                refined[key] = hash((color[i], numbering.hashes[following]))
            color[i] = refined[key]
        # A collision of the 64-bit hashes would merge two classes that the keys tell apart: count the keys.
        if len(refined) == classes:
            form = _emit(graph, numbering, states)
            folded = _without_constant_state(form, vocabulary)
            return form if folded is form else canonicalize(folded, vocabulary, dtype)
        classes = len(refined)


def _without_constant_state(graph: Graph, vocabulary: Vocabulary) -> Graph:
    """Replaces state that is never written, zero for ever, by the constant 0.

    The constant is a SCALAR where the state was more, so kinds may fall behind it. Element-wise operations do not mind;
    one that sees whole tensors would, and then the state stays.
    """
    first = len(graph.inputs)
    idle = {first + i for i, following in enumerate(graph.next_state) if following == first + i}
    if not idle:
        return graph
    kept = [i for i in range(len(graph.state)) if first + i not in idle]
    first_constant = first + len(kept)
    zero = first_constant + len(graph.constants)
    moved = {ref: ref for ref in range(first)}
    moved |= {first + i: first + place for place, i in enumerate(kept)} | dict.fromkeys(idle, zero)
    moved |= {first + len(graph.state) + i: first_constant + i for i in range(len(graph.constants))}
    kinds = [*graph.kinds[:first], *(graph.state_kinds[i] for i in kept), *[SCALAR] * (len(graph.constants) + 1)]
    nodes = []
    for ref, node in enumerate(graph.nodes, graph.first_node):
        args = tuple([moved[a] for a in node.args])
        before, now = tuple([graph.kinds[a] for a in node.args]), tuple([kinds[a] for a in args])
        if now != before and vocabulary[node.op].scope is not Scope.ELEMENT:
            return graph
        kind = vocabulary.output_kind(node.op, now)
        if kind is None:
            return graph
        moved[ref] = len(kinds)
        kinds.append(kind)
        nodes.append(Node(node.op, args))
    return Graph(
        inputs=graph.inputs,
        state=tuple(graph.state[i] for i in kept),
        constants=(*graph.constants, 0.0),
        nodes=tuple(nodes),
        outputs=tuple(moved[ref] for ref in graph.outputs),
        next_state=tuple(moved[graph.next_state[i]] for i in kept),
        kinds=tuple(kinds),
        output_kinds=graph.output_kinds,
        state_kinds=tuple(graph.state_kinds[i] for i in kept),
    )


def _live(graph: Graph) -> set[int]:
    """References that the outputs need, now or at a later step."""
    first_state, first_constant = len(graph.inputs), len(graph.inputs) + len(graph.state)
    first_node = graph.first_node
    live: set[int] = set()
    stack = list(graph.outputs)
    while stack:
        ref = stack.pop()
        if ref in live:
            continue
        live.add(ref)
        if ref >= first_node:
            stack.extend(graph.nodes[ref - first_node].args)
        elif first_state <= ref < first_constant:
            stack.append(graph.next_state[ref - first_state])
    return live


class _Numbering:
    """Value numbers of the live references, given a partition of the state variables.

    `values[n]` is ("input", name), ("state", color), ("constant", value) or (op, argument numbers);
    `value` maps references to numbers; `hashes` orders values without regard to names.
    """

    def __init__(self, graph: Graph, vocabulary: Vocabulary, dtype: str, live: set[int], color: dict[int, int]) -> None:
        self.values: list[tuple] = []
        self.hashes: list[int] = []
        self.kinds: list[Kind] = []
        self.value: dict[int, int] = {}
        self._numbers: dict[tuple, int] = {}
        primitives = vocabulary._by_name  # noqa: SLF001  (the hot path of breeding)
        first_state = len(graph.inputs)
        first_constant = first_state + len(graph.state)
        first_node = graph.first_node
        nodes, kinds, value = graph.nodes, graph.kinds, self.value
        for ref in sorted(live):
            if ref >= first_node:
                node = nodes[ref - first_node]
                args = tuple([value[a] for a in node.args])
                value[ref] = self._operation(node.op, args, kinds[ref], primitives)
            elif ref >= first_constant:
                value[ref] = self._constant(_round(graph.constants[ref - first_constant], dtype))
            elif ref >= first_state:
                state = color[ref - first_state]
                value[ref] = self._add(("state", state), state, kinds[ref])
            else:
                name = graph.inputs[ref]
                value[ref] = self._add(("input", name), _stable(name), kinds[ref])

    def _add(self, value: tuple, key: int, kind: Kind) -> int:
        number = self._numbers.get(value)
        if number is None:
            number = self._numbers[value] = len(self.values)
            self.values.append(value)
            self.hashes.append(key)
            self.kinds.append(kind)
        return number

    def _constant(self, constant: float) -> int:
        # The text tells 0.0 from -0.0, which compare equal.
        text = repr(constant)
        return self._add(("constant", text), hash((constant, text[0] == "-")), SCALAR)

    def _operation(self, op: str, args: tuple[int, ...], kind: Kind, primitives: dict) -> int:
        """Numbers an operation after the identities; each rule is exact for every IEEE number."""
        values = self.values
        if len(args) == 1:
            inner = values[args[0]]
            outer = inner[0]
            if op == "negative" and outer == "constant":
                return self._constant(-float(inner[1]))
            if op in _IGNORES_SIGN and outer in ("negative", "abs"):
                return self._operation(op, inner[1], kind, primitives)
            if (op == "negative" and outer == "negative") or (op == "sign" and outer == "sign"):
                return inner[1][0] if op == "negative" else args[0]
            if op == "abs" and outer in _NON_NEGATIVE:
                return args[0]
        elif len(args) == 2:
            a, b = args
            if op == "subtract" and "add" in primitives:
                if values[b][0] == "constant":
                    op, args = "add", (a, self._constant(-float(values[b][1])))
                elif values[b][0] == "negative":
                    op, args = "add", (a, values[b][1][0])
            elif op == "add" and "subtract" in primitives:
                if values[b][0] == "negative":
                    op, args = "subtract", (a, values[b][1][0])
                elif values[a][0] == "negative":
                    op, args = "subtract", (b, values[a][1][0])
            elif op == "multiply":
                if a == b and "square" in primitives:
                    return self._operation("square", (a,), kind, primitives)
                one = ("constant", "1.0")
                if values[b] == one:
                    return a
                if values[a] == one:
                    return b
            if primitives[op].commutative and self.hashes[args[0]] > self.hashes[args[1]]:
                args = (args[1], args[0])
        hashes = self.hashes
        return self._add((op, args), hash((_stable(op), *[hashes[a] for a in args])), kind)


def _emit(graph: Graph, numbering: _Numbering, states: list[int]) -> Graph:
    """Orders the values by a walk from the outputs and builds the canonical graph."""
    values, number = numbering.values, numbering.value
    following: dict[int, int] = {}  # number of a state's value -> number of the value it takes next
    kind_of_state: dict[int, Kind] = {}
    for i in states:
        held = number[len(graph.inputs) + i]
        following[held] = number[graph.next_state[i]]
        kind_of_state[held] = graph.state_kinds[i]

    order: list[int] = []  # nodes, in order of execution
    inputs: list[int] = []
    constants: list[int] = []
    held_state: list[int] = []
    seen: set[int] = set()
    roots = [number[ref] for ref in graph.outputs]
    walks = [*roots]  # it grows: a state that is met adds the value that it takes next
    for root in walks:
        stack = [root]
        while stack:
            n = stack.pop()
            if n < 0:
                order.append(~n)
            elif n not in seen:
                seen.add(n)
                tag, content = values[n]
                if tag == "input":
                    inputs.append(n)
                elif tag == "constant":
                    constants.append(n)
                elif tag == "state":
                    held_state.append(n)
                    walks.append(following[n])
                else:
                    stack.append(~n)
                    stack += content[::-1]

    inputs.sort(key=lambda n: values[n][1])
    numbers = (*inputs, *held_state, *constants, *order)
    ref = dict(zip(numbers, range(len(numbers)), strict=True))
    return Graph(
        inputs=tuple([values[n][1] for n in inputs]),
        state=tuple([f"s{i}" for i in range(len(held_state))]),
        constants=tuple([float(values[n][1]) for n in constants]),
        nodes=tuple([Node(op, tuple([ref[a] for a in args])) for op, args in [values[n] for n in order]]),
        outputs=tuple([ref[n] for n in roots]),
        next_state=tuple([ref[following[n]] for n in held_state]),
        kinds=tuple([numbering.kinds[n] for n in numbers]),
        output_kinds=graph.output_kinds,
        state_kinds=tuple([kind_of_state[n] for n in held_state]),
    )


def canonical_key(graph: Graph) -> int:
    """Returns the key of a canonical graph: equal for equal graphs."""
    nodes = [op + str(args) for op, args in graph.nodes]
    head = (graph.inputs, graph.constants, graph.outputs, graph.next_state, graph.state_kinds)
    return key_of((repr(head) + "".join(nodes)).encode())


def to_program(graph: Graph, outputs: tuple[str, ...], name: str = "train", inputs: tuple[str, ...] = ()) -> Program:
    """Returns a program that computes a graph, one statement a node.

    A statement assigns to an output or to state directly where nothing reads the old value afterwards; otherwise
    plain assignments at the end do.

    Args:
        graph: any graph.
        outputs: names of the outputs that are no state.
        name: name of the function.
        inputs: order of the data inputs in the signature; what is not used is left out.
    """
    data = [n for n in inputs if n in graph.inputs] + [n for n in graph.inputs if n not in inputs]
    targets: dict[int, list[str]] = {}
    for variable, ref in (*zip(outputs, graph.outputs, strict=True), *zip(graph.state, graph.next_state, strict=True)):
        if ref >= len((*graph.inputs, *graph.state)) or (*graph.inputs, *graph.state)[ref] != variable:
            targets.setdefault(ref, []).append(variable)
    first_node = graph.first_node
    last_read: dict[int, int] = {}
    for position, node in enumerate(graph.nodes):
        for arg in node.args:
            last_read[arg] = position
    for ref in (*graph.outputs, *graph.next_state):
        if ref < first_node:
            last_read[ref] = len(graph.nodes)
    state_ref = {variable: len(graph.inputs) + i for i, variable in enumerate(graph.state)}
    names: dict[int, str | float] = dict(enumerate((*graph.inputs, *graph.state)))
    names.update({len(names) + i: constant for i, constant in enumerate(graph.constants)})

    statements: list[Statement] = []
    assigned: set[str] = set()
    for position, node in enumerate(graph.nodes):
        ref = first_node + position
        target = f"v{position}"
        for wanted in targets.get(ref, ()):
            if last_read.get(state_ref.get(wanted, -1), -1) <= position:
                target = wanted
                assigned.add(wanted)
                break
        statements.append(Statement(target, node.op, tuple([names[a] for a in node.args])))
        names[ref] = target

    copies = [(v, names[ref]) for ref, wanted in targets.items() for v in wanted if v not in assigned]
    pending = {variable for variable, _ in copies}
    for i, (variable, source) in enumerate(copies):
        if isinstance(source, str) and source in pending:  # read every old value before any is overwritten
            statements.append(Statement(f"old_{source}", COPY, (source,)))
            copies[i] = (variable, f"old_{source}")
    statements.extend(Statement(variable, COPY, (source,)) for variable, source in copies)

    kind = dict(zip(graph.inputs, graph.kinds, strict=False))
    state = tuple(zip(graph.state, graph.state_kinds, strict=True))
    signature = Signature(
        (*((variable, kind[variable]) for variable in data), *state),
        (*zip(outputs, graph.output_kinds, strict=True), *state),
    )
    return Program(signature, tuple(statements), name)
