"""Commands on single programs: check, simplify, export."""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from discovery.cli.options import DomainName, Json, LibraryFolder, ProgramFile, ProgramFiles
from discovery.cli.output import key_text, print_facts, print_json, remark, say

if TYPE_CHECKING:
    from pydantic import BaseModel

    from evaluators.domain import Domain
    from primitives.card import Card
    from primitives.program import Program

Target = Literal["text", "python", "optax", "torch", "latex", "jax", "c"]


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
    from evaluators.forms import canonical_graph, program_of
    from primitives.program import ProgramError
    from primitives.simplify import canonical_key
    from primitives.text import render, structural_key

    domain = load(domain_name)
    outcome: dict[str, Any] = dict.fromkeys(
        ("file", "valid", "error", "structural", "canonical", "fingerprint", "statements", "canonical_statements",
         "state_buffers", "canonical_text")
    )  # fmt: skip
    outcome.update(file=file, valid=False)
    try:
        program = read_source(file, domain)
        key = structural_key(program, domain.vocabulary)
        outcome.update(structural=key_text(key), statements=len(program.statements))
        graph = canonical_graph(program, domain)
        outcome["error"] = domain.refuse(graph)
    except ProgramError as error:
        outcome["error"] = str(error).removeprefix(f"{file}: ")
        return outcome
    fingerprint = domain.fingerprint(graph) if outcome["error"] is None else None
    outcome.update(
        valid=outcome["error"] is None,
        canonical=key_text(canonical_key(graph)),
        fingerprint=None if fingerprint is None else key_text(fingerprint),
        canonical_statements=graph.size,
        state_buffers=graph.state_buffers,
        canonical_text=render(program_of(graph, domain), domain.vocabulary),
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


def simplify(
    file: ProgramFile,
    domain: DomainName = "optimizers",
    reals: Annotated[
        bool,
        typer.Option("--reals", help="Rewrite over the real numbers too: shorter, but bits change; score it again."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Print the canonical form of a program under readable names: what executes, dead statements gone.

    It behaves bit for bit like the program itself. With --reals it is rewritten by algebra on top, sqrt(m * m) to
    abs(m) for example: easier to read, no longer the same bits.

    Examples:
      pride simplify raw_lion
      pride simplify raw_lion --reals
      pride simplify mine.py > short.py
    """
    from discovery.sources import read_source
    from evaluators.domain import load
    from evaluators.forms import canonical_graph, program_of
    from primitives.emit.text import emit_text
    from primitives.reals import rewrite_over_reals

    where = load(domain)
    program = read_source(file, where)
    graph = canonical_graph(program, where)
    if reals:
        remark("rewritten over the real numbers: its bits differ from the program's; score it before you trust it")
        graph = rewrite_over_reals(graph, where.vocabulary)
    text = emit_text(program_of(graph, where) if reals else program, where.vocabulary, where.dtype)
    if not as_json:
        say(text.rstrip())
        return
    print_json(
        {
            "file": file,
            "text": text,
            "statements": len(program.statements),
            "canonical_statements": graph.size,
            "state_buffers": graph.state_buffers,
        }
    )


def export(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR | NAME | FILE",
            help="A run folder (with ID), a name from the library, or a program text (`-` reads stdin).",
            show_default=False,
        ),
    ],
    number: Annotated[
        int | None,
        typer.Argument(metavar="ID", max=2**63 - 1, help="Number of the program in the run.", show_default=False),
    ] = None,
    *,
    to: Annotated[Target, typer.Option("--to", help="What to write.", show_default=False)],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", metavar="FILE", help="File to write. Default: stdout.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name in the code. Default: the program's own, or rule_<ID>.")
    ] = None,
    folder: LibraryFolder = None,
    domain: DomainName = "optimizers",
    config: Annotated[
        str | None,
        typer.Option(
            "--config", metavar="CONFIG", help="What a program text is for, instead of --domain: target, interval."
        ),
    ] = None,
) -> None:
    """Write a program as source that needs no Pride.

    text: the program in Pride's own language. python: a module on NumPy arrays. optax: a gradient transformation.
    torch: an optimizer of PyTorch. latex: a document with one step as formulas. Approximations of functions can be
    written as python, jax, c, latex and text, with their interval, their error and how it was verified. The default
    learning rate of a rule from a run is the geometric mean of those that served it best on the tasks of its run; a
    rule of the library has that of its card, and hyper-parameters.

    Examples:
      pride export runs/long 4711 --to optax -o found.py
      pride export lion --to torch
      pride export runs/exp2 4711 --to c
    """
    from primitives.card import LEARNING_RATE, Card
    from primitives.emit import emit

    if number is None:
        where, settings = _domain_of(domain, config)
        program, card, dtype = _of_source(source, folder, where)
    else:
        where, program, rate, settings = _of_run(Path(source), number)
        card, dtype = Card(f"rule_{number}", learning_rate=replace(LEARNING_RATE, default=rate)), where.dtype
    if name is not None:
        card = replace(card, name=name)
    if to not in where.exports:
        raise ValueError(
            f"a program of the domain {where.name!r} can be written as {', '.join(where.exports)}, got {to!r}"
        )
    if where.export is not None:
        written = where.export(to, program, settings, card.name)
    else:
        written = emit(to, program, where.vocabulary, card, dtype)
    if out is None:
        say(written.rstrip())
    else:
        out.write_text(written, encoding="utf-8")
        remark(f"written: {out}")


def _of_source(source: str, folder: Path | None, domain: "Domain") -> "tuple[Program, Card, str]":
    """A rule of the library or the program of a text, with its card and the type of its constants."""
    from archive import library
    from discovery.sources import read_source
    from primitives.card import Card

    if Path(source).is_dir():
        raise ValueError(f"give the ID of a program in {source}, as `pride show {source}` prints it")
    if domain.programs is None and library.knows(source, folder):
        entry = library.load(source, folder)
        return entry.program, entry.card, "float64"
    stem = re.sub(r"\W|^(?=\d)", "_", Path(source).stem, flags=re.ASCII) if source != "-" else "rule"
    return read_source(source, domain), Card(stem, summary="an update rule"), domain.dtype


def _domain_of(name: str, config: str | None) -> "tuple[Domain, BaseModel]":
    """A domain and its options: those of a configuration, or its defaults."""
    from discovery.config import options
    from discovery.config_file import load_config
    from evaluators.domain import load

    if config is None:
        domain = load(name)
        return domain, domain.options()
    found = load_config(config)
    return load(found.domain), options(found)


def _of_run(folder: Path, number: int) -> "tuple[Domain, Program, float | None, BaseModel]":
    """Domain, program, best learning rate of a program of a run, and the domain's options there."""
    from archive.store import Store
    from discovery.config import options
    from discovery.report import best_learning_rate, find_program
    from discovery.run import stored_config
    from evaluators.domain import load
    from primitives.text import parse

    with Store.read(folder) as store, store.snapshot():
        config = stored_config(store)
        domain = load(config.domain)
        record = find_program(store, number)
        program = parse(record.text, domain.interface, domain.vocabulary)
        return domain, program, best_learning_rate(store, record), options(config)
