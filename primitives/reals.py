"""Rewriting over the reals: what a program means to a mathematician, for reports.

Unlike `primitives.simplify` this changes bits, and more: rounding and overflow are not seen, the 1e-8 that guards a
division counts as nothing, and an identity may fail where a side has no value (x / x at 0). What comes out is another
program, to be scored again.
"""

from collections.abc import Iterator, Mapping
from math import isfinite

import numpy as np

from primitives.graph import Graph, Node
from primitives.identities import Term, operations, rules_by_operation
from primitives.kinds import SCALAR, Kind
from primitives.primitive import Scope, Vocabulary
from primitives.simplify import canonicalize


def rewrite_over_reals(graph: Graph, vocabulary: Vocabulary) -> Graph:
    """Returns a simpler graph that is the same over the reals; its bits differ.

    Constants are folded and the rules applied as long as the number of operations falls, or stays while the operations
    stand less deep (a blend of a blend becomes a blend) or cost less; what makes the number fall goes first. See the
    module for what is lost.

    Args:
        graph: a checked or canonical graph.
        vocabulary: the primitives that it uses and that rewriting may use; rules that need others are left out.

    Returns:
        A canonical graph of at most the canonical size of `graph`, constants in float64.
    """
    graph = canonicalize(graph, vocabulary, "float64")
    while True:
        simpler = next((g for g in _rewritten(graph, vocabulary) if g.size < graph.size), None)
        if simpler is None:
            size = _measure(graph, vocabulary)
            simpler = next((g for g in _rewritten(graph, vocabulary) if _measure(g, vocabulary) < size), None)
        if simpler is None:
            return graph
        graph = simpler


def _rewritten(graph: Graph, vocabulary: Vocabulary) -> Iterator[Graph]:
    """The canonical graphs that folding constants, or one application of one rule, gives."""
    folded = _rebuild(graph, vocabulary)
    if folded is not None:
        yield canonicalize(folded, vocabulary, "float64")
    rules = rules_by_operation()
    for ref in range(graph.first_node, len(graph.kinds)):
        for pattern, replacement, when in rules.get(graph.nodes[ref - graph.first_node].op, ()):
            if not operations(pattern) | operations(replacement) <= vocabulary.keys():
                continue
            for bindings in _match(pattern, ref, graph, vocabulary, {}):
                if when is not None and not when(_constants(bindings, graph)):
                    continue
                rebuilt = _rebuild(graph, vocabulary, ref, replacement, bindings)
                if rebuilt is not None:
                    yield canonicalize(rebuilt, vocabulary, "float64")


def _measure(graph: Graph, vocabulary: Vocabulary) -> tuple[int, int, float, int]:
    """Number of operations, the sum of their depths, their cost, number of constants: first comes first."""
    depths = [0] * graph.first_node
    for node in graph.nodes:
        depths.append(1 + max((depths[a] for a in node.args), default=0))
    return graph.size, sum(depths), sum(vocabulary[node.op].cost for node in graph.nodes), len(graph.constants)


# --- matching ---------------------------------------------------------------------------------------------------------


def _constant(ref: int, graph: Graph) -> float | None:
    i = ref - len(graph.inputs) - len(graph.state)
    return graph.constants[i] if 0 <= i < len(graph.constants) else None


def _constants(bindings: Mapping[str, int], graph: Graph) -> dict[str, float]:
    values = {name: _constant(ref, graph) for name, ref in bindings.items()}
    return {name: value for name, value in values.items() if value is not None}


def _match(
    term: Term, ref: int, graph: Graph, vocabulary: Vocabulary, bindings: dict[str, int]
) -> Iterator[dict[str, int]]:
    """Every way to bind the variables of a term so that it is the value `ref`."""
    constant = _constant(ref, graph)
    if isinstance(term, float | int):
        if constant == term:
            yield bindings
    elif isinstance(term, str):
        wanted = term in ("c", "d", "p")
        fits = constant is not None and (term != "p" or constant > 0.0) if wanted else True
        if fits and bindings.get(term, ref) == ref:
            yield {**bindings, term: ref}
    elif ref >= graph.first_node and graph.nodes[ref - graph.first_node].op == term.op:
        args = graph.nodes[ref - graph.first_node].args
        yield from _match_all(term.args, args, graph, vocabulary, bindings)
        if vocabulary[term.op].commutative and args[0] != args[1]:
            yield from _match_all(term.args, (args[1], args[0], *args[2:]), graph, vocabulary, bindings)


def _match_all(
    terms: tuple[Term, ...], refs: tuple[int, ...], graph: Graph, vocabulary: Vocabulary, bindings: dict[str, int]
) -> Iterator[dict[str, int]]:
    if not terms:
        yield bindings
        return
    for bound in _match(terms[0], refs[0], graph, vocabulary, bindings):
        yield from _match_all(terms[1:], refs[1:], graph, vocabulary, bound)


# --- graphs -----------------------------------------------------------------------------------------------------------


class _RefusedError(Exception):
    """The rewritten graph would mean something else: a kind does not fit, or changes under a reduction."""


class _Builder:
    """A graph in the making; a value is an input or state (from 0), a node (after them) or a constant (~0, ~1 ...)."""

    def __init__(self, graph: Graph, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.first = len(graph.inputs) + len(graph.state)
        self.kinds: list[Kind] = list(graph.kinds[: self.first])
        self.nodes: list[tuple[str, tuple[int, ...]]] = []
        self.constants: list[float] = []

    def constant(self, value: float) -> int:
        self.constants.append(value)
        return ~(len(self.constants) - 1)

    def kind(self, value: int) -> Kind:
        return self.kinds[value] if value >= 0 else SCALAR

    def node(self, op: str, args: tuple[int, ...]) -> int:
        """A new operation, or its value where all arguments are constants; what sees tensors has no value by itself."""
        primitive = self.vocabulary[op]
        if primitive.scope is Scope.ELEMENT and all(arg < 0 for arg in args):
            with np.errstate(all="ignore"):
                value = float(primitive.fn(np, *[np.float64(self.constants[~arg]) for arg in args]))
            if isfinite(value):
                return self.constant(value)
        kind = primitive.output_kind(tuple(self.kind(arg) for arg in args))
        if kind is None:
            raise _RefusedError
        self.nodes.append((op, args))
        self.kinds.append(kind)
        return self.first + len(self.nodes) - 1

    def term(self, term: Term, bindings: Mapping[str, int]) -> int:
        if isinstance(term, str):
            return bindings[term]
        if isinstance(term, float | int):
            return self.constant(term)
        return self.node(term.op, tuple(self.term(t, bindings) for t in term.args))

    def ref(self, value: int) -> int:
        """Reference in the finished graph, where the constants stand before the nodes."""
        if value < 0:
            return self.first + ~value
        return value if value < self.first else value + len(self.constants)


def _rebuild(
    graph: Graph,
    vocabulary: Vocabulary,
    replaced: int = -1,
    replacement: Term = 0.0,
    bindings: Mapping[str, int] | None = None,
) -> Graph | None:
    """The graph with the value `replaced` (if any) computed by `replacement` and constants folded; None if refused."""
    builder = _Builder(graph, vocabulary)
    value = list(range(builder.first))
    value += [builder.constant(c) for c in graph.constants]
    try:
        for ref, (op, args) in enumerate(graph.nodes, graph.first_node):
            if ref == replaced:
                bound = {name: value[r] for name, r in (bindings or {}).items()}
                value.append(builder.term(replacement, bound))
                continue
            new = tuple(value[a] for a in args)
            # The norm of a tensor of zeros is none of a single zero: under a reduction kinds must stay.
            reduces = vocabulary[op].scope is not Scope.ELEMENT
            if reduces and any(builder.kind(v) != graph.kinds[a] for v, a in zip(new, args, strict=True)):
                raise _RefusedError
            value.append(builder.node(op, new))
    except _RefusedError:
        return None
    constant_kinds = [SCALAR] * len(builder.constants)
    return Graph(
        inputs=graph.inputs,
        state=graph.state,
        constants=tuple(builder.constants),
        nodes=tuple(Node(op, tuple(builder.ref(a) for a in args)) for op, args in builder.nodes),
        outputs=tuple(builder.ref(value[ref]) for ref in graph.outputs),
        next_state=tuple(builder.ref(value[ref]) for ref in graph.next_state),
        kinds=(*builder.kinds[: builder.first], *constant_kinds, *builder.kinds[builder.first :]),
        output_kinds=graph.output_kinds,
        state_kinds=graph.state_kinds,
    )
