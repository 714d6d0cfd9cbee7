"""Start programs: names from the library or files, made to fit the signature that the search uses."""

from discovery.config import Config
from discovery.sources import read_source
from evaluators.domain import load
from primitives.graph import check
from primitives.mutate import adopt
from primitives.program import ProgramError
from primitives.text import render


def load_starts(config: Config) -> list[str]:
    """Returns the texts of the start programs, with as many state variables and inputs as the search may use.

    Raises:
        ValueError: a name that is neither a program of the library nor a file, or a program that does not check.
    """
    domain = load(config.domain)
    start, inputs = config.start or domain.start, config.inputs or domain.inputs
    if len(start) > config.batch:
        raise ValueError(
            f"start must fit into the first batch of {config.batch} candidates, got {len(start)} programs; raise batch"
        )
    states = min(config.states, domain.interface.max_state)
    found, assigned = [], set()
    for name in start:
        try:
            program = adopt(read_source(name, domain), domain.interface, states, inputs)
            check(program, domain.vocabulary, config.max_statements)
        except ProgramError as error:
            text = str(error).removeprefix(f"{name}: ")
            raise ValueError(f"start: {name}: {text}") from None
        found.append(render(program, domain.vocabulary))
        assigned |= {statement.target for statement in program.statements}
    for name in config.frozen:
        if name not in assigned:
            raise ValueError(f"frozen: a name must be assigned to in a start program, got {name!r}; mend the list")
    return found
