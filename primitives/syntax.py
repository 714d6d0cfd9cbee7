"""Python's syntax tree of a foreign text, behind guards, and words for its parts.

The text is parsed and never compiled or executed.
"""

import ast
import warnings

from primitives.program import ProgramError

MAX_TEXT = 1_000_000
"""Longest text that is looked at, in characters (a file: in bytes)."""
MAX_LINE = 1_000
"""Longest line in characters: no statement needs more, and what nests deeper never reaches Python's parser."""

_WORDS = {
    ast.Attribute: "attribute access",
    ast.Subscript: "indexing",
    ast.Call: "a call",
    ast.BinOp: "an operator",
    ast.UnaryOp: "a unary operator",
    ast.BoolOp: "a Boolean operator",
    ast.Compare: "a comparison",
    ast.IfExp: "a conditional expression",
    ast.Lambda: "a lambda",
    ast.JoinedStr: "an f-string",
    ast.NamedExpr: "an assignment inside an expression",
    ast.Starred: "unpacking",
    ast.Tuple: "a tuple",
    ast.Import: "an import",
    ast.ImportFrom: "an import",
    ast.Assign: "an assignment",
    ast.AugAssign: "an augmented assignment",
    ast.AnnAssign: "an annotated assignment",
    ast.Return: "`return`",
    ast.FunctionDef: "a function",
    ast.AsyncFunctionDef: "an async function",
    ast.ClassDef: "a class",
    ast.Expr: "an expression without a target",
    ast.Add: "`+`",
    ast.Sub: "`-`",
    ast.Mult: "`*`",
    ast.Div: "`/`",
    ast.FloorDiv: "`//`",
    ast.Mod: "`%`",
    ast.Pow: "`**`",
    ast.MatMult: "`@`",
}


def tree(text: str) -> ast.Module:
    """Returns the syntax tree of `text`.

    Raises:
        ProgramError: the text is too long, is no text, or Python's parser refuses it for whatever reason.
    """
    if len(text) > MAX_TEXT:
        raise ProgramError(f"a program must have at most {MAX_TEXT} characters, got {len(text)}; shorten it")
    if "\0" in text:
        raise ProgramError("a program must be text, got a null byte; save it as UTF-8 text")
    for number, line in enumerate(text.split("\n"), 1):
        if len(line) > MAX_LINE:
            raise ProgramError(
                f"line {number}: a line must have at most {MAX_LINE} characters, got {len(line)}; "
                f"write one call or operator a line"
            )
    try:
        if "\\" not in text:
            return ast.parse(text)
        with warnings.catch_warnings():  # an invalid escape in a docstring is nobody's business
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as problem:
        where = f"line {problem.lineno}: " if problem.lineno else ""
        raise ProgramError(f"{where}a program must be Python syntax, got: {problem.msg}; mend the line") from None
    except (RecursionError, MemoryError):  # both are how Python's parser says that its stack is full
        raise ProgramError(
            "a program must have one call or operator a line, got an expression nested too deep; give its parts names"
        ) from None
    except ValueError as problem:  # lone surrogates
        raise ProgramError(f"a program must be text, got {type(problem).__name__}; save it as UTF-8 text") from None


def without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    """Returns `body` without a leading string."""
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


def what(node: ast.AST) -> str:
    """Returns words for a piece of Python."""
    if isinstance(node, ast.Constant):
        return f"a constant {short(repr(node.value))}"
    return _WORDS.get(type(node)) or f"Python's {type(node).__name__}"


def short(text: str) -> str:
    """Returns at most 64 characters of `text`."""
    return text if len(text) <= 64 else f"{text[:61]}..."


def error(node: ast.AST | None, must: str, got: str, action: str) -> ProgramError:
    """Returns the error of the line that `node` stands on: what must hold, what was got, what to do."""
    line = getattr(node, "lineno", None)
    where = f"line {line}: " if line else ""
    return ProgramError(f"{where}{must}, got {got}; {action}")
