"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document for machines on stdout.")]

Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change one setting, for example archive.depth=5; may be given often."
    ),
]

Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=100_000,
        metavar="N",
        help="Processes that share the work; 1 runs in process. Default: one a GPU, without one a core, or all that a "
        "cluster holds.",
    ),
]

Address = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT", help="Ray cluster to join; `auto` is the one that this machine or this job belongs to."
    ),
]


def _leave_gpus(gpus_per_worker: float | None) -> float | None:
    """Where no worker gets a GPU this process takes none either, and says so of its device."""
    if gpus_per_worker == 0.0:
        os.environ["JAX_PLATFORMS"] = "cpu"
    return gpus_per_worker


Gpus = Annotated[
    float | None,
    typer.Option(
        "--gpus-per-worker",
        min=0.0,
        metavar="X",
        callback=_leave_gpus,
        help="GPUs that each worker gets: a share (0.25), a whole number, or 0 to compute on cores. Default: workers "
        "of this machine share its GPUs, those of a cluster have none.",
    ),
]

ConfigSource = Annotated[
    str,
    typer.Option("--config", metavar="CONFIG", help="Configuration: a YAML file, or the name of one that Pride ships."),
]

DomainName = Annotated[
    str,
    typer.Option("--domain", metavar="NAME", help="What programs are for: a domain's name, or package.module:NAME."),
]

RunFolder = Annotated[Path, typer.Argument(metavar="DIR", help="A run folder.", show_default=False)]

ProgramFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE...", help="Program texts, or names from the library; `-` reads stdin.", show_default=False
    ),
]

ProgramFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE", help="Program text, or a name from the library; `-` reads stdin.", show_default=False
    ),
]

LibraryFolder = Annotated[
    Path | None,
    typer.Option("--library", metavar="PATH", help="A library of your own, where names are looked up first."),
]
