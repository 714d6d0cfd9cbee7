r"""Formulas in LaTeX: read again by a parser of their own, they give what the reference gives.

The parser knows the few signs that formulas are made of and nothing of Pride's operations: `\sqrt` of a negative number
is NaN, `\frac{x}{y}` a plain quotient. What it refuses is hard to read: a number behind a factor, two signs in a row, a
power of something without parentheses.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inputs import LAYOUT, draw_inputs
from rounding import band
from strategies import CONSTANTS, INTERPRETED, SEARCHED, programs

from archive import library
from primitives.card import Card, HyperParameter, Interval
from primitives.emit import TARGETS, emit, emit_latex
from primitives.emit.formula import numeral
from primitives.emit.symbols import Symbols, escape
from primitives.graph import Graph, check
from primitives.kinds import SCALAR, TENSOR
from primitives.ops import LIBRARY
from primitives.primitive import Primitive, Scope, Vocabulary
from primitives.program import OPTIMIZER, Interface, Program, ProgramError, Statement
from primitives.reference import values, zero_state
from primitives.simplify import canonicalize
from primitives.text import parse

SAID = Vocabulary(tuple(p for p in INTERPRETED.primitives if p.latex and p.name != "initial"))
"""Operations that have a sign of their own; the reader of formulas knows them."""
SIMPLE = replace(SEARCHED, state=(TENSOR,))

# --- a reader of formulas ---------------------------------------------------------------------------------------------

NUMBER = r"\d+(?:\.\d+)?(?: \\cdot 10\^\{-?\d+\})?"
SIGNS = (
    r"\\left\\\||\\right\\\||\\left.|\\right.|\\begin\{cases\}|\\end\{cases\}|\\text\{if \}|\\text\{otherwise\}|"
    r"\\operatorname\{\w+\}|\\log_\{\d+\}|\\sqrt\[3\]|\\mathrm\{\w+\}|\\[a-z]+|\\\\|\\,|[{}^_+\-,&>]"
)
FUNCTIONS = {
    r"\sin": np.sin,
    r"\cos": np.cos,
    r"\tan": np.tan,
    r"\arcsin": np.arcsin,
    r"\arccos": np.arccos,
    r"\arctan": np.arctan,
    r"\sinh": np.sinh,
    r"\cosh": np.cosh,
    r"\tanh": np.tanh,
    r"\operatorname{arsinh}": np.arcsinh,
    r"\operatorname{arcosh}": np.arccosh,
    r"\operatorname{artanh}": np.arctanh,
    r"\operatorname{sign}": np.sign,
    r"\exp": np.exp,
    r"\log": np.log,
    r"\log_{2}": np.log2,
    r"\log_{10}": np.log10,
    r"\max": lambda x, y: np.maximum(*lifted(x, y)),
    r"\min": lambda x, y: np.minimum(*lifted(x, y)),
    r"\operatorname{mean}": lambda x: per_tensor(np.mean, x),
    r"\operatorname{total}": np.sum,
    r"\operatorname{sum}": lambda x: per_tensor(np.sum, x),
    r"\operatorname{remainder}": lambda x, y: np.mod(*lifted(x, y)),
    r"\operatorname{cosine}": lambda x, y: inner(x, y) / np.maximum(length(x, y) * length(y, x), 1e-30),
    r"\operatorname{clip}": lambda x, c: x * np.minimum(1.0, c / np.maximum(length(x), 1e-30)),
}


def lifted(*args: Any) -> list[Any]:
    """Values of one shape, where it is not that of a scalar."""
    of_entry = np.repeat(np.arange(LAYOUT.leaves), LAYOUT.sizes)
    most = max(np.size(x) for x in args)
    return [x[of_entry] if 1 < np.size(x) < most else x for x in args]


def filled(*args: Any) -> list[Any]:
    return list(np.broadcast_arrays(*lifted(*args)))


def per_tensor(fn: Any, x: Any) -> Any:
    if np.size(x) < LAYOUT.size:  # one value, or one a tensor
        return np.asarray(x) if fn in (np.mean, np.sum) else np.abs(x)
    return np.array([fn(piece) for piece in LAYOUT.split(x)])


def norm(x: Any) -> Any:
    return np.sqrt(np.sum(x * x))


def inner(x: Any, y: Any) -> Any:
    x, y = filled(x, y)
    return np.sum(x * y)


def length(x: Any, beside: Any = 0.0) -> Any:
    return norm(filled(x, beside)[0])


class Reader:
    """Recursive descent: a formula becomes a tree of tuples."""

    def __init__(self, text: str, symbols: list[str]) -> None:
        known = "|".join(re.escape(symbol) for symbol in sorted(symbols, key=len, reverse=True))
        pattern = re.compile(rf"(?P<symbol>(?:{known})(?![a-z']))|(?P<number>{NUMBER})|(?P<sign>{SIGNS})| ")
        self.tokens, at = [], 0
        while at < len(text):
            found = pattern.match(text, at)
            assert found, f"no sign of the language: {text[at:]!r} in {text!r}"
            at = found.end()
            if found[0] != " ":
                self.tokens.append((found.lastgroup, found[0]))
        self.tokens.append(("end", ""))
        self.at = 0

    def whole(self) -> tuple:
        tree = self.sum()
        assert self.next == "", f"left over: {self.tokens[self.at :]}"
        return tree

    @property
    def next(self) -> str:
        return self.tokens[self.at][1]

    def take(self, *wanted: str) -> str:
        token = self.next
        assert not wanted or token in wanted, f"wanted {wanted}, got {token!r} in {self.tokens}"
        self.at += 1
        return token

    def sum(self) -> tuple:
        sign = -1.0 if self.next == "-" and self.take() else 1.0
        terms = [(sign, self.product())]
        while self.next in ("+", "-"):
            sign = -1.0 if self.take() == "-" else 1.0
            terms.append((sign, self.product()))
        return terms[0][1] if len(terms) == 1 and terms[0][0] == 1.0 else ("sum", terms)

    def product(self) -> tuple:
        factors = [self.factor()]
        while self.next not in ("+", "-", "}", ",", "&", ">", r"\\", r"\end{cases}", "") and self.next[:6] != r"\right":
            apart = self.take() if self.next in (r"\cdot", r"\,") else None
            assert self.tokens[self.at][0] != "number" or apart == r"\cdot", "a number runs into what is before it"
            factors.append(self.factor())
        return factors[0] if len(factors) == 1 else ("product", factors)

    def factor(self) -> tuple:
        closed = (r"\left(", r"\left|", r"\left\|", r"\left<", r"\pi", r"\mathrm{e}")
        tight = self.next in closed or (self.tokens[self.at][0] in ("symbol", "number") and "cdot" not in self.next)
        base = self.base()
        if self.next == "^":
            assert tight, "a power of something without parentheses"
            self.take()
            return ("power", base, self.group())
        return base

    def group(self) -> tuple:
        self.take("{")
        inside = self.sum()
        self.take("}")
        return inside

    def delimited(self, left: str, right: str) -> list[tuple]:
        self.take(left)
        inside = [self.sum()]
        while self.next == ",":
            self.take()
            inside.append(self.sum())
        self.take(right)
        return inside

    def base(self) -> tuple:
        kind, token = self.tokens[self.at]
        if kind == "symbol":
            return ("symbol", self.take())
        if kind == "number":
            return ("number", float(re.sub(r" \\cdot 10\^\{(.*)\}", r"e\1", self.take())))
        if token == r"\left(":
            return self.delimited(token, r"\right)")[0]
        if token == r"\left|":
            return ("call", np.abs, self.delimited(token, r"\right|"))
        if token == r"\left<":
            return ("call", inner, self.delimited(token, r"\right>"))
        if token == r"\left\|":
            inside = self.delimited(token, r"\right\|")
            below = None
            if self.next == "_":
                self.take()
                self.take("{")
                below = self.take(r"\infty", r"\mathrm{all}")
                self.take("}")
            found = {None: lambda x: per_tensor(norm, x), r"\mathrm{all}": norm}
            found[r"\infty"] = lambda x: per_tensor(lambda piece: np.abs(piece).max(), x)
            return ("call", found[below], inside)
        self.take()
        if token == r"\pi":
            return ("number", np.pi)
        if token == r"\mathrm{e}":
            return ("number", np.e)
        if token == r"\frac":
            return ("quotient", self.group(), self.group())
        if token == r"\sqrt":
            return ("call", np.sqrt, [self.group()])
        if token == r"\sqrt[3]":
            return ("call", np.cbrt, [self.group()])
        if token == r"\begin{cases}":
            yes = self.sum()
            self.take("&")
            self.take(r"\text{if }")
            condition = self.sum()
            self.take(">")
            assert self.sum() == ("number", 0.0)
            self.take(r"\\")
            no = self.sum()
            for token in ("&", r"\text{otherwise}", r"\end{cases}"):
                self.take(token)
            return ("cases", condition, yes, no)
        if self.next == r"\left|":  # \log|x|
            return ("call", FUNCTIONS[token], [("call", np.abs, self.delimited(r"\left|", r"\right|"))])
        return ("call", FUNCTIONS[token], self.delimited(r"\left(", r"\right)"))


def value(tree: tuple, known: dict[str, Any]) -> Any:
    """The value of a formula; e^x - 1 and log(1 + x) without cancellation."""
    match tree:
        case ("number", number):
            return np.float64(number)
        case ("symbol", name):
            return known[name]
        case ("sum", terms):
            return total(list(terms), known)
        case ("product", factors):
            product = value(factors[0], known)
            for factor in factors[1:]:
                product = np.multiply(*lifted(product, value(factor, known)))
            return product
        case ("power", base, exponent):
            x, y = lifted(value(base, known), value(exponent, known))
            return np.power(np.where(x == 0.0, 0.0, x), y)
        case ("quotient", above, below):
            x, y = lifted(value(above, known), value(below, known))
            return x / np.where(y == 0.0, 0.0, y)
        case ("cases", condition, yes, no):
            c, x, y = lifted(*(value(part, known) for part in (condition, yes, no)))
            return np.where(c > 0.0, x, y)
        case ("call", fn, [("call", inside, [("sum", [(1.0, ("number", 1.0)), *rest])])]) if fn is np.log:
            assert inside is np.abs
            x = total(rest, known)
            return np.log1p(np.maximum(x, -2.0 - x))
        case ("call", fn, [("sum", [(1.0, ("number", 1.0)), *rest])]) if fn is np.log:
            return np.log1p(total(rest, known))
        case ("call", fn, args):
            return fn(*(value(arg, known) for arg in args))
    raise AssertionError(tree)


def total(terms: list[tuple], known: dict[str, Any]) -> Any:
    found = []
    for sign, term in terms:
        if term == ("number", 1.0) and sign == -1.0 and found and found[-1][2] is np.exp and found[-1][0] == 1.0:
            found[-1] = (1.0, np.expm1(found[-1][3]), None, None)
        elif term[0] == "call" and term[1] is np.exp:
            x = value(term[2][0], known)
            found.append((sign, np.exp(x), np.exp, x))
        else:
            found.append((sign, value(term, known), None, None))
    result = found[0][0] * found[0][1]
    for sign, x, *_ in found[1:]:
        result = np.add(*lifted(result, sign * x))
    return result


def assignments(source: str) -> Iterator[tuple[str, str, str]]:
    """Symbol, arrow and formula of every line."""
    (block,) = re.findall(r"\\begin\{align\*\}\n(.*)\n\\end\{align\*\}", source, re.DOTALL)
    for line in block.split(" \\\\\n"):
        found = re.fullmatch(r"  (\S+) &(=|\\leftarrow) (.+)", line)
        assert found, line
        yield found[1], found[2], found[3]


def run(source: str, inputs: list[dict]) -> np.ndarray:
    """What is taken from w in each step."""
    lines = list(assignments(source))
    told = re.search(r"state (.*), zero before", source)
    state = re.findall(r"\$([^$]+)\$", told[1]) if told else []
    symbols = ["w", "g", r"\eta", "t", r"\ell", r"\xi", "H", *state, *(name for name, _, _ in lines)]
    trees = [(name, Reader(formula, symbols).whole()) for name, _, formula in lines]
    assert {name for name, arrow, _ in lines if arrow != "="} <= {"w", *state}
    known: dict[str, Any] = {name: np.zeros(LAYOUT.size) for name in state}
    step = next(tree for name, tree in reversed(trees) if name == "w")
    if step[0] == "symbol":  # the new parameters wait under a name of their own
        step = dict(trees)[step[1]]
    assert step[1][0] == (1.0, ("symbol", "w"))
    rows = []
    with np.errstate(all="ignore"):
        for row in inputs:
            known |= {"w": row["w"], "g": row["g"], r"\eta": row["lr"], "t": row["t"], r"\ell": row["value"]}
            known |= {r"\xi": row["noise"], "H": row["hessian_diagonal"]}
            for name, tree in trees:
                if tree is step:  # what is subtracted, before it gets lost in w
                    rows.append(np.broadcast_to(lifted(-total(step[1][1:], known), row["w"])[0], LAYOUT.size))
                found = value(tree, known)
                known[name] = filled(found, row["w"])[0] if (name in state) else found
    return np.stack(rows)


# --- laws -------------------------------------------------------------------------------------------------------------

TAMES = CONSTANTS.filter(lambda c: c == 0.0 or 1e-12 < abs(c) < 1e12)
"""Factors stand in an order of their own: no product may overflow on the way."""
LARGEST = 1e20
AWKWARD = (
    *("lr_2", "eta", "beta1", "beta_1", "g2", "g_2", "e", "pi", "u", "m_hat", "m_hat_hat", "lambda_", "weight_decay"),
    *("w_2", "a_b_c", "sin", "frac", "epsilon", "eps", "T", "x_", "_x", "b_past", "mu", "momentum", "t2", "g_hat"),
)
"""Names that come to the same symbol as another, or that are those of signs."""


def program_of(text: str) -> Program:
    return parse(text, OPTIMIZER, LIBRARY)


def canonical(program: Program) -> Graph:
    return canonicalize(check(program, LIBRARY), LIBRARY, "float64")


def tame(graph: Graph, inputs: list[dict]) -> bool:
    """Whether no value comes near the ends of float64."""
    state = zero_state(graph, LAYOUT)
    for row in inputs:
        found, _, state = values(graph, LIBRARY, LAYOUT, row, state)
        sizes = np.abs(np.concatenate([np.ravel(x) for x in found])) if found else np.zeros(1)
        sizes = sizes[np.isfinite(sizes) & (sizes > 0.0)]
        if ((sizes > LARGEST) | (sizes < 1.0 / LARGEST)).any():
            return False
    return True


@st.composite
def awkward_programs(draw: st.DrawFn) -> Program:
    """Random programs, some of whose variables have awkward names."""
    program = draw(programs(SAID, SIMPLE, constants=TAMES))
    kept = {"w", "g", "lr", "t", "update"}
    names = [n for n, _ in program.signature.inputs] + [s.target for s in program.statements]
    awkward = list(draw(st.permutations(AWKWARD)))
    new = {n: n if n in kept or draw(st.booleans()) else awkward.pop() for n in dict.fromkeys(names)}
    signature = OPTIMIZER.signature(
        [new[n] for n, _ in program.signature.inputs], [new.get(n, n) for n, _ in program.signature.outputs]
    )
    statements = tuple(
        Statement(new[target], op, tuple(new[a] if isinstance(a, str) else a for a in args))
        for target, op, args in program.statements
    )
    return Program(signature, statements, program.name)


@st.composite
def nested_programs(draw: st.DrawFn) -> Program:
    """Random programs that use each value once, most of them: formulas in formulas."""
    operations = [p for p in SAID.values() if p.executable]
    simple = [LIBRARY[name] for name in ("add", "subtract", "multiply", "negative", "interpolate", "power", "square")]
    unused, statements = [], []
    for i in range(draw(st.integers(1, 10))):
        primitive = draw(st.sampled_from(draw(st.sampled_from([operations, simple]))))
        args: list[str | float] = []
        for wanted in primitive.inputs:
            if wanted is None and unused and draw(st.integers(0, 3)):
                args.append(unused.pop())
            else:
                names = ["lr", "t"] if wanted == SCALAR else ["w", "g", "m", "lr", "t"]
                args.append(draw(st.one_of(st.sampled_from(names), TAMES)))
        unused.append(f"x{i}")
        statements.append(Statement(unused[-1], primitive.name, tuple(args)))
        if draw(st.integers(0, 5)) == 0:
            statements.append(Statement("m", "copy", (unused[-1],)))
    while len(unused) > 1:
        right, left = unused.pop(), unused.pop()
        unused.append(f"y{len(unused)}")
        statements.append(Statement(unused[-1], draw(st.sampled_from(["add", "subtract", "multiply"])), (left, right)))
    statements.append(Statement("update", "copy", (unused[0],)))
    return Program(OPTIMIZER.signature(["w", "g", "m", "lr", "t"], ["update", "m"]), tuple(statements))


@settings(max_examples=300)
@given(st.one_of(awkward_programs(), nested_programs(), nested_programs()), st.integers(0, 3))
def test_formulas_agree_with_the_reference(program, seed):
    inputs = draw_inputs(seed)
    graph = canonical(program)
    found = run(emit_latex(program, LIBRARY, Card("rule"), "float64"), inputs)
    if tame(graph, inputs):
        band(graph, LIBRARY, LAYOUT, inputs).check(found)


@pytest.mark.parametrize(
    "outer", [p for p in SAID.values() if ":" in p.latex or r"\frac" in p.latex], ids=lambda p: p.name
)
def test_any_operation_stands_in_any_place(outer):
    """Every operation, and a negative number, as every argument of those with places that are not delimited."""
    inputs = draw_inputs(0)
    for place in [i for i, kind in enumerate(outer.inputs) if kind is None]:
        for inner in [p for p in SAID.values() if p.executable]:
            statements = [
                Statement("x", inner.name, tuple([*["g", "w"][: inner.arity], "lr"][: inner.arity])),
                Statement(
                    "y", outer.name, tuple("x" if i == place else ("w", "g", "lr")[i] for i in range(outer.arity))
                ),
                Statement("update", "negative", ("y",)),
            ]
            if LIBRARY[inner.name].inputs[-1:] == (SCALAR,):
                statements[0] = Statement("x", inner.name, ("g", "w", "lr")[-inner.arity :])
            check_one(statements, inputs)
        for number in (-0.5, 0.25, 1e-8, -3e-9, 2.0):
            args = tuple(number if i == place else ("w", "g", "lr")[i] for i in range(outer.arity))
            check_one([Statement("update", outer.name, args)], inputs)


def check_one(statements: list[Statement], inputs: list[dict]) -> None:
    program = Program(OPTIMIZER.signature(["w", "g", "lr"], ["update"]), tuple(statements))
    found = run(emit_latex(program, LIBRARY, Card("rule"), "float64"), inputs)
    band(canonical(program), LIBRARY, LAYOUT, inputs, runs=3).check(found)


def sayable(name: str) -> bool:
    """Whether the reader of formulas knows all of a rule: its operations, and state that begins at zero."""
    return all(s.op == "copy" or s.op in SAID for s in library.load(name).program.statements)


@pytest.mark.parametrize("name", [name for name in library.names() if sayable(name)])
def test_known_rules_agree(name):
    program, inputs = library.load(name).program, draw_inputs(0)
    honest = band(canonical(program), LIBRARY, LAYOUT, inputs)
    assert honest.close.all()
    honest.check(run(emit_latex(program, LIBRARY, Card(name), "float64"), inputs))


def test_state_changes_after_the_last_use_of_the_old_value():
    texts = (
        "def train(g, m, v):\n    update = m - v\n    x = m\n    m = v + g\n    v = x\n    return update, m, v",
        "def train(g, m, v):\n    a = m + g\n    update = a * v\n    m = v\n    v = a\n    return update, m, v",
        "def train(g, m, v):\n    x = m\n    m = v\n    v = x + g\n    update = m - v\n    return update, m, v",
        "def train(g, m):\n    n = m + g\n    d = n - m\n    update = d * d\n    m = n\n    return update, m",
        "def train(w, g, m):\n    update = sin(w)\n    m = m + w\n    return update, m",
        "def train(w, g, m, v):\n    m = m + g\n    v = m\n    update = w - v\n    return update, m, v",
    )
    inputs = draw_inputs(0)
    for text in texts:
        program = program_of(text)
        band(canonical(program), LIBRARY, LAYOUT, inputs).check(
            run(emit_latex(program, LIBRARY, Card("rule"), "float64"), inputs)
        )


@given(st.floats(allow_nan=False))
def test_numbers_are_written_exactly(number):
    text = numeral(number)
    plain = re.sub(r"(?:(-?[\d.]+) \\cdot )?(-?)10\^\{(-?\d+)\}", lambda m: f"{m[1] or m[2] + '1'}e{m[3]}", text)
    again = float(plain.replace(r"\infty", "inf"))
    assert again == number
    assert str(again) == str(number)


# --- symbols and texts ------------------------------------------------------------------------------------------------


def test_no_two_variables_have_one_symbol():
    symbols = Symbols()
    names = [
        *AWKWARD,
        "lr",
        "beta_hat",
        "w",
        "t",
        "m",
        "b",
        "b_",
        "beta",
        "eta_2",
        "update",
        "hat",
        "_hat",
        "m_1_2",
        "v845",
    ]
    found = [symbols.new(name) for name in (*names, *names)]
    assert len(set(found)) == len(found)
    assert r"\pi" not in found


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("w", "w"),
        ("lr", r"\eta"),
        ("beta1", r"\beta_{1}"),
        ("eps", r"\epsilon"),
        ("weight_decay", r"\lambda"),
        ("momentum", r"\mu"),
        ("m2", "m_{2}"),
        ("m_hat", r"\hat{m}"),
        ("b_past", r"b_{\mathrm{past}}"),
        ("root", r"\mathrm{root}"),
        ("a_long_name", r"a_{\mathrm{long\_name}}"),
        ("trust_ratio", r"\mathrm{trust\_ratio}"),
    ],
)
def test_variables_have_their_usual_symbols(name, symbol):
    assert Symbols().new(name) == symbol


NASTY = r"""\input{secrets} \end{document} % $x^2_1$ & # ~ { } }} --- ``quoted'' <a|b> "c" é 東 ^^41 ,, ?` \\"""


def unescaped(text: str) -> str:
    """What LaTeX would show; fails at what is a command or a ligature."""
    shown = {f"\\{sign}": sign for sign in "#$%&_{}"}
    shown |= {r"\textbackslash{}": "\\", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^", r"\textless{}": "<"}
    shown |= {r"\textgreater{}": ">", r"\textbar{}": "|", r"\textquotedbl{}": '"', r"\textasciigrave{}": "`", "{}": ""}
    pattern = "|".join(re.escape(one) for one in shown)
    assert not re.search(r"[\\#$%&_{}~^<>|\"`\n]|--|''|,,", re.sub(rf"(?:{pattern})", "\0", text))
    return re.sub(pattern, lambda found: shown[found[0]], text)


@given(st.one_of(st.just(NASTY), st.text(), st.text("\\{}%$&#_^~-'`,\"<>| \n")))
def test_texts_are_shown_as_they_are(text):
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    assert unescaped(escape(text)) == " ".join(printable.split())


def test_the_text_of_a_card_is_never_latex():
    entry = library.load("lion")
    card = replace(
        entry.card,
        **dict.fromkeys(("title", "summary", "source", "advice", "mathematics"), NASTY),
        hyperparameters=tuple(replace(one, doc=NASTY) for one in entry.card.hyperparameters),
    )
    source = emit_latex(entry.program, LIBRARY, card, "float64")
    assert source.count(escape(NASTY)) == 4 + len(card.hyperparameters)
    rest = source.replace(escape(NASTY), "text")
    assert rest.count(r"\begin{document}") == rest.count(r"\end{document}") == 1
    assert not any(word in source for word in ("secrets} ", r"\input", "^^", "$x^"))


# --- the document -----------------------------------------------------------------------------------------------------


def test_every_operation_has_a_template():
    for primitive in [p for p in LIBRARY.values() if p.executable]:
        assert primitive.latex or primitive.scope is Scope.LEAF, primitive.name
        assert primitive.latex_bare is None or primitive.unguarded is not None


def test_an_operation_without_a_template_is_written_by_its_name():
    along = Primitive("go_along", lambda xp, x, y: x, (None, None), "x (x . y)", "{0}", scope=Scope.LEAF)
    vocabulary = Vocabulary((*LIBRARY.primitives, along))
    program = parse("def train(g, lr):\n    update = go_along(g, lr)\n    return update", OPTIMIZER, vocabulary)
    source = emit_latex(program, vocabulary, Card("rule"))
    assert r"w &\leftarrow w - \operatorname{go\_along}\left(g, \eta\right)" in source
    assert r"$\operatorname{go\_along}\left(x, y\right)$: x (x . y)." in source


def test_adamw_reads_as_in_the_paper():
    source = library.load("adamw").source("latex")
    assert list(assignments(source)) == [
        ("m", r"\leftarrow", r"\beta_{1} m + \left(1 - \beta_{1}\right) g"),
        (r"\hat{m}", "=", r"\frac{m}{1 - \beta_{1}^{t}}"),
        ("v", r"\leftarrow", r"\beta_{2} v + \left(1 - \beta_{2}\right) g^{2}"),
        (r"\hat{v}", "=", r"\frac{v}{1 - \beta_{2}^{t}}"),
        ("w", r"\leftarrow", r"w - \eta \left(\frac{\hat{m}}{\sqrt{\hat{v}} + \epsilon} + \lambda w\right)"),
    ]
    for part in (
        r"\documentclass{article}",
        r"\usepackage{amsmath}",
        r"\title{AdamW}",
        r"Adam with decoupled weight decay~\cite{source}.",
        r"$\lambda$ & \texttt{weight\_decay} & $0.01$ & $[0, \infty)$ & decoupled weight decay, times",
        "\\bibitem{source}\nLoshchilov and Hutter 2019, Decoupled Weight Decay Regularization.",
    ):
        assert part in source


@pytest.mark.parametrize("name", library.names())
def test_documents_are_whole(name):
    source = library.load(name).source("latex")
    opened = re.findall(r"\\(begin|end)\{(\w+\*?)\}", source)
    stack = []
    for word, environment in opened:
        if word == "begin":
            stack.append(environment)
        else:
            assert stack.pop() == environment
    assert not stack
    assert source.count(r"\left") - source.count(r"\leftarrow") == source.count(r"\right")
    bare = re.sub(r"\\[{}]", "", source)
    assert bare.count("{") == bare.count("}")
    assert "@" not in source
    assert source.endswith("\\end{document}\n")


def test_what_is_no_update_rule_is_refused():
    assert "latex" in TARGETS
    interface = Interface("train", (("x", TENSOR), ("lr", SCALAR)), (("update", TENSOR),))
    program = parse("def train(x, lr):\n    update = x * lr\n    return update", interface, LIBRARY)
    with pytest.raises(ProgramError, match="only an update rule"):
        emit("latex", program, LIBRARY, Card("a"))
    with pytest.raises(ValueError, match="must be named by a"):
        emit("latex", library.load("lion").program, LIBRARY, Card("a b"))
    with pytest.raises(ProgramError, match="exactly one line assigns"):
        emit(
            "latex",
            library.load("lion").program,
            LIBRARY,
            Card("a", hyperparameters=(HyperParameter("x", 1.0, Interval(), ""),)),
        )
