"""Programs as source that needs no Pride: one target language a file."""

from primitives.card import Card
from primitives.emit.latex import emit_latex
from primitives.emit.optax import emit_optax
from primitives.emit.python import emit_python
from primitives.emit.text import emit_text
from primitives.emit.torch import emit_torch
from primitives.names import nearest
from primitives.primitive import Vocabulary
from primitives.program import Program

TARGETS = ("optax", "torch", "python", "latex", "text")
"""What a program can be written as."""


def emit(target: str, program: Program, vocabulary: Vocabulary, card: Card, dtype: str = "float32") -> str:
    """Returns a program as source: `optax`, `torch`, `python` (NumPy), `latex` or `text` (Pride's own language).

    Args:
        target: one of TARGETS.
        program: any valid program, an update rule but for `text`.
        vocabulary: the primitives it uses.
        card: its name, learning rate, hyper-parameters and what its docstring tells.
        dtype: type of the program's constants.

    Raises:
        ProgramError: the program is not valid, or no update rule.
        ValueError: an unknown target, or a name that is no identifier.
    """
    if target == "text":
        return emit_text(program, vocabulary, dtype)
    writers = {"optax": emit_optax, "torch": emit_torch, "python": emit_python, "latex": emit_latex}
    write = writers.get(target)
    if write is None:
        raise ValueError(f"a target must be one of {', '.join(TARGETS)}, got {target!r}{nearest(target, TARGETS)}")
    return write(program, vocabulary, card, dtype)


__all__ = ["TARGETS", "emit", "emit_latex", "emit_optax", "emit_python", "emit_text", "emit_torch"]
