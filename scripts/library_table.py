"""The library's rules and how far they are from their authorities, in every execution: docs/library.md.

    python scripts/library_table.py

It runs what the tests of the library run (`tests/parity.py`).
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from archive import library
from discovery.device import describe

IMPOSSIBLE = {
    "U-DoG, UniXGrad": "two gradients a step, at points other than the parameters",
    "AI-SARAH": "gradients at several points, a full pass over the data, restarts",
    "SMB": "the loss at a trial point, and a step that depends on it",
    "OptEx": "gradients at several points, a history of pairs",
    "M-FAC": "a linear system over a history of a thousand gradients",
    "FOSI": "Lanczos iterations with Hessian-vector products",
    "EGN, Gauss-Newton": "the Jacobian of every example",
    "Newton, cubic and damped Newton": "the whole Hessian",
    "CBO": "a population of iterates",
}
"""Rules that no program of this language can be, and what they need."""
HOW = """The largest difference from the authority after 25 steps in float64 on a 6 x 4 matrix and a vector of 4, with
the gradient 0.5 w + noise, at learning rates 0.1 and 0.001 (1.7 where they are the largest step of Polyak's);
hyper-parameters are the defaults of the cards. Relative to the longest way of a parameter, where that is above 1.
Columns: statement by statement, compiled by JAX, and the exported modules for NumPy, optax and PyTorch."""


def main(out: Annotated[Path, typer.Option(help="Where the page goes.")] = Path("docs/library.md")) -> None:
    """Measures every rule against its authority and writes the page."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import parity  # type: ignore[import-not-found]

    executions = [name for name in parity.EXECUTIONS if name != "torch, joined"]
    rows = []
    for name in (*library.names(), *parity.CAUTIOUS):
        entry, authority = library.load(name), parity.AUTHORITIES[name]
        found = [max(parity.difference(name, execution, rate) for rate in authority.rates) for execution in executions]
        kinds = dict(entry.program.signature.outputs)
        buffers = " ".join(f"{state}: {kinds[state]}" for state in entry.program.signature.state)
        given = ", ".join(one.name for one in entry.card.hyperparameters)
        rows.append([f"`{name}`", entry.card.title, given, buffers, authority.name, *(f"{x:.0e}" for x in found)])
        print(" ".join(rows[-1]), file=sys.stderr)
    columns = ["rule", "title", "hyper-parameters", "state", "authority", *executions]
    lines = [f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *sorted(rows))]
    impossible = [f"| {name} | {reason} |" for name, reason in IMPOSSIBLE.items()]
    machine = describe()
    out.write_text(
        f"""# Library

`python scripts/library_table.py`, {time.strftime("%Y-%m-%d")}, {machine["processor"]}.

Every rule is a program with a card: `pride library show lion` prints it, `pride export lion --to torch` writes it as
code that needs no Pride, `archive.library.load("lion")` gives it to optax and PyTorch.

{HOW}

{chr(10).join(lines)}

A running mean that has become infinite is NaN at the next step in PyTorch, whose `lerp` moves it (so it does in
torch.optim), and stays infinite elsewhere.

## What can't be said in the language

| method | what it needs |
| --- | --- |
{chr(10).join(impossible)}

Where a rule here is less than its paper, its card says so: OASIS has a fixed learning rate (the adaptive one needs two
gradients of one batch), optimistic AMSGrad guesses the next gradient from the last two, SOAP turns one side of a
matrix, Shampoo has a diagonal for vectors.
""",
        "utf-8",
    )


if __name__ == "__main__":
    typer.run(main)
