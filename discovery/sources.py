"""Where a person's programs come from: a file, the library, or stdin."""

import sys
from pathlib import Path

from archive import library
from evaluators.domain import Domain
from primitives.names import nearest
from primitives.program import Program, ProgramError
from primitives.text import MAX_TEXT, parse, read_program


def read_source(source: str, domain: Domain) -> Program:
    """Returns the program that `source` names.

    Args:
        source: a name from the library, a file, or `-` for stdin; a name of the library comes first, `./name` is
            always a file.
        domain: what the program is for.

    Raises:
        ProgramError: there is no such program, or its text is not of the language; the message begins with `source`.
    """
    try:
        if source == "-":
            if sys.stdin is None:
                raise ProgramError("a program must come from an open stdin, got a closed one; name a file")
            return parse(sys.stdin.read(MAX_TEXT + 1), domain.interface, domain.vocabulary)
        if library.knows(source):
            return parse(library.text(source), domain.interface, domain.vocabulary)
    except ProgramError as error:
        raise ProgramError(f"{source}: {error}") from None
    path = Path(source)
    if not path.exists() and path.parent == Path() and not path.suffix:
        raise ProgramError(
            f"{source}: a program must be a file or one of the library ({', '.join(library.names())}), got neither"
            f"{nearest(source, library.names())}"
        )
    return read_program(path, domain.interface, domain.vocabulary)
