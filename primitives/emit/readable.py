"""A canonical form made readable: what every target language is written from.

Canonicalizing drops names and orders statements by a walk from the outputs. Here the values get names back, those of
the program's author where a value is the same, and an order in which a person (and a loop over parameter tensors)
can follow: what is one value for the model and what goes over all tensors in turn, and the new value of a state
variable after the last use of the old one.
"""

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from primitives.card import Interval
from primitives.emit.naming import RESERVED, authors_names, free, name_values
from primitives.emit.ranges import ANY, bounds
from primitives.graph import Graph, Node, check
from primitives.kinds import SCALAR, TENSOR, Kind, lifts
from primitives.primitive import Scope, Vocabulary
from primitives.program import COPY, Program, Signature, Statement
from primitives.simplify import canonicalize


class Line(NamedTuple):
    """One operation: `target = op(*args)`.

    Args:
        ref: reference of the value in the rule's graph.
        target: its name.
        op: the primitive's name.
        args: names and constants.
        refs: references of the arguments.
        phase: (stage, is_local): local lines of a stage run tensor by tensor, in one loop; the others, before that
            loop, once for the model.
        bare: whether the argument that the primitive guards against is known not to be negative.
    """

    ref: int
    target: str
    op: str
    args: tuple[str | float, ...]
    refs: tuple[int, ...]
    phase: tuple[int, bool]
    bare: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """A program ready to be written in any language.

    Args:
        function: name of the program's function.
        graph: canonical form; a reference here is one into it.
        names: name of every input, state variable and operation, by reference.
        output: names of the outputs that are no state.
        parameters: data inputs and state variables by name, in the author's order.
        lines: operations in order. A name is used again only where nothing needs its old value any more.
        initial: what each state variable holds before the first step: a number, or the name of the parameters.
    """

    function: str
    graph: Graph
    names: Mapping[int, str]
    output: tuple[str, ...]
    parameters: tuple[str, ...]
    lines: tuple[Line, ...]
    initial: tuple[float | str, ...]

    @property
    def state(self) -> tuple[tuple[str, int, int], ...]:
        """Name, reference of the old value and reference of the next value of every state variable."""
        first = len(self.graph.inputs)
        return tuple((self.names[first + i], first + i, ref) for i, ref in enumerate(self.graph.next_state))

    def constant(self, ref: int) -> float | None:
        """Returns the value of a reference to a constant, else None."""
        i = ref - len(self.graph.inputs) - len(self.graph.state)
        return self.graph.constants[i] if 0 <= i < len(self.graph.constants) else None


def readable(
    program: Program,
    vocabulary: Vocabulary,
    dtype: str = "float32",
    avoid: Iterable[str] = (),
    ranges: Mapping[str, Interval] = MappingProxyType({}),
    begins: bool = False,
    moves: bool = False,
) -> Rule:
    """Returns the canonical form of a program with names and in an order that people can read.

    Args:
        program: any valid program.
        vocabulary: the primitives it uses.
        dtype: type of its constants; they are written as the shortest decimal that is the same in that type.
        avoid: names that variables must not have.
        ranges: what is known of the values of data inputs.
        begins: whether state may begin at other values than zero, instead of being set at the first step.
        moves: whether the parameters are state too, from which the rule subtracts its output, and no output is left.

    Raises:
        ProgramError: the program is not valid.
    """
    checked = check(program, vocabulary)
    graph = canonicalize(checked, vocabulary, dtype)
    wanted = authors_names(program, checked, graph, vocabulary, dtype)
    initial: tuple[float | str, ...] = (0.0,) * len(graph.state)
    if begins:
        graph, initial, moved = _begun(graph)
        wanted = {moved[ref]: name for ref, name in wanted.items() if ref in moved}
    outputs = tuple(n for n, _ in program.signature.outputs if n not in program.signature.state)
    if moves:
        graph, moved = _moving(graph)
        wanted = {moved[ref]: name for ref, name in wanted.items()}
        initial = (*initial, "w")
    order, phases = _order(graph, vocabulary)
    names = name_values(graph, order, phases, wanted, outputs, {*RESERVED, *avoid})
    graph = _shorten(graph, dtype)
    known = bounds(graph, ranges, [ANY if isinstance(value, str) else (value, value) for value in initial])
    written: dict[int, str | float] = dict(names)
    written.update({len(graph.inputs) + len(graph.state) + i: c for i, c in enumerate(graph.constants)})
    lines = []
    for ref in order:
        op, refs = graph.nodes[ref - graph.first_node]
        if vocabulary[op].commutative and _after(graph.kinds[refs[0]], written[refs[0]], graph.kinds[refs[1]]):
            refs = (refs[1], refs[0], *refs[2:])  # lr * 0.1 reads better than 0.1 * lr, and g * lr than lr * g
        args = tuple(written[a] for a in refs)
        if op == "add" and "subtract" in vocabulary and isinstance(args[1], float) and args[1] < 0.0:
            op, args = "subtract", (args[0], -args[1])  # the canonical form of x - 1.0 is x + -1.0
        guard = vocabulary[op].unguarded
        bare = guard is not None and known[refs[guard[0]]][0] >= 0.0
        lines.append(Line(ref, names[ref], op, args, refs, phases[ref], bare))
    author = [name for name, _ in program.signature.inputs]
    held = [names[ref] for ref in range(len(graph.inputs) + len(graph.state))]
    return Rule(
        function=program.name,
        graph=graph,
        names=names,
        output=() if moves else outputs,
        parameters=tuple(sorted(held, key=lambda n: author.index(n) if n in author else len(author))),
        lines=tuple(lines),
        initial=initial,
    )


def _begun(graph: Graph) -> tuple[Graph, tuple[float | str, ...], Mapping[int, int]]:
    """Takes `s = initial(t, x, s)` away where x is a constant or the parameters: state that begins there is the same.

    Returns:
        The graph, what state begins at, and the new reference of every old one that is left.
    """
    first_state, first_constant = len(graph.inputs), len(graph.inputs) + len(graph.state)
    users: dict[int, list[int]] = {}
    for ref, node in enumerate(graph.nodes, graph.first_node):
        for arg in node.args:
            users.setdefault(arg, []).append(ref)
    begin: dict[int, float | str] = {}
    instead: dict[int, int] = {}  # what stands for a node that is taken away
    for i in range(len(graph.state)):
        state = first_state + i
        ref = next(iter(users.get(state, ())), -1)
        if len(users.get(state, ())) != 1 or state in (*graph.outputs, *graph.next_state):
            continue
        op, args = graph.nodes[ref - graph.first_node]
        if op != "initial" or args[2] != state or graph.kinds[args[0]] is not SCALAR:
            continue
        if graph.inputs[args[0] : args[0] + 1] != ("t",):
            continue
        if first_constant <= args[1] < graph.first_node:
            begin[i] = graph.constants[args[1] - first_constant]
        elif graph.inputs[args[1] : args[1] + 1] == ("w",) and graph.state_kinds[i] is TENSOR:
            begin[i] = "w"
        else:
            continue
        instead[ref] = state
    if not instead:
        return graph, (0.0,) * len(graph.state), {ref: ref for ref in range(len(graph.kinds))}
    needed: set[int] = set()
    stack = [instead.get(ref, ref) for ref in (*graph.outputs, *graph.next_state)]
    while stack:
        ref = stack.pop()
        if ref not in needed:
            needed.add(ref)
            if ref >= graph.first_node:
                stack += [instead.get(arg, arg) for arg in graph.nodes[ref - graph.first_node].args]
    needed |= set(range(first_state, first_constant))
    kept = [ref for ref in range(len(graph.kinds)) if ref in needed]
    moved = {ref: place for place, ref in enumerate(kept)}
    moved |= {ref: moved[state] for ref, state in instead.items() if state in moved}
    begun = Graph(
        inputs=tuple(name for ref, name in enumerate(graph.inputs) if ref in needed),
        state=graph.state,
        constants=tuple(c for ref, c in enumerate(graph.constants, first_constant) if ref in needed),
        nodes=tuple(
            Node(node.op, tuple(moved[arg] for arg in node.args))
            for ref, node in enumerate(graph.nodes, graph.first_node)
            if ref in needed
        ),
        outputs=tuple(moved[ref] for ref in graph.outputs),
        next_state=tuple(moved[ref] for ref in graph.next_state),
        kinds=tuple(graph.kinds[ref] for ref in kept),
        output_kinds=graph.output_kinds,
        state_kinds=graph.state_kinds,
    )
    return begun, tuple(begin.get(i, 0.0) for i in range(len(graph.state))), moved


def _moving(graph: Graph) -> tuple[Graph, Mapping[int, int]]:
    """Makes the parameters the last state variable, whose next value is `w - update`.

    Returns:
        The graph, and the new reference of every old one.
    """
    held = graph.inputs.index("w") if "w" in graph.inputs else None
    inputs = [ref for ref in range(len(graph.inputs)) if ref != held]
    state = [*range(len(graph.inputs), len(graph.inputs) + len(graph.state)), held]
    kept = [*inputs, *state, *range(len(graph.inputs) + len(graph.state), len(graph.kinds))]
    moved = {ref: place for place, ref in enumerate(kept) if ref is not None}
    nodes = [Node(node.op, tuple(moved[arg] for arg in node.args)) for node in graph.nodes]
    nodes.append(Node("subtract", (len(inputs) + len(graph.state), moved[graph.outputs[0]])))
    moving = Graph(
        inputs=tuple(graph.inputs[ref] for ref in inputs),
        state=(*graph.state, "w"),
        constants=graph.constants,
        nodes=tuple(nodes),
        outputs=(),
        next_state=(*(moved[ref] for ref in graph.next_state), len(kept)),
        kinds=(*(TENSOR if ref is None else graph.kinds[ref] for ref in kept), TENSOR),
        output_kinds=(),
        state_kinds=(*graph.state_kinds, TENSOR),
    )
    return moving, moved


def readable_program(rule: Rule) -> Program:
    """Returns a rule as a program of the language: the same canonical form under readable names."""
    graph, names = rule.graph, rule.names
    statements = [Statement(line.target, line.op, line.args) for line in rule.lines]
    ends = [*zip(rule.output, graph.outputs, strict=True), *((name, ref) for name, _, ref in rule.state)]
    pending: dict[str, str | float] = {}
    for variable, ref in ends:
        constant = rule.constant(ref)
        source = names[ref] if constant is None else constant
        if source != variable:
            pending[variable] = source
    while pending:
        unread = [variable for variable in pending if variable not in pending.values()]
        if unread:
            statements.append(Statement(unread[0], COPY, (pending.pop(unread[0]),)))
        else:  # only cycles are left: a = b, b = a
            variable = next(iter(pending))
            old = free(f"old_{variable}", {*names.values(), *rule.output})
            statements.append(Statement(old, COPY, (variable,)))
            pending = {v: old if source == variable else source for v, source in pending.items()}
    kinds = {names[ref]: kind for ref, kind in enumerate(graph.kinds[: len(graph.inputs)])}
    kinds.update(zip((name for name, _, _ in rule.state), graph.state_kinds, strict=True))
    outputs = (
        *zip(rule.output, graph.output_kinds, strict=True),
        *((name, kinds[name]) for name in rule.parameters if name in {n for n, _, _ in rule.state}),
    )
    signature = Signature(tuple((name, kinds[name]) for name in rule.parameters), outputs)
    return Program(signature, tuple(statements), rule.function)


def _after(kind: Kind, value: str | float, other: Kind) -> bool:
    """Whether the first operand stands better behind the other one."""
    return isinstance(value, float) or (kind is not other and lifts(kind, other))


def _shorten(graph: Graph, dtype: str) -> Graph:
    """The graph with each constant as the shortest decimal that is the same number in `dtype`."""
    scalar = np.dtype(dtype).type
    return replace(graph, constants=tuple(float(str(scalar(c))) for c in graph.constants))


# --- order ------------------------------------------------------------------------------------------------------------


def _order(graph: Graph, vocabulary: Vocabulary) -> tuple[list[int], dict[int, tuple[int, bool]]]:
    """Order of the nodes, and the phase of each."""
    first = graph.first_node
    phases: dict[int, tuple[int, bool]] = {}
    users: dict[int, list[int]] = {}
    for ref, node in enumerate(graph.nodes, first):
        local = graph.kinds[ref] != SCALAR and vocabulary[node.op].scope is not Scope.MODEL
        stage = 0
        for arg in node.args:
            arg_stage, arg_local = phases.get(arg, (0, False))
            stage = max(stage, arg_stage + (arg_local and not local))  # a whole loop must end before a reduction
            users.setdefault(arg, []).append(ref)
        phases[ref] = stage, local
    _postpone_state(graph, users, phases)

    waits = dict.fromkeys(phases, 0)
    for ref in phases:
        for user in users.get(ref, ()):
            waits[user] += 1
    ready = [(phases[ref], ref) for ref in phases if waits[ref] == 0]
    heapq.heapify(ready)
    order = []
    while ready:
        _, ref = heapq.heappop(ready)
        order.append(ref)
        for user in users.get(ref, ()):
            waits[user] -= 1
            if waits[user] == 0:
                heapq.heappush(ready, (phases[user], user))
    return order, phases


def _postpone_state(graph: Graph, users: dict[int, list[int]], phases: dict[int, tuple[int, bool]]) -> None:
    """Adds edges so that the next value of a state variable comes after the uses of the old one, where it can.

    Edges from inputs and state do not count for the order; only nodes wait.
    """
    old = len(graph.inputs)
    edges = []
    for ref in graph.next_state:
        if ref >= graph.first_node:
            for reader in users.get(old, ()):
                if reader != ref and phases[reader] <= phases[ref]:
                    edges.append((reader, ref))
        old += 1
    for ref in [r for r in users if r < graph.first_node]:
        del users[ref]
    for reader, ref in edges:
        if not _reaches(users, ref, reader):
            users.setdefault(reader, []).append(ref)


def _reaches(users: Mapping[int, list[int]], start: int, goal: int) -> bool:
    seen, stack = set(), [start]
    while stack:
        ref = stack.pop()
        if ref == goal:
            return True
        if ref not in seen:
            seen.add(ref)
            stack.extend(users.get(ref, ()))
    return False
