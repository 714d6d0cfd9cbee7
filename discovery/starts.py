"""Start programs: names from the library or files, made to fit the signature that the search uses."""

from pathlib import Path

from archive.library import names, text
from discovery.config import Config
from evaluators.domain import load
from primitives.graph import check
from primitives.mutate import adopt
from primitives.program import ProgramError
from primitives.text import parse, read_program, render


def load_starts(config: Config) -> list[str]:
    """Returns the texts of the start programs, with as many state variables and inputs as the search may use.

    Raises:
        ValueError: a name that is neither a program of the library nor a file, or a program that does not check.
    """
    domain = load(config.domain)
    found = []
    if len(config.start) > config.batch:
        raise ValueError(
            f"start must fit into the first batch of {config.batch} candidates, got {len(config.start)} programs; "
            f"raise batch"
        )
    inputs = config.inputs or tuple(name for name, _ in domain.interface.inputs)
    for name in config.start:
        try:
            if name in names():
                program = parse(text(name), domain.interface, domain.vocabulary)
            elif Path(name).is_file():
                program = read_program(Path(name), domain.interface, domain.vocabulary)
            else:
                text(name)  # tells the nearest name
                continue
            program = adopt(program, domain.interface, config.states, inputs)
            check(program, domain.vocabulary, config.max_statements)
        except ProgramError as error:
            raise ValueError(f"start: {name}: {error}") from None
        found.append(render(program, domain.vocabulary))
    return found
