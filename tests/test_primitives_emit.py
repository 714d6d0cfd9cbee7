"""Emitted source: the same rule under law 1, readable, self-contained, and at home in optax."""

import ast
import inspect
import re
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from inputs import LAYOUT, draw_inputs
from rounding import Band, band
from strategies import MODERATE, programs

from archive import library
from primitives.card import LEARNING_RATE, Card
from primitives.emit import emit_optax, emit_python, emit_text, emit_torch
from primitives.emit.module import read_parts, shape_of
from primitives.emit.naming import RESERVED
from primitives.graph import Graph, check
from primitives.kinds import COLUMN, LEAF, LEFT, RIGHT, ROW, SCALAR, TENSOR
from primitives.layout import shape_beside
from primitives.ops import LIBRARY
from primitives.primitive import Primitive, Scope, Vocabulary
from primitives.program import OPTIMIZER, Interface, Program, ProgramError, Statement
from primitives.reference import step, zero_state
from primitives.simplify import canonical_key, canonicalize
from primitives.text import parse, render

NAMES = ("a", "b")
"""Keys of the parameters."""
FLOAT32 = st.one_of(st.sampled_from((0.9, 0.999, 0.1, 1e-8, 2.0, -0.5)), st.floats(-4.0, 4.0))
AWKWARD = (
    *("np", "jnp", "jax", "optax", "state", "State", "params", "grads", "updates", "update", "count", "dtype", "flat"),
    *("split", "spread", "like", "leaves", "all_g", "next_m", "index", "constant", "zip", "len", "dot", "x", "_", "__"),
    *("torch", "step", "write", "advance", "grads", "weights", "lists", "self", "group", "ms", "lrs"),
    *(
        "clip_by_global_norm",
        "learning_rate",
        "rule",
        "rule_2",
        "lr",
        "g",
        "a_name_of_forty_characters_that_is_too_long",
    ),
)
"""Names that emitted source uses itself, or that are hard to write."""


def program_of(text: str) -> Program:
    return parse(text, OPTIMIZER, LIBRARY)


def canonical(program: Program, dtype: str = "float64") -> Graph:
    return canonicalize(check(program, LIBRARY), LIBRARY, dtype)


def load(source: str) -> dict[str, Any]:
    """Executes a module that Pride itself wrote."""
    module: dict[str, Any] = {}
    exec(compile(source, "<emitted>", "exec"), module)
    return module


def tree(x: np.ndarray) -> dict[str, np.ndarray]:
    return dict(zip(NAMES, LAYOUT.split(x), strict=True))


def flat(leaves: dict[str, Any]) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(leaves[name])) for name in NAMES])


def more(function: Any, row: dict, make: Any) -> dict[str, Any]:
    """What a function asks for beside gradients."""
    asked = [key for key in ("value", "noise", "hessian_diagonal") if key in inspect.signature(function).parameters]
    return {key: make(row[key]) if np.ndim(row[key]) else row[key] for key in asked}


def run_python(source: str, inputs: list[dict]) -> np.ndarray:
    module = load(source)
    state = module["init"](tree(inputs[0]["w"]))
    rows = []
    with np.errstate(all="ignore"):
        for row in inputs:
            given = more(module["update"], row, tree)
            updates, state = module["update"](tree(row["w"]), tree(row["g"]), state, float(row["lr"]), **given)
            rows.append(flat(updates))
    return np.stack(rows)


def run_optax(source: str, inputs: list[dict], name: str = "rule") -> np.ndarray:
    """What the transformation subtracts; the learning rate comes as a schedule."""
    with jax.enable_x64(True):
        rates = jnp.asarray([row["lr"] for row in inputs])
        transformation = load(source)[name](lambda count: rates[count])
        state = transformation.init(tree(inputs[0]["w"]))
        rows = []
        for row in inputs:
            grads, params = jax.tree.map(jnp.asarray, (tree(row["g"]), tree(row["w"])))
            given = {key: tree(row[key]) for key in ("noise", "hessian_diagonal")}
            updates, state = transformation.update(grads, state, params, value=row["value"], **given)
            rows.append(-flat(updates))
    return np.stack(rows)


def run_torch(source: str, inputs: list[dict]) -> np.ndarray:
    """What the optimizer subtracts, in float64, as far as parameters show it; matrices are transposed for PyTorch."""
    module = load(source)
    made = [one for one in module.values() if isinstance(one, type) and issubclass(one, torch.optim.Optimizer)]
    make: Any = made[-1]

    def tensors(x: np.ndarray) -> list[torch.Tensor]:
        return [torch.tensor(part.T).contiguous() for part in tree(x).values()]

    params = [torch.nn.Parameter(w) for w in tensors(inputs[0]["w"])]
    optimizer = make(params, lr=1.0)
    rows = []
    for row in inputs:
        for p, w, g in zip(params, tensors(row["w"]), tensors(row["g"]), strict=True):
            p.data.copy_(w)
            p.grad = g
        optimizer.param_groups[0]["lr"] = float(row["lr"])
        optimizer.step(**more(optimizer.step, row, tensors))
        rows.append(np.concatenate([np.ravel(p.detach().numpy().T) for p in params]))
    held = np.stack([row["w"] for row in inputs])
    with np.errstate(invalid="ignore"):
        return held - np.stack(rows)


def check_torch(honest: Band, source: str, inputs: list[dict]) -> None:
    """What is subtracted from parameters is seen up to the rounding of that difference."""
    eps = np.finfo(np.float64).eps
    held = np.stack([row["w"] for row in inputs])
    with np.errstate(invalid="ignore", over="ignore"):
        honest.check(run_torch(source, inputs), 4.0 * eps * (np.abs(held) + np.abs(honest.value)))


def refused(program: Program) -> bool:
    """Whether exports refuse a program: it treats matrices apart and sees the whole model."""
    try:
        read_parts(program, LIBRARY, Card("rule"), "float64")
    except ProgramError as problem:
        if "must not see the whole model" not in str(problem):
            raise
        return True
    return False


@st.composite
def awkward_programs(draw: st.DrawFn, constants: Any = None) -> Program:
    """Random programs whose variables have awkward names."""
    program = draw(
        programs(LIBRARY, OPTIMIZER) if constants is None else programs(LIBRARY, OPTIMIZER, constants=constants)
    )
    assume(not refused(program))
    data = {name for name, _ in OPTIMIZER.inputs}
    kept = {*data, "update"}
    variables = list(dict.fromkeys([n for n, _ in program.signature.inputs] + [s.target for s in program.statements]))
    free = [name for name in draw(st.permutations(AWKWARD)) if name not in kept and not name.startswith("__")]
    names = {v: v if v in kept or not free or draw(st.booleans()) else free.pop() for v in variables}
    taken = list(names.values())
    names = {v: n if taken.count(n) == 1 else v for v, n in names.items()}
    if len(set(names.values())) < len(names):
        return program
    signature = OPTIMIZER.signature(
        [names[n] for n, _ in program.signature.inputs],
        [names.get(n, n) for n, _ in program.signature.outputs],
        [(names[n], kind) for n, kind in program.signature.outputs if n in program.signature.state],
    )
    statements = tuple(
        Statement(names[t], op, tuple(names[a] if isinstance(a, str) else a for a in args))
        for t, op, args in program.statements
    )
    return Program(signature, statements, program.name)


@settings(max_examples=150)
@given(awkward_programs())
def test_text_is_the_canonical_form_again(program):
    again = program_of(emit_text(program, LIBRARY, "float64"))
    assert canonical_key(canonical(again)) == canonical_key(canonical(program))
    assert len([s for s in again.statements if s.op != "copy"]) == canonical(program).size


@settings(max_examples=50)
@given(awkward_programs(constants=FLOAT32))
def test_constants_are_the_shortest_that_are_the_same_in_float32(program):
    again = program_of(emit_text(program, LIBRARY))
    assert canonical_key(canonical(again, "float32")) == canonical_key(canonical(program, "float32"))
    for statement in again.statements:
        for constant in statement.args:
            if isinstance(constant, float):
                assert constant == float(str(np.float32(constant)))


@settings(max_examples=200)
@given(awkward_programs(), st.integers(0, 3))
def test_python_source_agrees_with_the_reference(program, seed):
    inputs = draw_inputs(seed)
    honest = band(canonical(program), LIBRARY, LAYOUT, inputs)
    honest.check(run_python(emit_python(program, LIBRARY, Card("rule"), "float64"), inputs))


@settings(max_examples=60)
@given(awkward_programs(constants=MODERATE), st.integers(0, 3))
def test_optax_source_agrees_with_the_reference(program, seed):
    inputs = draw_inputs(seed)
    honest: Band = band(canonical(program), LIBRARY, LAYOUT, inputs)
    honest.check(run_optax(emit_optax(program, LIBRARY, Card("rule"), dtype="float64"), inputs))


@settings(max_examples=200)
@given(awkward_programs(), st.integers(0, 3))
def test_torch_source_agrees_with_the_reference(program, seed):
    inputs = draw_inputs(seed)
    honest = band(canonical(program), LIBRARY, LAYOUT, inputs)
    check_torch(honest, emit_torch(program, LIBRARY, Card("rule"), "float64"), inputs)


@pytest.mark.parametrize("name", library.names())
def test_known_rules_agree_in_every_language(name):
    program, inputs = program_of(library.text(name)), draw_inputs(0)
    honest = band(canonical(program), LIBRARY, LAYOUT, inputs)
    assert honest.close.all()
    honest.check(run_python(emit_python(program, LIBRARY, Card(name), "float64"), inputs))
    honest.check(run_optax(emit_optax(program, LIBRARY, Card(name), dtype="float64"), inputs, name))
    check_torch(honest, emit_torch(program, LIBRARY, Card(name), "float64"), inputs)


# --- form -------------------------------------------------------------------------------------------------------------


def many_sources() -> dict[str, str]:
    """Sources of known rules and of random programs, by file name."""
    found: list[Program] = []

    @settings(max_examples=25, derandomize=True, database=None)
    @given(awkward_programs())
    def collect(program: Program) -> None:
        found.append(program)

    collect()
    sources = {}
    for name in library.names():
        program = program_of(library.text(name))
        sources[f"python_{name}.py"] = emit_python(program, LIBRARY, Card(name))
        sources[f"optax_{name}.py"] = emit_optax(program, LIBRARY, card(name, 0.1))
        sources[f"torch_{name}.py"] = emit_torch(program, LIBRARY, library.load(name).card)
    for i, program in enumerate(found):
        sources[f"python_{i}.py"] = emit_python(program, LIBRARY, Card("rule"), "float64")
        sources[f"optax_{i}.py"] = emit_optax(program, LIBRARY, Card("rule"), dtype="float64")
        sources[f"torch_{i}.py"] = emit_torch(program, LIBRARY, Card("rule"), "float64")
    return sources


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("emitted")
    for name, source in many_sources().items():
        (path / name).write_text(source)
    return path


def test_names_of_the_source_are_reserved(folder):
    """What a module of a rule without variables of its own binds, no variable may be called."""
    bodies = {
        "g, lr": "update = g * lr",
        "w, g, noise, value, hessian_diagonal": "x = g * noise; x = x * value; y = global_norm(x); "
        "x = x * hessian_diagonal; update = x * y",
        "g, r: ROW, q: LEFT, lr": "r = row_sum(g); a = gram_left(g); q = q + a; x = matmul(q, g); y = g * r; "
        "update = if_wide(x, y)",
    }
    texts = []
    for head, body in bodies.items():
        lines = "".join(f"    {line}\n" for line in body.split("; "))
        texts.append(f"def train({head}):\n{lines}    return update{', r, q' if 'ROW' in head else ''}\n")
    for text in texts:
        program = program_of(text)
        own = {"w", *(s.target for s in program.statements), *dict(program.signature.inputs)}
        for emit in (emit_python, emit_optax, emit_torch):
            tree = ast.parse(emit(program, LIBRARY, Card("rule")))
            bound = {
                node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
            }
            bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
            bound = {
                name
                for name in bound
                if not re.search(r"^(all|next)_|_(state|given)$|^(init|update)_|rule|_[23]$|^lr$", name)
            }
            functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)} & {*LIBRARY}
            assert (
                bound - functions - own - {name for p in LIBRARY.values() if not p.python for name in _locals(p)}
                <= RESERVED
            )


def _locals(primitive: Primitive) -> set[str]:
    return {*primitive.fn.__code__.co_varnames}


def tool(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_source_is_formatted_and_lints(folder):
    assert not tool("ruff", "format", "--isolated", "--check", "--diff", "--line-length", "120", str(folder))
    assert not tool("ruff", "check", "--isolated", "--line-length", "120", "--select", "E,W,F,B,A", str(folder))


def test_source_has_no_type_errors(folder):
    (folder / "pyrightconfig.json").write_text(
        '{"typeCheckingMode": "basic", "include": ["*adamw.py", "*lion.py", "*_1?.py"]}'
    )
    assert not tool("pyright", "--pythonpath", sys.executable, "--project", str(folder))


def test_source_needs_nothing_but_what_it_says(folder):
    allowed = {
        "python": {"typing", "numpy"},
        "optax": {"typing", "jax", "jax.numpy", "optax"},
        "torch": {"typing", "torch", "collections.abc", "functools"},
    }
    for path in folder.glob("*.py"):
        imported = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(str(node.module))
        assert imported <= allowed[path.name.split("_")[0]]


def test_names_of_the_author_stay():
    text = emit_text(program_of(library.text("adamw_uncorrected")), LIBRARY)
    header = text.splitlines()[0]
    assert header == "def train(w, g, m, v, lr):"
    for name in ("m = interpolate(g, m, 0.9)", "v = interpolate(g2, v, 0.999)", "return update, m, v"):
        assert name in text
    source = emit_python(program_of(library.text("lion")), LIBRARY, Card("lion"))
    assert "m = (1.0 - 0.99) * g + 0.99 * m" in source
    assert (
        render(program_of(emit_text(program_of(library.text("lion")), LIBRARY)), LIBRARY).replace("    ", "        ")
        in source
    )


def test_exchanged_state_is_written_as_a_parallel_assignment():
    program = program_of(
        "def train(g, m, v):\n    update = m - v\n    x = m\n    m = v + g\n    v = x\n    return update, m, v"
    )
    swap = program_of(
        "def train(g, m, v):\n    a = m + g\n    update = a * v\n    m = v\n    v = a\n    return update, m, v"
    )
    inputs = draw_inputs(0)
    for one in (program, swap):
        assert canonical_key(canonical(program_of(emit_text(one, LIBRARY)))) == canonical_key(canonical(one))
        source = emit_python(one, LIBRARY, Card("rule"), "float64")
        band(canonical(one), LIBRARY, LAYOUT, inputs).check(run_python(source, inputs))


def test_primitives_of_other_vocabularies_are_written_from_their_record():
    """A LEAF primitive of two arguments lifts inside; a MODEL primitive of any kind gets a function of its own."""

    def along(xp: Any, x: Any, y: Any) -> Any:
        return x * (x * y).sum()

    def share(xp: Any, x: Any, y: Any) -> Any:
        return x / (1.0 + xp.abs(y).sum())

    vocabulary = Vocabulary(
        (
            *LIBRARY.primitives,
            Primitive("along", along, (None, None), "x (x . y)", "{0} * {xp}.sum({0} * {1})", scope=Scope.LEAF),
            Primitive(
                name="share",
                fn=share,
                inputs=(None, None),
                doc="x / (1 + sum |y|)",
                python="{0} / (1.0 + {xp}.sum({xp}.abs({1})))",
                scope=Scope.MODEL,
            ),
        )
    )
    text = """
def train(w, g, lr):
    n = norm(g)
    a = along(g, n)
    b = along(n, lr)
    c = along(0.5, w)
    d = share(n, lr)
    e = share(n, g)
    f = share(lr, n)
    h = share(lr, 2.0)
    a = a + b
    a = a + c
    d = d + e
    f = f + h
    a = a + d
    update = a + f
    return update
"""
    program = parse(text, OPTIMIZER, vocabulary)
    graph = canonicalize(check(program, vocabulary), vocabulary, "float64")
    inputs = draw_inputs(0)
    honest = band(graph, vocabulary, LAYOUT, inputs)
    assert honest.close.all()
    honest.check(run_python(emit_python(program, vocabulary, Card("rule"), "float64"), inputs))
    honest.check(run_optax(emit_optax(program, vocabulary, Card("rule"), dtype="float64"), inputs))


def test_a_variable_may_have_the_name_of_the_rule():
    text = "def train(w, g, lion, lr):\n    lion = lion + g\n    update = lion * lr\n    return update, lion"
    program, inputs = program_of(text), draw_inputs(0)
    honest = band(canonical(program), LIBRARY, LAYOUT, inputs)
    honest.check(run_python(emit_python(program, LIBRARY, Card("lion"), "float64"), inputs))
    honest.check(run_optax(emit_optax(program, LIBRARY, Card("lion"), dtype="float64"), inputs, "lion"))


@pytest.mark.parametrize(
    "lines",
    [
        ("update = a + g", "a = w"),  # state that is handed what is overwritten
        ("update = a + b", "b = a", "a = g"),
        ("old = abs(a)", "a = a + g", "update = a - old"),
        ("update = divide(g, -2.0)", "a = power(-2.0, a)"),
        ("a = where(g, 1.0, 0.0)", "b = where(1.0, g, 0.0)", "update = a + b"),
        ("p = a * g", "a = b", "update = p + a", "b = update"),
        ("p = a * b", "a = p + g", "b = a * a", "update = b + p"),
        ("i = g", "update = i", "a = w * i", "b = interpolate(0.5, a, 0.5)"),
    ],
)
def test_torch_writes_state_as_the_program_means_it(lines):
    body = "".join(f"    {line}\n" for line in lines)
    program = program_of(f"def train(w, g, a, b, lr):\n{body}    return update, a, b\n")
    inputs = draw_inputs(0)
    honest = band(canonical(program), LIBRARY, LAYOUT, inputs)
    check_torch(honest, emit_torch(program, LIBRARY, Card("rule"), "float64"), inputs)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["lion", "sign_sgd", "signum"])
def test_torch_takes_the_sign_of_nan_as_nan(name, dtype):
    """As NumPy and JAX do, where `torch.sign` gives 0: a gradient that is lost must show."""
    smallest = torch.finfo(dtype).tiny if dtype is not torch.float16 else 1e-7
    w = torch.nn.Parameter(torch.zeros(6, dtype=dtype))
    w.grad = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, 20 * smallest, -20 * smallest], dtype=dtype)
    library.load(name).torch([w], 1.0).step()
    torch.testing.assert_close(w.sign(), torch.tensor([0.0, -1.0, 1.0, 0.0, -1.0, 1.0], dtype=dtype))
    assert w.isnan().tolist() == [True] + [False] * 5


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 3, 4)])
def test_shapes_in_the_source_are_those_of_layouts(shape):
    for kind in (LEAF, ROW, COLUMN, *((LEFT, RIGHT) if len(shape) == 2 else ())):
        assert eval(shape_of(kind), {"x": np.zeros(shape)}) == shape_beside(shape, kind)


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("emit", [emit_python, emit_optax, emit_torch])
@pytest.mark.parametrize("name", ["raw-lion", "1st", "", "class", "jax", "a b", "näme"])
def test_a_name_must_be_a_free_identifier(emit, name):
    with pytest.raises(ValueError, match="a rule must be named by a free Python identifier"):
        emit(program_of(library.text("sgd")), LIBRARY, Card(name))


@pytest.mark.parametrize("emit", [emit_python, emit_optax, emit_torch])
def test_only_update_rules_become_optimizers(emit):
    interface = Interface("train", (("x", TENSOR), ("lr", SCALAR)), (("update", TENSOR),))
    program = parse("def train(x, lr):\n    update = x * lr\n    return update", interface, LIBRARY)
    with pytest.raises(ProgramError, match="only an update rule"):
        emit(program, LIBRARY, Card("rule"))
    interface = Interface("train", OPTIMIZER.inputs, OPTIMIZER.outputs, (SCALAR,), 1)
    program = parse(
        "def train(g, m: SCALAR):\n    m = dot(g, g)\n    update = g * m\n    return update, m", interface, LIBRARY
    )
    assert emit(program, LIBRARY, Card("rule"))  # written before it is read: no state
    program = parse(
        "def train(g, m: SCALAR):\n    update = g * m\n    m = dot(g, g)\n    return update, m", interface, LIBRARY
    )
    assert emit(program, LIBRARY, Card("rule"))
    text = "def train(g):\n    x = dot(g, g)\n    y = g * x\n    update = if_matrix(y, g)\n    return update"
    with pytest.raises(ProgramError, match="must not see the whole model, got dot; export it as text"):
        emit(program_of(text), LIBRARY, Card("rule"))


@pytest.mark.parametrize(
    ("state", "body"),
    [
        ("", "x = g + w; y = interpolate(x, x, lr); update = y * lr"),
        ("", "x = g + w; y = interpolate(x, w, 0.3); z = interpolate(g, x, 0.3); update = y * z"),
        ("v", "a = v * g; b = v + g; n = global_norm(b); v = a + n; update = v * lr"),
        ("s: SCALAR, v", "s = global_norm(v); v = w + lr; n = negative(v); a = g + n; update = a * s"),
        ("a: LEFT, b: LEFT", "s = gram_left(g); c = a + s; a = transpose(b); b = transpose(c); update = matmul(a, g)"),
        ("r: ROW, v", "x = v * r; r = row_sum(v); v = v + g; update = x * lr"),
        ("v", "a = g * 2.0; c = channel_sum(a); b = a + 1.0; d = c * b; update = d * lr; v = v + d"),
    ],
)
def test_nothing_is_overwritten_that_is_needed(state, body):
    """PyTorch: state and temporaries are written over."""
    lines = "".join(f"    {line}\n" for line in body.split("; "))
    names = [name.split(":")[0] for name in state.split(", ") if name]
    head = ", ".join(["w", "g", *([state] if state else []), "lr"])
    program = program_of(f"def train({head}):\n{lines}    return {', '.join(['update', *names])}\n")
    inputs = draw_inputs(0)
    honest = band(canonical(program), LIBRARY, LAYOUT, inputs)
    check_torch(honest, emit_torch(program, LIBRARY, Card("rule"), "float64"), inputs)


@pytest.mark.parametrize(
    "body",
    [
        "a = gram_left(g); a = a + 1.0; n = norm(a); update = g * n",
        "a = gram_left(g); a = cos(a); n = norm(a); update = g * n",
        "n = norm(q); q = q + 0.1; update = g * n",
        "n = norm(r); r = r + 0.1; update = g * n",
        "update = g; dead = polar(g); whole = dot(g, g)",
        "b = row_sum(m); m = m * 0.5; m = m + g; x = m * 3.0; update = b + x",
        "r = transpose(r); b = gram_right(g); r = r + b; x = matmul(g, r); update = x + g",
        "x = initial(t, 0.1, 0.2); update = g * x",
        "update = initial(2.0, g, w)",
    ],
)
def test_what_has_no_matrix_and_what_shares_memory(body):
    lines = "".join(f"    {line}\n" for line in body.split("; "))
    text = f"def train(w, g, m, q: LEFT, r: RIGHT, lr, t):\n{lines}    return update, m, q, r\n"
    program, inputs = program_of(text), draw_inputs(0)
    honest = band(canonical(program), LIBRARY, LAYOUT, inputs)
    honest.check(run_python(emit_python(program, LIBRARY, Card("rule"), "float64"), inputs))
    honest.check(run_optax(emit_optax(program, LIBRARY, Card("rule"), dtype="float64"), inputs))
    check_torch(honest, emit_torch(program, LIBRARY, Card("rule"), "float64"), inputs)


# --- NumPy ------------------------------------------------------------------------------------------------------------


def test_python_source_takes_dicts_in_any_order_and_lists_and_keeps_types():
    module = load(emit_python(program_of(library.text("adamw")), LIBRARY, Card("adamw")))
    row = {k: x.astype(np.float32) if np.ndim(x) else x for k, x in draw_inputs(0)[0].items()}
    params, grads = tree(row["w"]), tree(row["g"])
    updates, state = module["update"](params, grads, module["init"](params), 0.1)
    turned = dict(reversed(grads.items()))
    other, _ = module["update"](params, turned, module["init"](turned), 0.1)
    listed, list_state = module["update"](
        list(params.values()), list(grads.values()), module["init"](list(params.values())), 0.1
    )
    assert isinstance(listed, list)
    assert isinstance(list_state.m, list)
    for name, part in zip(NAMES, listed, strict=True):
        assert updates[name].dtype == state.m[name].dtype == np.float32
        np.testing.assert_array_equal(updates[name], part)
        np.testing.assert_array_equal(updates[name], other[name])


@pytest.mark.parametrize("name", library.names())
def test_python_source_passes_over_arrays_without_entries(name):
    module, row = load(library.load(name).source("python")), draw_inputs(0)[0]
    nothing = {f"z{i}": np.zeros(shape) for i, shape in enumerate([(0,), (0, 3), (3, 0), (0, 0), (2, 0, 3)])}
    found = []
    for beside in ({}, nothing):
        given = more(module["update"], row, lambda x, beside=beside: tree(x) | beside)
        params, grads = tree(row["w"]) | beside, tree(row["g"]) | beside
        found.append(module["update"](params, grads, module["init"](params), 0.1, **given)[0])
    assert all(found[1][key].shape == x.shape for key, x in nothing.items())
    np.testing.assert_array_equal(flat(found[0]), flat(found[1]))
    for params in (nothing, {}):
        given = more(module["update"], row, lambda x, params=params: params)
        assert {*module["update"](params, params, module["init"](params), 0.1, **given)[0]} == {*params}


# --- optax ------------------------------------------------------------------------------------------------------------


def params_and_grads(dtype: Any = jnp.float32) -> tuple[dict, list[dict]]:
    params = {"layer": {"w": jnp.linspace(-1.0, 1.0, 12, dtype=dtype).reshape(4, 3)}, "b": (jnp.zeros(3, dtype),)}
    keys = jax.random.split(jax.random.key(0), 6)
    return params, [jax.tree.map(lambda x, k=k: jax.random.normal(k, x.shape, x.dtype), params) for k in keys]


def train(transformation: Any, dtype: Any = jnp.float32) -> Any:
    params, grads = params_and_grads(dtype)
    state = transformation.init(params)
    for g in grads:
        updates, state = transformation.update(g, state, params)
        params = optax.apply_updates(params, updates)
    return params


@pytest.mark.parametrize("rate", [0.01, optax.cosine_decay_schedule(0.01, 6)])
@pytest.mark.parametrize(
    ("name", "authority", "tolerance"),
    [
        ("sgd", optax.sgd, 1e-6),
        ("sign_sgd", optax.sign_sgd, 1e-6),
        ("lion", lambda rate: optax.lion(rate, b1=0.9, b2=0.99, weight_decay=0.1), 1e-5),
        ("adam", optax.adam, 1e-4),
        ("adamw", lambda rate: optax.adamw(rate, weight_decay=0.01), 1e-4),
    ],
)
def test_known_rules_are_those_of_optax(name, authority, tolerance, rate):
    """The guard of division moves Adam's bias correction by up to 1e-6."""
    ours = load(emit_optax(program_of(library.text(name)), LIBRARY, Card(name)))[name](rate)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * 1e-2),
        train(ours),
        train(authority(rate)),
    )


def card(name: str, rate: float) -> Card:
    return Card(name, learning_rate=replace(LEARNING_RATE, default=rate))


def lion() -> Any:
    return load(emit_optax(program_of(library.text("lion")), LIBRARY, card("lion", 1e-3)))["lion"]


def test_the_default_learning_rate_is_that_of_the_card():
    a, b = train(lion()()), train(lion()(1e-3))
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_params_are_needed_only_where_the_rule_reads_them():
    params, grads = params_and_grads()
    transformation = lion()(0.1)
    with pytest.raises(ValueError, match="lion reads the parameters: give `params`"):
        transformation.update(grads[0], transformation.init(params))
    plain = load(emit_optax(program_of(library.text("signum")), LIBRARY, Card("signum")))["signum"](0.1)
    plain.update(grads[0], plain.init(params))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", ["adamw", "raw_lion", "heavy_ball"])
def test_state_keeps_its_types_in_a_compiled_loop(name, dtype):
    """Parameters of mixed types too: `lax.scan` refuses a state whose types change."""
    params, grads = params_and_grads(dtype)
    params["extra"], grads = jnp.ones(2, jnp.float32), [{**g, "extra": jnp.ones(2, jnp.float32)} for g in grads]
    transformation = load(emit_optax(program_of(library.text(name)), LIBRARY, Card(name)))[name](
        optax.linear_schedule(0.1, 0.01, 5)
    )

    def body(carry: Any, g: Any) -> tuple[Any, Any]:
        params, state = carry
        updates, state = transformation.update(g, state, params)
        return (optax.apply_updates(params, updates), state), None

    stacked = jax.tree.map(lambda *x: jnp.stack(x), *grads)
    (end, state), _ = jax.jit(lambda c, s: jax.lax.scan(body, c, s))((params, transformation.init(params)), stacked)
    assert int(state.count) == len(grads)
    assert all(
        x.dtype == y.dtype and jnp.isfinite(x).all() for x, y in zip(*map(jax.tree.leaves, (end, params)), strict=True)
    )


def test_it_goes_with_the_transformations_of_optax():
    """chain, masked, inject_hyperparams, multi_transform: what optax users wrap around any optimizer."""
    params, grads = params_and_grads()
    rule = lion()
    plain = train(rule(0.1))
    injected = optax.inject_hyperparams(rule)(learning_rate=0.1)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), train(injected), plain)
    chained = optax.chain(optax.clip_by_global_norm(1e9), rule(0.1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), train(chained), plain)
    masked = optax.masked(rule(0.1), {"layer": True, "b": False})
    updates: Any = masked.update(grads[0], masked.init(params), params)[0]
    np.testing.assert_array_equal(updates["b"][0], grads[0]["b"][0])
    split = optax.multi_transform({"l": rule(0.1), "s": optax.sgd(0.1)}, {"layer": "l", "b": "s"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        updates = split.update(grads[0], split.init(params), params)[0]
    np.testing.assert_allclose(updates["b"][0], -0.1 * grads[0]["b"][0], rtol=1e-6)


def test_it_trains_on_a_real_loss():
    """Gradients come from the loss: the sign of what is emitted is the one that descends."""
    target = jnp.asarray([1.0, -2.0, 3.0])
    source = emit_optax(program_of(library.text("heavy_ball")), LIBRARY, Card("heavy_ball"))
    transformation = load(source)["heavy_ball"](0.05)
    params: Any = jnp.zeros(3)
    state = transformation.init(params)
    for _ in range(100):
        updates, state = transformation.update(jax.grad(lambda p: jnp.sum((p - target) ** 2))(params), state)
        params = optax.apply_updates(params, updates)
    np.testing.assert_allclose(params, target, atol=0.1)


def test_emitted_python_follows_the_reference_when_parameters_move():
    program = program_of(library.text("raw_lion"))
    graph, module = canonical(program), load(emit_python(program, LIBRARY, Card("raw_lion"), "float64"))
    row = draw_inputs(2)[0]
    w, params = row["w"], tree(row["w"])
    held, state = zero_state(graph, LAYOUT), module["init"](params)
    for k in range(5):
        g = np.sin(w + k) * 0.3
        (update,), held = step(graph, LIBRARY, LAYOUT, {"w": w, "g": g, "lr": 0.1}, held)
        updates, state = module["update"](params, tree(g), state, 0.1)
        w, params = w - update, {name: params[name] - updates[name] for name in params}
        np.testing.assert_allclose(flat(params), w, rtol=1e-12)
