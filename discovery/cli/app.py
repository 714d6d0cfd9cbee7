"""The command `pride`: its commands, and how errors leave it."""

import inspect
import io
import os
import sys
import warnings
from typing import Annotated

import typer

from discovery.cli import judge, programs, promotion, rules, runs, settings

app = typer.Typer(
    name="pride",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

_options = {"traceback": False}


@app.callback(epilog="Start here:  pride run optimizers")
def _pride(
    traceback: Annotated[bool, typer.Option("--traceback", help="Show where in the code an error came up.")] = False,
) -> None:
    """Breeds algorithms: searches for programs that beat what people wrote by hand, and gives them back as code.

    Exit status: 0 done, 1 an error that one line explains, 2 wrong usage, 130 interrupted (everything is kept).
    """
    _options["traceback"] = traceback


def _help(text: str) -> str:
    """A docstring with the lines of a paragraph joined, so that the terminal's width breaks them; examples stay."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(p if p.startswith("Example") else " ".join(p.split()) for p in paragraphs)


for _panel, _commands in {
    "Search": (runs.run, runs.resume, runs.show, runs.program, promotion.promote),
    "Programs": (judge.score, judge.baselines, programs.check, programs.simplify, programs.export),
    "Settings and measurements": (settings.config, settings.primitives, judge.bench),
}.items():
    for _command in _commands:
        app.command(_command.__name__, help=_help(_command.__doc__ or ""), rich_help_panel=_panel)(_command)

_library = typer.Typer(no_args_is_help=True, help="Known and promoted rules: list, show, add.")
for _name, _command in {"list": rules.list_rules, "show": rules.show_rule, "add": rules.add_rule}.items():
    _library.command(_name, help=_help(_command.__doc__ or ""))(_command)
app.add_typer(_library, name="library", rich_help_panel="Programs")


def main() -> None:
    """Runs the command line; a user's error ends in one line on stderr and exit status 1."""
    warnings.filterwarnings("ignore", category=SyntaxWarning)  # Python's remarks on a program's text
    if os.environ.get("COLUMNS") == "0":  # rich would print nothing
        del os.environ["COLUMNS"]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.path.append(os.getcwd())  # where `module:NAME` of the user's own may lie; a script does not look there
        app()
    except (ValueError, OSError) as error:
        if _options["traceback"]:
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename} must be a place that can be used, got: {error.strerror}; choose another"
        print(f"pride: {text}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
