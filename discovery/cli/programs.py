"""Commands on single programs: check, simplify, export."""

from typing import Any

import typer

from discovery.cli.options import DomainName, Json, ProgramFiles
from discovery.cli.output import key_text, print_facts, print_json, say


def check(files: ProgramFiles, domain: DomainName = "optimizers", as_json: Json = False) -> None:
    """Check programs: text, kinds, canonical form, keys, size, state.

    Two programs with the same canonical key are the same program written differently; two with the same fingerprint
    behave alike on the domain's probe. Exit status 1 where a program is not valid.

    Examples:
      pride check mine.py
      pride check mine.py lion --json
      pride program runs/long 4711 --json | jq -r .text | pride check -
    """
    found = [_checked(file, domain) for file in files]
    if as_json:
        print_json(found)
    else:
        for i, one in enumerate(found):
            if i:
                say()
            _print_checked(one)
    if not all(one["valid"] for one in found):
        raise typer.Exit(1)


def _checked(file: str, domain_name: str) -> dict[str, Any]:
    from discovery.sources import read_source
    from evaluators.domain import load
    from primitives.graph import check as lower
    from primitives.program import ProgramError, structural_key
    from primitives.simplify import canonical_key, canonicalize, to_program
    from primitives.text import render

    domain = load(domain_name)
    outcome: dict[str, Any] = dict.fromkeys(
        ("file", "valid", "error", "structural", "canonical", "fingerprint", "statements", "canonical_statements",
         "state_buffers", "canonical_text")
    )  # fmt: skip
    outcome.update(file=file, valid=False)
    try:
        program = read_source(file, domain)
        outcome.update(structural=key_text(structural_key(program)), statements=len(program.statements))
        graph = canonicalize(lower(program, domain.vocabulary), domain.vocabulary, domain.dtype)
        outcome["error"] = domain.refuse(graph)
    except ProgramError as error:
        outcome["error"] = str(error).removeprefix(f"{file}: ")
        return outcome
    outputs = tuple(name for name, _ in domain.interface.outputs)
    inputs = tuple(name for name, _ in domain.interface.inputs)
    fingerprint = domain.fingerprint(graph) if outcome["error"] is None else None
    outcome.update(
        valid=outcome["error"] is None,
        canonical=key_text(canonical_key(graph)),
        fingerprint=None if fingerprint is None else key_text(fingerprint),
        canonical_statements=graph.size,
        state_buffers=len(graph.state),
        canonical_text=render(to_program(graph, outputs, domain.interface.function, inputs), domain.vocabulary),
    )
    return outcome


def _print_checked(one: dict[str, Any]) -> None:
    if one["canonical"] is None:
        say(f"{one['file']}: not valid: {one['error']}")
        return
    say(f"{one['file']}: {'valid' if one['valid'] else 'not valid: ' + one['error']}")
    print_facts(
        {
            "statements": f"{one['statements']}, {one['canonical_statements']} in the canonical form",
            "state buffers": one["state_buffers"],
            "structural key": one["structural"],
            "canonical key": one["canonical"],
            "fingerprint": one["fingerprint"] or "none (not finite on the probe)",
        }
    )
    say(one["canonical_text"].rstrip())
