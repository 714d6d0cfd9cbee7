"""Commands on the library: list, show, add."""

from pathlib import Path
from typing import Annotated

import typer

from discovery.cli.options import Json, LibraryFolder
from discovery.cli.output import print_facts, print_json, print_table, remark, say


def list_rules(folder: LibraryFolder = None, as_json: Json = False) -> None:
    """List the rules: name, state buffers, inputs and what they are.

    A + beside the number of state buffers, which are as large as the parameters, tells of a few numbers more. `value`
    is the loss, `noise` standard normal numbers, `hessian_diagonal` an estimate that the training loop must give.
    `cautious_NAME` is the cautious form of a rule.

    Examples:
      pride library list
      pride library list --library my_rules --json
    """
    from archive.library import load, names
    from primitives.kinds import SMALL

    found = []
    for name in names(folder):
        try:
            entry = load(name, folder)
        except ValueError as problem:  # one that can't be read hides no other
            remark(f"left out: {problem}")
            continue
        signature = entry.program.signature
        kinds = dict(signature.outputs)
        small = [name for name in signature.state if kinds[name] in SMALL]
        found.append(
            {
                "name": name,
                "title": entry.card.title,
                "summary": entry.card.summary,
                "state_buffers": len(signature.state) - len(small),
                "small_state": small,
                "inputs": [given for given, _ in signature.inputs if given not in signature.state],
                "source": entry.card.source,
                "library": str(entry.folder),
            }
        )
    if as_json:
        print_json(found)
        return
    rows = [
        [
            str(one["name"]),
            f"{one['state_buffers']}{' +' * bool(one['small_state'])}",
            " ".join(one["inputs"]),
            one["summary"],
        ]
        for one in found
    ]
    print_table(["name", "state buffers", "inputs", "what it is"], rows)


def show_rule(
    name: Annotated[str, typer.Argument(help="Name of the rule.", show_default=False)],
    folder: LibraryFolder = None,
    as_json: Json = False,
) -> None:
    """Show a rule: formulas, hyper-parameters, advice, source, program.

    Examples:
      pride library show lion
      pride library show mine --library my_rules
    """
    from archive.library import load
    from primitives.ops import LIBRARY
    from primitives.text import render

    entry = load(name, folder)
    card, program = entry.card, render(entry.program, LIBRARY).rstrip()
    if as_json:
        print_json(
            {
                "name": name,
                "title": card.title,
                "summary": card.summary,
                "mathematics": card.mathematics,
                "learning_rate": card.learning_rate.default,
                "hyperparameters": {
                    one.name: {"default": one.default, "range": str(one.range), "doc": one.doc}
                    for one in card.hyperparameters
                },
                "advice": card.advice,
                "source": card.source,
                "provenance": card.provenance,
                "scores": card.scores,
                "ablation": card.ablation,
                "library": str(entry.folder),
                "text": program,
            }
        )
        return
    say(card.heading)
    say()
    for line in card.mathematics.splitlines():
        say(f"    {line}")
    say()
    facts = {"learning rate": str(card.learning_rate.default)}
    facts |= {one.name: f"{one.default} in {one.range}: {one.doc}" for one in card.hyperparameters}
    facts |= {key: getattr(card, key) for key in ("advice", "source", "provenance", "scores", "ablation")}
    print_facts({key: value for key, value in facts.items() if value})
    say()
    say(program)


def add_rule(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Program text, with a card or without.", show_default=False)
    ],
    folder: Annotated[
        Path,
        typer.Option(
            "--library", metavar="PATH", help="The library; it is made where there is none.", show_default=False
        ),
    ],
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="Name of the rule. Default: that of the file.")
    ] = None,
) -> None:
    """Add a program to a library of your own, after its check.

    A file without a card gets one. No rule of that name may be there, nor among those of Pride.

    Examples:
      pride library add mine.py --library my_rules
      pride library add found.py --library my_rules --name better
    """
    from archive.library import add

    entry = add(file, folder, name)
    remark(
        f"added: {entry.folder / entry.card.name}.py; see it:  pride library show {entry.card.name} --library {folder}"
    )
