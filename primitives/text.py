"""Program text: a small subset of Python, read and written without ever being executed.

    def train(w, g, m, lr):
        c = interpolate(g, m, 0.9)
        m = interpolate(g, m, 0.99)
        update = sign(c)
        update = update * lr
        return update, m

A text is one function. Every line assigns one call, one operator (+ - * /), a variable or a constant to a name; an
argument is a variable or a constant; the last line returns names. Comments and docstrings are dropped. Names are ASCII
identifiers of at most 64 characters that are no Python keywords and do not begin with two underscores; a variable may
be called like a function (`norm = norm(g)`), because a function stands only before a parenthesis and a variable never.
State is a TENSOR unless its parameter says otherwise: `def train(w, g, d: SCALAR, lr)`.

The two directions are exact inverses: `parse(render(p), ...) == p`, constants by `repr`.
"""

import ast
import keyword
import re
from collections.abc import Iterable
from functools import lru_cache
from math import isfinite
from os import PathLike
from pathlib import Path

from primitives.kinds import TENSOR, Kind
from primitives.names import nearest
from primitives.primitive import Vocabulary
from primitives.program import COPY, Interface, Program, ProgramError, Signature, Statement, key_of
from primitives.syntax import MAX_LINE, MAX_TEXT, error, short, tree, what, without_docstring

_NAME = re.compile(r"(?!__)[A-Za-z_][A-Za-z0-9_]{0,63}")
_SYMBOLS = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_NAME_RULE = "a name must be 1 to 64 ASCII letters, digits and underscores that begin with no digit and no `__`"
_RIGHT_SIDE = "a right-hand side must be one call, one operator (+ - * /), a variable or a constant"


def parse(text: str, interface: Interface, vocabulary: Vocabulary) -> Program:
    """Reads a program; kinds and undefined variables are left to `check`.

    Args:
        text: the program, at most `MAX_TEXT` characters.
        interface: the signatures that the program may have.
        vocabulary: the functions that it may call, by name or alias.

    Raises:
        ProgramError: the text is not of the language; the message names the line and what is allowed.
    """
    body = without_docstring(tree(text).body)
    function = body[0] if body else None
    must = f"a program must be one function `def {interface.function}(...)`"
    if not body:
        raise error(None, must, "nothing", "write it")
    if len(body) != 1 or not isinstance(function, ast.FunctionDef):
        first = next((node for node in body if not isinstance(node, ast.FunctionDef)), body[-1])
        beside = " beside it" if len(body) > 1 else ""
        raise error(first, must, f"{what(first)}{beside}", "keep only the function")
    inputs, kinds = _parameters(function, interface)
    lines = without_docstring(function.body)
    outputs = _returned(lines[-1] if lines else function)
    infixes = {p.infix: p.name for p in vocabulary.primitives if p.infix is not None}
    statements = tuple([_statement(node, vocabulary, infixes) for node in lines[:-1]])
    return Program(interface.signature(inputs, outputs, kinds), statements, function.name)


def structural_key(program: Program, vocabulary: Vocabulary) -> int:
    """Returns the key of the genotype: that of its text, which is exact."""
    return key_of(render(program, vocabulary).encode())


def render(program: Program, vocabulary: Vocabulary) -> str:
    """Writes a program as text.

    Raises:
        ProgramError: the program has no text: an operation outside the vocabulary, a wrong number of arguments, a name
            that is none, a constant that is not finite.
    """
    return Writer(vocabulary)(program)


class Writer:
    """Writes programs as text, errors as for `render`, and remembers lines: a child shares most with its parent.

    Args:
        vocabulary: primitives that programs use.
        remembered: number of lines to remember.
    """

    def __init__(self, vocabulary: Vocabulary, remembered: int = 4_096) -> None:
        self._vocabulary = vocabulary
        self._remembered = remembered
        self._lines: dict[Statement, str] = {}

    def __call__(self, program: Program) -> str:
        """Returns the text."""
        first, last = _frame(program.name, program.signature)
        known = self._lines
        lines = [known.get(statement) or self._line(statement) for statement in program.statements]
        return "\n".join((first, *lines, last, ""))

    def _line(self, statement: Statement) -> str:
        """Writes one line."""
        target, op, args = statement
        _check_names((target, *[arg for arg in args if isinstance(arg, str)]))
        words = [arg if isinstance(arg, str) else _constant(arg, target) for arg in args]
        line = f"    {target} = {_right_side(target, op, words, self._vocabulary)}"
        _check_length(line)
        if 0.0 not in args:  # 0.0 and -0.0 are equal, their lines are not
            if len(self._lines) >= self._remembered:
                self._lines.clear()
            self._lines[statement] = line
        return line


@lru_cache(maxsize=1024)
def _frame(name: str, signature: Signature) -> tuple[str, str]:
    """Writes the first line and the last."""
    inputs, outputs = dict(signature.inputs), dict(signature.outputs)
    _check_names((name, *inputs, *outputs))
    given = [f"{one}: {kind}" if one in outputs and kind is not TENSOR else one for one, kind in signature.inputs]
    first, last = f"def {name}({', '.join(given)}):", f"    return {', '.join(outputs)}"
    _check_length(first)
    _check_length(last)
    return first, last


def read_program(path: str | PathLike[str], interface: Interface, vocabulary: Vocabulary) -> Program:
    """Reads the program in a file.

    Raises:
        ProgramError: there is no such regular file, it is too large, it is not UTF-8, or its text is not of the
            language; the message begins with the path.
    """
    try:
        return parse(read_text(Path(path)), interface, vocabulary)
    except ProgramError as problem:
        raise ProgramError(f"{path}: {problem}") from None
    except (OSError, ValueError) as problem:  # no permission, a null byte in the path
        raise ProgramError(f"{path}: a program must be a readable file, got: {problem}; check the path") from None


def read_text(path: Path) -> str:
    """Returns the text of a regular file, never more of it than a program may have; errors as for `read_program`."""
    if not path.is_file():
        got = "a folder" if path.is_dir() else "a special file" if path.exists() else "no such file"
        raise ProgramError(f"a program must be a regular file, got {got}; check the path")
    with path.open("rb") as stream:
        data = stream.read(MAX_TEXT + 1)
    if len(data) > MAX_TEXT:
        raise ProgramError(f"a program must have at most {MAX_TEXT} bytes, got {path.stat().st_size}; shorten it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise ProgramError(
            f"a program must be UTF-8 text, got other bytes at {problem.start}; save it as UTF-8"
        ) from None


def _parameters(function: ast.FunctionDef, interface: Interface) -> tuple[list[str], list[tuple[str, Kind]]]:
    """Returns names and declared kinds of the parameters, refusing whatever else a Python header can hold."""
    if function.name != interface.function:
        raise error(function, f"the function must be called {interface.function!r}", repr(function.name), "rename it")
    args = function.args
    extras = {
        "a decorator": function.decorator_list,
        "a default value": [*args.defaults, *args.kw_defaults],
        "`*` or `**`": [*args.kwonlyargs, args.vararg, args.kwarg],
        "`/`": args.posonlyargs,
        "an annotation of what it returns": [function.returns],
        "type parameters": getattr(function, "type_params", []),
    }
    for got, nodes in extras.items():
        if any(node is not None for node in nodes):
            raise error(function, f"the header must be `def {function.name}(names):`", got, "remove it")
    kinds = [(arg.arg, _kind(arg.annotation, interface)) for arg in args.args if arg.annotation is not None]
    return [_name(arg.arg, arg) for arg in args.args], kinds


def _kind(node: ast.expr, interface: Interface) -> Kind:
    """Reads the kind of a state variable."""
    known = {kind.name: kind for kind in interface.state}
    if not isinstance(node, ast.Name) or node.id not in known:
        got = repr(short(node.id)) if isinstance(node, ast.Name) else what(node)
        raise error(node, f"an annotation must be a kind of state, one of {', '.join(known)}", got, "mend or remove it")
    return known[node.id]


def _returned(node: ast.stmt) -> list[str]:
    """Returns the names after `return`."""
    if not isinstance(node, ast.Return):
        got = "no statement" if isinstance(node, ast.FunctionDef) else what(node)
        raise error(node, "the last line must be `return` with names", got, "add `return update, ...`")
    names = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
    for name in names:
        if not isinstance(name, ast.Name):
            got = "nothing" if name is None else what(name)
            raise error(node, "`return` must be followed by names", got, "assign it to a name first")
    return [_name(name.id, name) for name in names if isinstance(name, ast.Name)]


def _statement(node: ast.stmt, vocabulary: Vocabulary, infixes: dict[str, str]) -> Statement:
    """Reads one assignment."""
    if not isinstance(node, ast.Assign):
        action = {
            ast.Return: "move `return` to the end",
            ast.AugAssign: "write `a = a + b`",
            ast.AnnAssign: "remove the annotation",
        }.get(type(node), "remove it")
        raise error(node, "a line must be an assignment `name = ...`, only the last one a `return`", what(node), action)
    target = node.targets[0]
    if len(node.targets) > 1 or not isinstance(target, ast.Name):
        got = "several targets" if len(node.targets) > 1 else what(target)
        raise error(node, "a line must assign to one name", got, "assign name by name")
    name, value = _name(target.id, target), node.value
    if isinstance(value, ast.Call):
        return Statement(name, *_call(value, vocabulary))
    if isinstance(value, ast.BinOp):
        op = infixes.get(_SYMBOLS.get(type(value.op), ""))
        if op is None:
            known = " ".join(infixes) or "none"
            action = "write it as a call, such as power(a, b)"
            raise error(value, f"an operator must be one of {known}", what(value.op), action)
        return Statement(name, op, (_argument(value.left), _argument(value.right)))
    if isinstance(value, ast.Name | ast.Constant) or _is_negative(value):
        return Statement(name, COPY, (_argument(value),))
    action = "write negative(a)" if isinstance(value, ast.UnaryOp) else "write it with the functions of the language"
    raise error(value, _RIGHT_SIDE, what(value), action)


def _call(node: ast.Call, vocabulary: Vocabulary) -> tuple[str, tuple[str | float, ...]]:
    """Reads a call: the primitive's name and the arguments."""
    if not isinstance(node.func, ast.Name):
        raise error(node, "a call must be `function(arguments)`", what(node.func), "name the function alone: sqrt(x)")
    name = node.func.id
    primitive = vocabulary.get(name)
    if primitive is None:
        action = nearest(name, vocabulary.spellings(), cutoff=0.6).removeprefix("; ") or "see `pride primitives`"
        raise error(node, "a function must be in the vocabulary", repr(short(name)), action)
    if node.keywords:
        raise error(node, "arguments must be given by position", "a keyword argument", "remove the keyword")
    if len(node.args) != primitive.arity:
        raise error(node, f"{name!r} must have {primitive.arity} arguments", str(len(node.args)), "mend the call")
    return primitive.name, tuple([_argument(arg) for arg in node.args])


def _is_negative(node: ast.expr) -> bool:
    """Returns whether `node` is a constant with a minus: to Python an operator on a constant."""
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant)


def _argument(node: ast.expr) -> str | float:
    """Reads a variable or a constant."""
    if isinstance(node, ast.Name):
        return _name(node.id, node)
    if isinstance(node, ast.Constant):
        return _number(node)
    if isinstance(node, ast.UnaryOp) and _is_negative(node):
        return -_number(node.operand)
    nested = isinstance(node, ast.Call | ast.BinOp | ast.UnaryOp)
    action = "one call or operator a line: give it a name on a line before" if nested else "replace it"
    raise error(node, "an argument must be a variable or a constant", what(node), action)


def _number(node: ast.expr) -> float:
    """Reads a finite real number; `type`, because True is an int."""
    value = node.value if isinstance(node, ast.Constant) else None
    if type(value) is int or type(value) is float:
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if isfinite(number):
            return number
        raise error(node, "a constant must be finite", "one beyond 1.8e308", "change it")
    raise error(node, "a constant must be a real number", f"a {type(value).__name__}", "change it")


def _name(name: str, node: ast.AST) -> str:
    """Checks a name; Python's own parser has refused keywords."""
    if _NAME.fullmatch(name) is None:
        raise error(node, _NAME_RULE, repr(short(name)), "rename it")
    return name


def _check_names(names: Iterable[str]) -> None:
    """Checks the names of a program that was not parsed."""
    for name in names:
        if not _is_name(name):
            raise ProgramError(f"{_NAME_RULE}, and be no Python keyword, got {short(name)!r}; rename it")


def _check_length(line: str) -> None:
    if len(line) > MAX_LINE:
        raise ProgramError(f"a line must have at most {MAX_LINE} characters, got a longer one; shorten the names")


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and not keyword.iskeyword(name)


def _constant(value: float, target: str) -> str:
    """Writes a constant."""
    if not isfinite(value):
        raise ProgramError(f"a constant must be finite, got {value!r} in {target!r}; change it")
    return repr(float(value))


def _right_side(target: str, op: str, words: list[str], vocabulary: Vocabulary) -> str:
    """Writes what stands after the `=`."""
    primitive = vocabulary._by_name.get(op)  # noqa: SLF001  (the dict itself: every child of a search is written)
    if op == COPY and primitive is None and len(words) == 1:
        return words[0]
    if primitive is None:
        raise ProgramError(f"an operation must be in the vocabulary, got {op!r} in {target!r}; see `pride primitives`")
    if len(words) != len(primitive.inputs):
        raise ProgramError(
            f"{op!r} must have {primitive.arity} arguments, got {len(words)} in {target!r}; mend the program"
        )
    if primitive.infix is not None:
        return f"{words[0]} {primitive.infix} {words[1]}"
    return f"{primitive.name}({', '.join(words)})"
