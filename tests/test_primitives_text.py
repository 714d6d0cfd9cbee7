"""Text: exact both ways, a subset of Python, and never more than a ProgramError on foreign input."""

import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from strategies import programs

from archive import library
from primitives.ops import LIBRARY
from primitives.program import COPY, OPTIMIZER, Program, ProgramError, Statement
from primitives.text import MAX_TEXT, Writer, parse, read_program, render

INTERFACE = replace(OPTIMIZER, max_state=3)
HEADER, FOOTER = "def train(w, g, m, v, lr):\n", "    return update, m, v\n"


def read(text: str) -> Program:
    return parse(text, INTERFACE, LIBRARY)


def body(*lines: str) -> str:
    """A program with `lines` from line 2 on."""
    return HEADER + "".join(f"    {line}\n" for line in lines) + FOOTER


def statement(line: str) -> Statement:
    return read(body(line, "update = g")).statements[0]


class Term(tuple):
    """What Python computes with when it executes a program's text: expressions, not numbers."""

    def __add__(self, other):
        return Term(("add", self, other))

    def __sub__(self, other):
        return Term(("subtract", self, other))

    def __mul__(self, other):
        return Term(("multiply", self, other))

    def __truediv__(self, other):
        return Term(("guarded_divide", self, other))

    def __radd__(self, other):
        return Term(("add", other, self))

    def __rsub__(self, other):
        return Term(("subtract", other, self))

    def __rmul__(self, other):
        return Term(("multiply", other, self))

    def __rtruediv__(self, other):
        return Term(("guarded_divide", other, self))


class Functions(dict):
    """A namespace in which every name is a function that builds a term."""

    def __missing__(self, name):
        return lambda *args: Term((name, *args))


class TestRoundTrip:
    @given(programs(LIBRARY, INTERFACE))
    def test_parse_inverts_render(self, program):
        text = render(program, LIBRARY)
        again = read(text)
        assert again == program
        assert repr(again) == repr(program)  # tells -0.0 from 0.0, which are equal
        assert render(again, LIBRARY) == text

    @given(programs(LIBRARY, INTERFACE, max_statements=8))
    def test_python_itself_reads_the_same_program(self, program):
        called = {op for _, op, _ in program.statements}
        assume(not any(target in called for target, _, _ in program.statements))  # Python would call the variable
        values = {name: Term(("input", name)) for name, _ in program.signature.inputs}
        expected: dict = dict(values)
        for target, op, args in program.statements:
            words = [expected[arg] if isinstance(arg, str) else arg for arg in args]
            numbers = not any(isinstance(word, Term) for word in words)
            assume(not (numbers and op != COPY and LIBRARY[op].infix))  # Python would compute the number
            expected[target] = words[0] if op == COPY else Term((op, *words))
        namespace = Functions()
        exec(compile(render(program, LIBRARY), "text", "exec"), namespace)  # what the program's own code never does
        result = namespace["train"](*values.values())
        outputs = [expected[name] for name, _ in program.signature.outputs]
        assert repr(result) == repr(tuple(outputs) if len(outputs) > 1 else outputs[0])

    @given(st.floats(allow_nan=False, allow_infinity=False))
    @example(-0.0)
    @example(5e-324)
    @example(1e-300)
    @example(1.7976931348623157e308)
    def test_constants_are_exact(self, value):
        assert repr(statement(f"a = {value!r}").args) == repr((value,))
        for op, line in (("subtract", f"a = g - {value!r}"), ("add", f"a = {value!r} + g")):
            assert statement(line).op == op
            assert repr(value) in repr(statement(line).args)

    @given(st.integers(-(10**300), 10**300))
    def test_whole_numbers_become_floats(self, value):
        (number,) = statement(f"a = {value}").args
        assert type(number) is float
        assert number == float(value)

    def test_numpy_numbers_are_written_as_numbers(self):
        program = read(body("update = g * 0.1"))
        for value in (np.float64(0.1), np.float32(0.5), 1):
            changed = replace(program, statements=(Statement("update", "multiply", ("g", value)),))  # type: ignore[arg-type]
            assert read(render(changed, LIBRARY)) == changed

    @given(st.lists(programs(LIBRARY, INTERFACE), min_size=1, max_size=4), st.integers(1, 6))
    def test_lines_that_are_remembered_are_the_lines(self, family, remembered):
        write = Writer(LIBRARY, remembered)
        for program in [*family, *family]:
            assert write(program) == render(program, LIBRARY)
            assert len(write._lines) <= remembered

    def test_zeros_of_either_sign_are_told_apart(self):
        write, text = Writer(LIBRARY), body("update = g * {}")
        for zero in ("0.0", "-0.0", "0.0"):
            assert write(read(text.format(zero))) == text.format(zero)

    @pytest.mark.parametrize("name", library.names())
    def test_the_library(self, name):
        program = parse(library.text(name), OPTIMIZER, LIBRARY)
        assert parse(render(program, LIBRARY), OPTIMIZER, LIBRARY) == program


class TestGrammar:
    def test_one_program_in_full(self):
        program = read(body("a = interp(g, m, 0.9)", "b = clip(a, 1)", "m = -2.5", "update = b / g", "v = update"))
        assert program.statements == (
            Statement("a", "interpolate", ("g", "m", 0.9)),
            Statement("b", "clip_by_global_norm", ("a", 1.0)),
            Statement("m", COPY, (-2.5,)),
            Statement("update", "guarded_divide", ("b", "g")),
            Statement("v", COPY, ("update",)),
        )
        assert program.name == "train"
        assert program.signature.state == ("m", "v")

    @pytest.mark.parametrize("name", LIBRARY.spellings())
    def test_every_function_can_be_called(self, name):
        arguments = ("g", "m", "0.5", "lr")[: LIBRARY[name].arity]
        read_back = statement(f"a = {name}({', '.join(arguments)})")
        assert read_back.op == LIBRARY[name].name
        assert len(read_back.args) == LIBRARY[name].arity

    def test_operators_are_another_spelling_of_functions(self):
        for symbol, name in zip("+-*/", ("add", "subtract", "multiply", "guarded_divide"), strict=True):
            assert statement(f"a = g {symbol} m") == statement(f"a = {name}(g, m)") == Statement("a", name, ("g", "m"))

    def test_comments_docstrings_and_layout_do_not_matter(self):
        plain = read(body("a = add(g, m)", "update = a"))
        commented = (
            "# one\n'Module.'\n\ndef train(w, g, m, v, lr):  # two\n  '''Doc \\d.'''\n  a = add(g,\n  m)\n\n"
            "  # three\n  update = a; \n  return (update, m, v)"
        )
        for text in (
            commented,
            "def train(w,\n  g, m, v, lr,\n): a = g+m; update = a; return update, m, v",
            body("a = add(g, m)", "update = (a)").replace("\n", "\r\n"),
            body("a = \\", "   g + m", "update = a"),
        ):
            assert read(text) == plain

    def test_a_variable_may_be_called_like_a_function(self):
        program = read(body("norm = norm(g)", "max = max(norm, g)", "update = max"))
        assert program.statements[1] == Statement("max", "max", ("norm", "g"))
        assert read(render(program, LIBRARY)) == program

    def test_a_program_without_state_or_parameters(self):
        assert read("def train():\n    update = 0.5\n    return update").signature.inputs == ()


REFUSED = {
    "update = a.b": "attribute access",
    "update = np.sqrt(g)": "attribute access",
    "update = g[0]": "indexing",
    "update = sqrt(abs(g))": "one call or operator a line",
    "update = sqrt(g * g)": "one call or operator a line",
    "update = g + m + v": "one call or operator a line",
    "update = sqrt(-g)": "one call or operator a line",
    "update = -g": "write negative(a)",
    "update = not g": "a unary operator",
    "update = --0.5": "a unary operator",
    "update = +0.5": "a unary operator",
    "update = interpolate(g, m, a=0.9)": "a keyword argument",
    "update = add(*g)": "must have 2 arguments, got 1",
    "update = add(*g, m)": "unpacking",
    "update = add(**g)": "a keyword argument",
    "update += g": "write `a = a + b`",
    "update: float = g": "remove the annotation",
    "update: float": "remove the annotation",
    "update, m = g": "a tuple",
    "update = m = g": "several targets",
    "g[0] = update": "indexing",
    "w.grad = update": "attribute access",
    "update = g < m": "a comparison",
    "update = g and m": "a Boolean operator",
    "update = g if m else v": "a conditional expression",
    "update = lambda: g": "a lambda",
    "update = (y := g)": "an assignment inside an expression",
    "update = f'{g}'": "an f-string",
    "update = g, m": "a tuple",
    "update = [g]": "Python's List",
    "update = {g: m}": "Python's Dict",
    "update = [x for x in g]": "Python's ListComp",
    "update = 'g'": "a str",
    "update = b'g'": "a bytes",
    "update = ...": "a ellipsis",
    "update = True": "a bool",
    "update = None": "a NoneType",
    "update = 1j": "a complex",
    "update = 1e999": "must be finite",
    "update = -1e999": "must be finite",
    "update = g * 1e999": "must be finite",
    f"update = {'9' * 400}": "must be finite",
    f"update = {'9' * 5000}": "at most 1000 characters",
    "update = g ** 2.0": "got `**`; write it as a call, such as power(a, b)",
    "update = g // m": "got `//`",
    "update = g % m": "got `%`",
    "update = g @ m": "got `@`",
    "update = g | m": "Python's BitOr",
    "update = squar(g)": "did you mean 'square'?",
    "update = print(g)": "see `pride primitives`",
    "update = sqrt()": "must have 1 arguments, got 0",
    "update = sqrt(g, m)": "must have 1 arguments, got 2",
    "update = sqrt(g)(m)": "a call",
    "update = sqrt('g')": "a str",
    "g": "an expression without a target",
    "__import__('os').system('true')": "an expression without a target",
    "update = __import__('os')": "must be in the vocabulary",
    "import os": "an import",
    "from os import path": "an import",
    "pass": "Python's Pass",
    "del g": "Python's Delete",
    "assert g": "Python's Assert",
    "raise g": "Python's Raise",
    "global g": "Python's Global",
    "return update, m, v": "move `return` to the end",
    "for a in g: update = a": "Python's For",
    "while g: update = g": "Python's While",
    "if g: update = g": "Python's If",
    "with g: update = g": "Python's With",
    "def f(): return g": "a function",
    "async def f(): return g": "an async function",
    "class A: b = g": "a class",
    "update = await g": "Python's Await",
    "update = yield g": "Python's Yield",
    "__x = g": "no `__`",
    "é = g": "ASCII",
    f"{'a' * 65} = g": "1 to 64",
    "update = g +": "Python syntax",
    "update = 1_": "Python syntax",
    "True = g": "Python syntax",
    "lambda = g": "Python syntax",
    "update = \x01": "Python syntax",
}
HEADERS = {
    "def rule(g):": "must be called 'train'",
    "def train(g=1):": "a default value",
    "def train(*, g=1):": "a default value",
    "def train(g: float):": "an annotation",
    "def train(g) -> float:": "an annotation",
    "def train(*g):": "`*` or `**`",
    "def train(*, g):": "`*` or `**`",
    "def train(**g):": "`*` or `**`",
    "def train(g, /):": "`/`",
    "@abs\ndef train(g):": "a decorator",
    "async def train(g):": "an async function",
    "def train(__g):": "no `__`",
    "def train(g, g):": "'g' twice",
    "def train(g, x):": "got 'x'",
    "def train(lambda):": "Python syntax",
    "class train:": "a class",
}
TEXTS = {
    "": "got nothing",
    "# only a comment\n": "got nothing",
    "'''Only a docstring.'''": "got nothing",
    "update = 1": "got an assignment",
    "import os\n"
    + body("update = g"): "line 1: a program must be one function `def train(...)`, got an import beside it",
    body("update = g") * 2: "got a function beside it",
    body("update = g") + "train()": "got an expression without a target beside it",
    " def train(g):\n  return g": "Python syntax",
    "def train(g):\n    update = g\n": "line 2: the last line must be `return`",
    "def train(g):\n    '''Doc.'''\n": "the last line must be `return` with names, got no statement",
    "def train(g):\n    update = g\n    return": "followed by names, got nothing",
    "def train(g):\n    update = g\n    return update + 1": "followed by names, got an operator",
    "def train(g):\n    update = g\n    return update, 1": "followed by names, got a constant 1",
    "def train(g, m):\n    return m": "must begin with update",
    "def train(g):\n    update = g\n    return update, a": "must be a parameter too",
    "def train(g):\n\tupdate = g\n        return update": "line 3: a program must be Python syntax",
    "\0": "a null byte",
    "\ud800": "save it as UTF-8",
    "x" * (MAX_TEXT + 1): f"at most {MAX_TEXT} characters",
}


class TestRefusals:
    @pytest.mark.parametrize("line", REFUSED)
    def test_lines(self, line):
        with pytest.raises(ProgramError) as caught:
            read(body("a = g", line))
        message = str(caught.value)
        assert message.startswith("line 3: ")
        assert REFUSED[line] in message
        assert "\n" not in message
        assert len(message) < 250

    @pytest.mark.parametrize("header", HEADERS)
    def test_headers(self, header):
        with pytest.raises(ProgramError, match="must") as caught:
            read(f"{header}\n    update = 1\n    return update\n")
        assert HEADERS[header] in str(caught.value)

    @pytest.mark.parametrize("number", range(len(TEXTS)))
    def test_texts(self, number):
        text, fragment = list(TEXTS.items())[number]
        with pytest.raises(ProgramError, match="must") as caught:
            read(text)
        assert fragment in str(caught.value)

    @pytest.mark.parametrize(
        "expression",
        [
            "abs(" * 1000 + "g" + ")" * 1000,
            "abs(\n" * 1000 + "g" + ")\n" * 1000,
            "(" * 1000,
            "{[(" * 60 + "g",
            "(g" + "\n + g" * 50_000 + ")",
            "-\\\n" * 100_000 + "g",
            "not " * 200 + "g",
            "lambda:" * 130 + "g",
            "(lambda:\n" + "lambda:\n" * 20_000 + "g)",
            "(" + "g if g else\n" * 20_000 + "g)",
            "g" + ".a" * 450,
            "g" + "()" * 450,
            "(g\n" + "**g\n" * 50_000 + ")",
            "g\n    if g: pass\n" + "    elif g: pass\n" * 20_000,
        ],
        ids=range(14),
    )
    def test_nesting_a_thousand_deep_ends_in_one_clear_line(self, expression):
        with pytest.raises(ProgramError, match="must"):
            read(body(f"update = {expression}"))

    def test_nothing_is_executed(self, tmp_path):
        canary = tmp_path / "canary"
        for call in (f"open({str(canary)!r}, 'w')", f"exec({f'open({str(canary)!r}, 1)'!r})"):
            for text in (body(f"update = {call}"), f"@{call}\n{body('update = g')}", f"{call}\n{body('update = g')}"):
                with pytest.raises(ProgramError):
                    read(text)
            with pytest.raises(ProgramError):
                read(f"def train(g={call}):\n    update = g\n    return update")
        assert not canary.exists()


class TestFuzz:
    @given(st.text())
    def test_random_text(self, text):
        with pytest.raises(ProgramError):
            read(text)

    @given(st.text(alphabet=st.sampled_from("gmw= ()+-*/.,:\n\t'\"#\\[]{}0e9_")))
    def test_random_bodies(self, text):
        self.only_program_errors(HEADER + "    " + text + "\n" + FOOTER)

    @given(programs(LIBRARY, INTERFACE, max_statements=4), st.data())
    def test_damaged_programs(self, program, data):
        text = render(program, LIBRARY)
        for _ in range(data.draw(st.integers(1, 3))):
            start = data.draw(st.integers(0, len(text)))
            end = data.draw(st.integers(start, min(len(text), start + 5)))
            text = text[:start] + data.draw(st.text(max_size=4)) + text[end:]
        self.only_program_errors(text)

    @given(st.binary())
    def test_random_bytes(self, tmp_path_factory, data):
        path = tmp_path_factory.getbasetemp() / "bytes"
        path.write_bytes(data)
        with pytest.raises(ProgramError, match="bytes: "):
            read_program(path, INTERFACE, LIBRARY)

    def only_program_errors(self, text: str) -> None:
        try:
            program = read(text)
        except ProgramError:
            return
        assert read(render(program, LIBRARY)) == program


class TestRender:
    @pytest.mark.parametrize(
        ("statement", "fragment"),
        [
            (Statement("a", "sqrtt", ("g",)), "must be in the vocabulary, got 'sqrtt'"),
            (Statement("a", "sqrt", ("g", "m")), "must have 1 arguments, got 2"),
            (Statement("a", "add", ("g",)), "must have 2 arguments, got 1"),
            (Statement("a", COPY, ("g", "m")), "must be in the vocabulary, got 'copy'"),
            (Statement("a", COPY, (float("inf"),)), "must be finite, got inf"),
            (Statement("a", "add", ("g", float("nan"))), "must be finite, got nan"),
            (Statement("a b", COPY, ("g",)), "a name must be"),
            (Statement("a", COPY, ("g\n",)), "a name must be"),
            (Statement("a", COPY, ("",)), "a name must be"),
            (Statement("lambda", COPY, ("g",)), "no Python keyword"),
            (Statement("__a", COPY, ("g",)), "no `__`"),
            (Statement("é", COPY, ("g",)), "ASCII"),
        ],
    )
    def test_what_has_no_text_is_refused(self, statement, fragment):
        program = replace(read(body("update = g")), statements=(statement,))
        with pytest.raises(ProgramError) as caught:
            render(program, LIBRARY)
        assert fragment in str(caught.value)

    def test_lines_that_could_not_be_read_back_are_not_written(self):
        inputs = tuple((f"{'x' * 60}{i:02}", OPTIMIZER.inputs[0][1]) for i in range(20))
        interface = replace(OPTIMIZER, inputs=inputs)
        signature = interface.signature([name for name, _ in inputs], ["update"])
        with pytest.raises(ProgramError, match="at most 1000 characters"):
            render(Program(signature, (Statement("update", COPY, (0.5,)),)), LIBRARY)


class TestFiles:
    def test_a_file(self, tmp_path):
        path = tmp_path / "rule.py"
        for prefix in (b"", b"\xef\xbb\xbf"):
            path.write_bytes(prefix + library.text("lion").encode())
            assert read_program(path, INTERFACE, LIBRARY) == read(library.text("lion"))
            assert read_program(str(path), INTERFACE, LIBRARY).name == "train"

    def test_files_that_hold_no_program(self, tmp_path):
        (tmp_path / "latin").write_bytes(b"# caf\xe9\n" + library.text("lion").encode())
        (tmp_path / "null").write_bytes(b"\0" * 10)
        (tmp_path / "import").write_text("import os\n")
        with (tmp_path / "large").open("wb") as stream:
            stream.truncate(100_000_000)  # sparse: 100 MB that are never read
        os.mkfifo(tmp_path / "pipe")
        os.symlink("loop", tmp_path / "loop")
        for name, fragment in {
            "latin": "must be UTF-8 text, got other bytes at 5",
            "null": "a null byte",
            "import": "line 1: a program must be one function",
            "large": "at most 1000000 bytes, got 100000000",
            "pipe": "got a special file",
            "loop": "got no such file",
            "missing": "got no such file",
            ".": "got a folder",
            "a\0b": "got no such file",
            "x" * 1000: "must be a",
        }.items():
            with pytest.raises(ProgramError) as caught:
                read_program(tmp_path / name, INTERFACE, LIBRARY)
            assert str(caught.value).startswith(str(tmp_path))
            assert fragment in str(caught.value)
