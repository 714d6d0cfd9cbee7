"""Canonical form: the phenotype of a program, without changing a bit of what it computes.

Three things are dropped: code that no output needs (liveness across iterations: state that only feeds dead state is
dead), values that are computed twice (value numbering), and state variables that provably hold the same value at
every step. The last is a coinduction: assume that all state variables are equal (they all start at zero), compute
the value that each takes at the next step under that assumption, split those that differ, repeat until nothing splits
(the partition refinement that minimizes an automaton; Hopcroft 1971).

What is left is ordered by a walk from the outputs, so that names, the order of statements and the names of state
do not matter.
"""

from collections.abc import Sequence
from typing import NamedTuple

from primitives.graph import Frame, Graph, Kinds, Node, kind_of
from primitives.kinds import SCALAR, TENSOR, lifts
from primitives.numbering import Numbering, stable_hash
from primitives.primitive import Scope, Vocabulary
from primitives.program import COPY, Program, Signature, Statement, key_of


def canonicalize(graph: Graph, vocabulary: Vocabulary, dtype: str) -> Graph:
    """Returns the canonical form of a checked graph, constants rounded to `dtype`.

    Canonical state is named s0, s1 ... in the order in which a walk from the outputs meets it.

    Raises:
        ProgramError: a constant is not finite in `dtype`.
    """
    first = graph.first_node
    names = (*graph.inputs, *graph.state, *graph.constants, *[f"%{i}" for i in range(graph.size)])
    statements = [
        Statement(f"%{i}", op, tuple([names[ref] for ref in args])) for i, (op, args) in enumerate(graph.nodes)
    ]
    frame = Frame(
        inputs=graph.inputs,
        state=graph.state,
        kinds=graph.kinds[: first - len(graph.constants)],
        outputs=tuple([names[ref] for ref in graph.outputs]),
        next_state=tuple([names[ref] for ref in graph.next_state]),
        output_kinds=graph.output_kinds,
        state_kinds=graph.state_kinds,
    )
    return canonical_form(frame, live_statements(frame, statements), vocabulary, dtype)


class Live(NamedTuple):
    """What the outputs need, now or at a later step: statements in order, and places of state variables."""

    statements: tuple[Statement, ...]
    state: tuple[int, ...]


def live_statements(frame: Frame, statements: Sequence[Statement]) -> Live:
    """Returns what is live among statements.

    State is needed where a needed statement reads its old value, so the backward pass is repeated until no more is.
    """
    backwards = statements[::-1]
    held: tuple[int, ...] = ()
    while True:
        wanted = {*frame.outputs, *[frame.next_state[i] for i in held]}
        live = []
        for statement in backwards:
            target, _, args = statement
            if target in wanted:
                wanted.discard(target)
                wanted.update(args)  # constants too: they match no name
                live.append(statement)
        now = tuple([i for i, name in enumerate(frame.state) if name in wanted])
        if now == held:
            return Live(tuple(live[::-1]), held)
        held = now


def canonical_form(frame: Frame, live: Live, vocabulary: Vocabulary, dtype: str) -> Graph:
    """Returns the canonical form of the live statements of a program that was checked; errors as for a graph."""
    # State that is never written is zero for ever, as is (below) state that always gets the value that it has.
    targets = {statement.target for statement in live.statements}
    zero = {i for i in live.state if frame.next_state[i] == frame.state[i] and frame.state[i] not in targets}
    if zero and not _may_be_scalars(frame, live, set(), zero, vocabulary):
        zero = set()
    while True:
        numbering, held = _partition(frame, live, zero, vocabulary, dtype)
        idle = {i for i in held if numbering[frame.next_state[i]] == numbering.held[i]}
        if not idle or not _may_be_scalars(frame, live, zero, idle, vocabulary):
            return _emit(frame, numbering, held)
        zero |= idle


def _partition(
    frame: Frame, live: Live, zero: set[int], vocabulary: Vocabulary, dtype: str
) -> tuple[Numbering, list[int]]:
    """Numbers values under the coarsest partition of the live state that is not `zero`, and returns that state."""
    held = [i for i in live.state if i not in zero]
    colors = [None if i in zero else stable_hash(kind.name) for i, kind in enumerate(frame.state_kinds)]
    classes = len({colors[i] for i in held})
    while True:
        numbering = Numbering(frame, colors, live.statements, vocabulary, dtype)
        following = [(colors[i], numbering[frame.next_state[i]]) for i in held]
        before, classes = classes, len(set(following))
        if classes == before:
            return numbering, held
        for i, (color, number) in zip(held, following, strict=True):
            colors[i] = hash((color, numbering.hashes[number]))
        if len({colors[i] for i in held}) < classes:  # hashes collided: the numbers tell the classes apart
            for i, pair in zip(held, following, strict=True):
                colors[i] = hash(pair)


def _may_be_scalars(frame: Frame, live: Live, zero: set[int], idle: set[int], vocabulary: Vocabulary) -> bool:
    """Whether the constant 0 can stand for `idle` state as it does for `zero`.

    It is a SCALAR where the state was more, so kinds may fall behind it. Element-wise operations do not mind; one that
    sees whole tensors would.
    """
    lift = all(lifts(kind, TENSOR) for kind in frame.kinds)
    if lift and all(op == COPY or vocabulary[op].scope is Scope.ELEMENT for _, op, _ in live.statements):
        return True  # lower kinds lift wherever higher ones do
    before, now = Kinds(zip((*frame.inputs, *frame.state), frame.kinds, strict=True)), Kinds()
    before.update({frame.state[i]: SCALAR for i in zero})
    now.update(before | {frame.state[i]: SCALAR for i in idle})
    for target, op, args in live.statements:
        was, given = tuple([before[arg] for arg in args]), tuple([now[arg] for arg in args])
        if op == COPY and len(args) == 1:
            before[target], now[target] = was[0], given[0]
            continue
        kind = vocabulary.output_kind(op, given)
        if kind is None or (was != given and vocabulary[op].scope is not Scope.ELEMENT):
            return False
        before[target], now[target] = kind_of(op, was, target, vocabulary), kind
    return True


def _emit(frame: Frame, numbering: Numbering, held: list[int]) -> Graph:
    """Orders the values by a walk from the outputs and builds the canonical graph."""
    values = numbering.values
    following = {numbering.held[i]: numbering[frame.next_state[i]] for i in held}
    kind_of_state = {numbering.held[i]: frame.state_kinds[i] for i in held}
    order: list[int] = []  # nodes, in order of execution
    inputs: list[int] = []
    constants: list[int] = []
    held_state: list[int] = []
    seen: set[int] = set()
    roots = [numbering[name] for name in frame.outputs]
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
                if content.__class__ is tuple:
                    stack.append(~n)
                    stack += content[::-1]
                elif tag == "input":
                    inputs.append(n)
                elif tag == "constant":
                    constants.append(n)
                else:
                    held_state.append(n)
                    walks.append(following[n])

    inputs.sort(key=lambda n: values[n][1])
    numbers = (*inputs, *held_state, *constants, *order)
    ref = dict(zip(numbers, range(len(numbers)), strict=True)).__getitem__
    return Graph(
        inputs=tuple([values[n][1] for n in inputs]),
        state=tuple([f"s{i}" for i in range(len(held_state))]),
        constants=tuple([float(values[n][1]) for n in constants]),
        nodes=tuple([Node(op, tuple(map(ref, args))) for op, args in map(values.__getitem__, order)]),
        outputs=tuple(map(ref, roots)),
        next_state=tuple([ref(following[n]) for n in held_state]),
        kinds=tuple(map(numbering.kinds.__getitem__, numbers)),
        output_kinds=frame.output_kinds,
        state_kinds=tuple(map(kind_of_state.__getitem__, held_state)),
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
