"""Text: the canonical form under readable names."""

from primitives.emit.readable import readable, readable_program
from primitives.primitive import Vocabulary
from primitives.program import Program
from primitives.text import render


def emit_text(program: Program, vocabulary: Vocabulary, dtype: str = "float32") -> str:
    """Returns a program's canonical form as program text, with the author's names where the values are the same.

    Args:
        program: any valid program.
        vocabulary: the primitives it uses.
        dtype: type of its constants.

    Raises:
        ProgramError: the program is not valid.
    """
    return render(readable_program(readable(program, vocabulary, dtype)), vocabulary)
