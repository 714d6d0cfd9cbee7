"""Commands that explain what may be set and used: config, primitives."""

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer

from discovery.cli.options import DomainName, Json, Overrides
from discovery.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from primitives.primitive import Primitive


def config(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="[CONFIG]", help="A YAML file, or the name of one that Pride ships.", show_default=False
        ),
    ] = None,
    overrides: Overrides = None,
    domain: DomainName = "optimizers",
) -> None:
    """Print a configuration with everything filled in, or all defaults with their meaning, range and unit.

    What it prints is itself a configuration: save it, change it, run it.

    Examples:
      pride config
      pride config > mine.yaml
      pride config optimizers --set archive.depth=5
    """
    from discovery.config_file import build, describe, dump, load_config
    from discovery.settings import override

    if source is not None:
        say(dump(load_config(source, overrides or ())).rstrip())
    elif overrides:
        data: dict[str, Any] = {"domain": domain}
        for assignment in overrides:
            override(data, assignment)
        say(dump(build(data)).rstrip())
    else:
        say(describe(domain).rstrip())


def primitives(domain: DomainName = "optimizers", as_json: Json = False) -> None:
    """List the operations that programs of a domain may use.

    Kinds: SCALAR is one value for the model, LEAF one for each parameter tensor, TENSOR one for each parameter; `any`
    takes each of them, and lower ones lift to the highest by broadcasting.

    Examples:
      pride primitives
      pride primitives --json
    """
    from evaluators.domain import load

    found = [
        {
            "name": primitive.name,
            "text": _spelling(primitive),
            "aliases": list(primitive.aliases),
            "inputs": [kind.name if kind else "any" for kind in primitive.inputs],
            "output": primitive.output.name if primitive.output else "any",
            "commutative": primitive.commutative,
            "executable": primitive.executable,
            "cost": primitive.cost,
            "meaning": primitive.doc,
            "source": primitive.source,
        }
        for primitive in load(domain).vocabulary.values()
    ]
    if as_json:
        print_json(found)
        return
    print_table(
        ["text", "inputs", "output", "meaning"],
        [
            [
                ", ".join([one["text"], *one["aliases"]]),
                ", ".join(one["inputs"]) or "-",
                one["output"] if one["executable"] else "refused",
                one["meaning"],
            ]
            for one in found
        ],
    )


def _spelling(primitive: "Primitive") -> str:
    """The call as the meaning names its arguments."""
    _, *arguments = inspect.signature(primitive.fn).parameters
    if primitive.infix:
        return f" {primitive.infix} ".join(arguments)
    return f"{primitive.name}({', '.join(arguments)})"
