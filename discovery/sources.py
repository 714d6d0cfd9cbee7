"""Where a person's programs come from: a file, the library, or stdin."""

import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from archive import library
from evaluators.domain import Domain
from evaluators.forms import canonical_graph
from primitives.names import nearest
from primitives.program import Program, ProgramError
from primitives.text import MAX_TEXT, parse, read_program


def slow_sources(sources: Iterable[str], domain: Domain) -> list[str]:
    """Returns one line for each program that is compiled by itself, as what is bred from it will be.

    Stdin, which is read once, and what can't be read are left to those who judge them.
    """
    lines = []
    for source in dict.fromkeys(sources):
        with suppress(ProgramError):
            found = None if source == "-" else domain.compiled(canonical_graph(read_source(source, domain), domain))
            if found is not None:
                lines.append(
                    f"{source} has {found}, which is not interpreted: it and each program bred from it that keeps this "
                    f"is compiled by itself, which takes seconds"
                )
    return lines


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
        if domain.programs is None and library.knows(source):
            return parse(library.text(source), domain.interface, domain.vocabulary)
        if domain.programs is not None and source in domain.programs:
            return parse(domain.programs[source], domain.interface, domain.vocabulary)
    except ProgramError as error:
        raise ProgramError(f"{source}: {error}") from None
    path = Path(source)
    if not path.exists() and path.parent == Path() and not path.suffix:
        known = library.names() if domain.programs is None else tuple(domain.programs)
        raise ProgramError(
            f"{source}: a program must be a file or one of the library ({', '.join(known)}), got neither"
            f"{nearest(source, known)}"
        )
    return read_program(path, domain.interface, domain.vocabulary)
