"""The static check: kinds are the shapes that running gives, and every refusal says what to do."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracle import Leaf, Tensor, execute, rank_of
from strategies import programs

from archive import library
from primitives import kinds
from primitives.graph import check
from primitives.kinds import LEAF, SCALAR, TENSOR, Kind, join, lifts
from primitives.layout import shape_beside
from primitives.ops import LIBRARY
from primitives.primitive import Primitive, Vocabulary
from primitives.program import COPY, OPTIMIZER, Interface, Program, ProgramError, Statement
from primitives.text import parse, structural_key

INTERFACE = replace(OPTIMIZER, max_state=3)
SHAPES = ((3, 2), (4,))
LEFT, RIGHT = Kind("LEFT"), Kind("RIGHT")
MATRICES = Vocabulary(
    (
        LIBRARY["add"],
        LIBRARY["norm"],
        Primitive("gram", lambda xp, x: x @ x.T, (TENSOR,), "x x'", "{0} @ {0}.T", output=LEFT),
        Primitive("apply", lambda xp, p, x: p @ x, (LEFT, TENSOR), "p x", "{0} @ {1}", output=TENSOR),
    )
)


def program(*statements: tuple, inputs=("w", "g", "m", "v", "lr"), outputs=("update", "m", "v"), interface=INTERFACE):
    """A program of `(target, op, *args)`."""
    rows = tuple(Statement(target, op, tuple(args)) for target, op, *args in statements)
    return Program(interface.signature(inputs, outputs), rows)


def values(signature) -> dict:
    rng = np.random.default_rng(0)
    made = {
        SCALAR: lambda: np.float64(rng.normal()),
        LEAF: lambda: Leaf(rng.normal(size=len(SHAPES))),
    }

    def beside(kind):
        return Tensor(rng.normal(size=shape_beside(shape, kind)) for shape in SHAPES)

    return {name: made[kind]() if kind in made else beside(kind) for name, kind in signature.inputs}


A_ROW_TIMES = program(  # a row is lifted where a matrix product wants a tensor
    ("b", "row_sum", "value"),
    ("a", "gram_left", "value"),
    ("update", "matmul", "a", "b"),
    inputs=("value", "noise", "m"),
    outputs=("update", "m"),
)


class TestKinds:
    @given(programs(LIBRARY, INTERFACE))
    @example(A_ROW_TIMES)
    def test_kinds_are_the_shapes_that_running_gives(self, p):
        graph = check(p, LIBRARY)
        node = graph.first_node
        results = values(p.signature)
        for statement in p.statements:
            single = replace(p, statements=(statement,))
            results = execute(single, LIBRARY, results, SHAPES)
            if statement.op != COPY:
                kind, found = graph.kinds[node], results[statement.target]
                assert {SCALAR: 0, LEAF: 1}.get(kind, 2) == rank_of(found), statement
                if rank_of(found) == 2:
                    assert [part.shape for part in found] == [shape_beside(shape, kind) for shape in SHAPES]
                node += 1
        assert node == len(graph.kinds)
        for reference, kind in zip(graph.outputs, graph.output_kinds, strict=True):
            assert lifts(graph.kinds[reference], kind)
        for reference, kind in zip(graph.next_state, graph.state_kinds, strict=True):
            assert lifts(graph.kinds[reference], kind)

    def test_join_and_lift(self):
        assert join([SCALAR, TENSOR, LEAF]) is TENSOR
        assert join([]) is None
        assert join([LEFT, LEFT]) == LEFT
        assert join([LEFT, RIGHT]) is None
        assert join([LEFT, SCALAR]) is None
        assert join([kinds.LEFT, SCALAR]) is kinds.LEFT
        assert join([kinds.ROW, LEAF, kinds.COLUMN]) is TENSOR
        assert join([kinds.LEFT, kinds.ROW]) is None
        assert join([kinds.LEFT, kinds.RIGHT]) is None
        assert lifts(SCALAR, LEAF)
        assert not lifts(TENSOR, LEAF)
        assert lifts(LEFT, LEFT)
        assert not lifts(SCALAR, LEFT)

    @given(programs(MATRICES, INTERFACE))
    def test_kinds_that_never_lift(self, p):
        graph = check(p, MATRICES)
        for node, kind in zip(graph.nodes, graph.kinds[graph.first_node :], strict=True):
            given = [graph.kinds[a] for a in node.args]
            if node.op == "add":
                assert kind == join(given)
                assert LEFT not in given or given == [LEFT, LEFT]
            elif node.op == "apply":
                assert given[0] == LEFT

    def test_matrix_kinds_fit(self):
        fits = program(("p", "gram", "g"), ("p", "add", "p", "p"), ("update", "apply", "p", "g"))
        assert check(fits, MATRICES).kinds[-1] == TENSOR
        for wrong in (("p", "add", "p", "g"), ("p", "add", "p", 1.0), ("update", "apply", "g", "g")):
            with pytest.raises(ProgramError, match="takes kinds"):
                check(program(("p", "gram", "g"), wrong, ("update", COPY, "g")), MATRICES)
        with pytest.raises(ProgramError, match="'update' must be TENSOR or lower, got LEFT; reduce it first"):
            check(program(("update", "gram", "g")), MATRICES)


class TestGraph:
    @given(programs(LIBRARY, INTERFACE))
    def test_lowering_keeps_every_statement_and_looks_only_back(self, p):
        graph = check(p, LIBRARY)
        assert [node.op for node in graph.nodes] == [s.op for s in p.statements if s.op != COPY]
        assert graph.size == len(graph.nodes)
        assert len(graph.kinds) == graph.first_node + graph.size
        for position, node in enumerate(graph.nodes):
            assert all(0 <= a < graph.first_node + position for a in node.args)
            assert len(node.args) == LIBRARY[node.op].arity
        assert all(0 <= r < len(graph.kinds) for r in (*graph.outputs, *graph.next_state))
        assert sorted((*graph.inputs, *graph.state)) == sorted(name for name, _ in p.signature.inputs)
        assert graph.state == p.signature.state
        assert len(set(map(repr, graph.constants))) == len(graph.constants)
        used = {repr(a) for s in p.statements for a in s.args if not isinstance(a, str)}
        assert used == set(map(repr, graph.constants))

    @given(programs(LIBRARY, INTERFACE, max_statements=6), st.data())
    def test_damage_is_refused_or_harmless(self, p, data):
        statements = list(p.statements)
        names = st.sampled_from(("w", "g", "m", "lr", "update", "nothing"))
        for _ in range(data.draw(st.integers(1, 3))):
            args = tuple(data.draw(st.lists(st.one_of(names, st.floats()), max_size=4)))
            op = data.draw(st.sampled_from((*LIBRARY, COPY, "nothing")))
            statements.insert(data.draw(st.integers(0, len(statements))), Statement(data.draw(names), op, args))
        try:
            graph = check(replace(p, statements=tuple(statements)), LIBRARY)
        except ProgramError as error:
            message = str(error)
        else:
            message, node = None, graph.first_node
            assert len(graph.nodes) == sum(s.op != COPY for s in statements)
            assert len(graph.kinds) == node + graph.size
        assert message is None or ("\n" not in message and "; " in message)

    def test_copies_name_values_and_compute_nothing(self):
        graph = check(program(("a", COPY, "g"), ("m", COPY, "a"), ("v", COPY, 0.5), ("update", COPY, "m")), LIBRARY)
        assert graph.nodes == ()
        assert graph.inputs == ("w", "g", "lr")
        assert graph.state == ("m", "v")
        assert graph.constants == (0.5,)
        assert graph.outputs == (1,)
        assert graph.next_state == (1, 5)
        assert graph.kinds == (TENSOR, TENSOR, SCALAR, TENSOR, TENSOR, SCALAR)

    def test_a_constant_is_stored_once_and_the_two_zeros_are_two(self):
        graph = check(program(("a", "add", 0.0, -0.0), ("b", "add", 0.5, 0.5), ("update", "add", 0.0, 0.5)), LIBRARY)
        assert [str(c) for c in graph.constants] == ["0.0", "-0.0", "0.5"]
        assert [node.args for node in graph.nodes] == [(5, 6), (7, 7), (5, 7)]

    def test_state_is_what_is_returned_and_the_rest_is_data(self):
        graph = check(
            program(("update", "multiply", "g", "lr"), inputs=("lr", "m", "g"), outputs=("update", "m")), LIBRARY
        )
        assert graph.inputs == ("lr", "g")
        assert graph.state == ("m",)
        assert graph.next_state == (2,)
        assert graph.nodes[0].args == (1, 0)

    @pytest.mark.parametrize("name", library.names())
    def test_the_library_passes(self, name):
        graph = check(parse(library.text(name), OPTIMIZER, LIBRARY), LIBRARY)
        assert graph.kinds[graph.outputs[0]] == TENSOR


class TestRefusals:
    @pytest.mark.parametrize(
        ("statements", "message"),
        [
            ([("update", "sqrtt", "g")], "must be in the vocabulary, got 'sqrtt' in 'update'; see `pride primitives`"),
            ([("update", "invert", "g")], "known by name and never executes"),
            ([("update", "sqrt", "g", "m")], "'sqrt' takes 1 arguments, got 2 in 'update'"),
            ([("update", "add", "g")], "'add' takes 2 arguments, got 1 in 'update'"),
            ([("update", "get_pi", "g")], "'get_pi' takes 0 arguments, got 1"),
            ([("update", COPY, "g", "m")], "got 'copy' in 'update'"),
            ([("update", COPY)], "got 'copy' in 'update'"),
            ([("update", "sqrt", "a")], "must have a value before it is used, got 'a'"),
            ([("update", "sqrt", "a"), ("a", "sqrt", "g")], "must have a value before it is used, got 'a'"),
            ([("update", COPY, "t")], "must have a value before it is used, got 't'"),
            (
                [("update", "interpolate", "g", "m", "v")],
                "takes kinds (any, any, SCALAR), got (TENSOR, TENSOR, TENSOR)",
            ),
            ([("update", "clip_by_global_norm", "g", "m")], "takes kinds (any, SCALAR), got (TENSOR, TENSOR)"),
            (
                [("n", "norm", "g"), ("update", "clip_by_global_norm", "g", "n")],
                "takes kinds (any, SCALAR), got (TENSOR, LEAF)",
            ),
            ([("a", COPY, "g")], "every output must have a value, got none for 'update'"),
            ([("update", COPY, float("nan"))], "a constant must be finite, got nan"),
            ([("update", "add", "g", float("inf"))], "a constant must be finite, got inf"),
            ([("update", "add", "g", float("-inf"))], "a constant must be finite, got -inf"),
            ([("update", COPY, "g")] * 1001, "at most 1000 statements, got 1001; shorten it"),
        ],
    )
    def test_every_refusal_is_one_clear_line(self, statements, message):
        with pytest.raises(ProgramError) as caught:
            check(program(*statements), LIBRARY)
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_the_limit_of_statements_can_be_set(self):
        with pytest.raises(ProgramError, match="at most 1 statements, got 2"):
            check(program(("a", COPY, "g"), ("update", COPY, "a")), LIBRARY, max_statements=1)

    def test_an_output_of_too_high_a_kind(self):
        interface = Interface("reduce", (("x", TENSOR),), (("y", LEAF),))
        signature = interface.signature(["x"], ["y"])
        with pytest.raises(ProgramError, match="'y' must be LEAF or lower, got TENSOR; reduce it first"):
            check(Program(signature, (Statement("y", "sqrt", ("x",)),)), LIBRARY)
        for op in ("norm", "global_norm"):
            assert check(Program(signature, (Statement("y", op, ("x",)),)), LIBRARY).output_kinds == (LEAF,)


class TestSignatures:
    @pytest.mark.parametrize(
        ("inputs", "outputs", "message"),
        [
            (("w", "g"), ("g",), "`return` must begin with update, got g"),
            (("w", "g"), (), "`return` must begin with update, got nothing"),
            (("w", "m"), ("m", "update"), "`return` must begin with update"),
            (("w", "w"), ("update",), "each parameter must be named once, got 'w' twice"),
            (("m",), ("update", "m", "m"), "each returned name must be named once, got 'm' twice"),
            (("w",), ("update", "w"), "state must have a name of its own, got the input 'w'"),
            (("w",), ("update", "m"), "must be a parameter too, got 'm'"),
            (
                ("w", "x"),
                ("update",),
                "must be one of w, g, lr, t, value, noise, hessian_diagonal or state that is returned, got 'x'",
            ),
            (("a", "b", "c", "d"), ("update", "a", "b", "c", "d"), "at most 3 state variables, got 4: a, b, c, d"),
        ],
    )
    def test_refusals(self, inputs, outputs, message):
        with pytest.raises(ProgramError) as caught:
            INTERFACE.signature(inputs, outputs)
        assert message in str(caught.value)

    def test_names_and_order_are_kept(self):
        signature = INTERFACE.signature(("v", "t", "g"), ("update", "v"))
        assert signature.inputs == (("v", TENSOR), ("t", SCALAR), ("g", TENSOR))
        assert signature.outputs == (("update", TENSOR), ("v", TENSOR))
        assert signature.state == ("v",)

    @given(programs(LIBRARY, INTERFACE), programs(LIBRARY, INTERFACE))
    def test_structural_keys_tell_programs_apart(self, p, q):
        assert (structural_key(p, LIBRARY) == structural_key(q, LIBRARY)) == (repr(p) == repr(q))
        assert -(2**63) <= structural_key(p, LIBRARY) < 2**63


class TestStrategy:
    """What other tests draw from must reach the whole language."""

    def test_everything_is_drawn(self):
        seen: dict[str, set] = {"op": set(), "state": set(), "inputs": set(), "targets": set(), "size": set()}

        @settings(max_examples=1_200, derandomize=False, database=None)
        @given(programs(LIBRARY, INTERFACE))
        def collect(p):
            seen["op"].update(s.op for s in p.statements)
            seen["targets"].update(s.target for s in p.statements)
            seen["state"].add(len(p.signature.state))
            seen["inputs"].update(name for name, _ in p.signature.inputs)
            seen["size"].add(len(p.statements))

        collect()
        assert seen["op"] >= {p.name for p in LIBRARY.values() if p.executable} | {COPY}
        assert seen["state"] == {0, 1, 2, 3}
        assert seen["inputs"] == {*dict(OPTIMIZER.inputs), "m", "v", "s3"}
        assert seen["targets"] >= {"w", "g", "lr", "update", "m", "a", "norm"}
        assert max(seen["size"]) >= 12
