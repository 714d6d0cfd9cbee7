"""The library: known and promoted rules, each a program with a card, to use in optax and in PyTorch.

    from archive.library import load
    tx = load("lion").optax(learning_rate=1e-4, weight_decay=0.1)
    opt = load("lion").torch(model.parameters(), lr=1e-4)

A library is a folder with one file a rule, `<name>.py`: its card in YAML as the docstring, then a function in the
language of `primitives.text`, which is parsed and never imported. A name is looked up in the folder of the user's own
that is given, then in the one that comes with Pride (`rules`).
"""

import ast
import copyreg
import linecache
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib import import_module, resources
from inspect import Parameter, Signature
from inspect import signature as signature_of
from pathlib import Path
from types import ModuleType
from typing import Any

from archive.library.card import read_card, write_card
from archive.library.cautious import PREFIX, cautious, cautious_card
from archive.strict_yaml import read_yaml
from primitives.card import Card, HyperParameter
from primitives.emit import emit
from primitives.emit.module import class_name, plain, read_parts
from primitives.names import nearest
from primitives.ops import LIBRARY
from primitives.program import OPTIMIZER, Program, ProgramError, key_of
from primitives.syntax import tree
from primitives.text import parse, read_text, render

FORMAT = 1
"""Format of the folders that this version reads and writes, in `library.yaml`."""
_BUILT_IN = Path(str(resources.files(__name__).joinpath("rules")))
_MARK = "library.yaml"


@dataclass(frozen=True)
class Entry:
    """A rule of a library.

    Args:
        card: what it says of itself.
        text: its program.
        folder: the library that it is from.
    """

    card: Card
    text: str
    folder: Path

    @property
    def program(self) -> Program:
        """The program, its hyper-parameters at their defaults."""
        return parse(self.text, OPTIMIZER, LIBRARY)

    def source(self, target: str) -> str:
        """Returns source that needs no Pride.

        Args:
            target: `optax`, `torch`, `python` (NumPy), `latex` or `text` (Pride's own language).

        Raises:
            ValueError: an unknown target.
        """
        return emit(target, self.program, LIBRARY, self.card, "float64")

    @property
    def optax(self) -> Callable[..., Any]:
        """The factory `optax(learning_rate, **hyperparameters)` of an `optax.GradientTransformationExtraArgs`.

        The learning rate is a number or a schedule; what is left out has the default of the card. Its signature names
        the hyper-parameters, so that `optax.inject_hyperparams(entry.optax)` finds them. It raises a ValueError for an
        unknown hyper-parameter, one out of range or no learning rate, an ImportError where optax is not installed.
        """
        _require("optax")
        rate = self.card.learning_rate
        parameters = [Parameter("learning_rate", Parameter.POSITIONAL_OR_KEYWORD, default=rate.default)]
        parameters += [
            Parameter(one.name, Parameter.POSITIONAL_OR_KEYWORD, default=one.default)
            for one in self.card.hyperparameters
        ]
        signature = Signature(parameters)
        make = getattr(_module(self, "optax"), self.card.name)

        def factory(*args: Any, **given: Any) -> Any:
            self._known(given.keys() - {"learning_rate"})
            bound = dict(signature.bind(*args, **given).arguments)
            learning_rate = self._rate("learning_rate", bound.pop("learning_rate", None))
            return make(learning_rate, **self._checked(bound, make))

        factory.__signature__ = signature  # type: ignore[attr-defined]
        factory.__name__, factory.__doc__ = self.card.name, make.__doc__
        return factory

    def torch(
        self,
        params: Any,
        lr: Any = None,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        **hyperparameters: Any,
    ) -> Any:
        """Returns the rule as a `torch.optim.Optimizer`.

        Args:
            params: parameters, or groups of them as dicts.
            lr: learning rate; None means the default of the card.
            maximize: whether to climb the objective instead of descending.
            foreach: whether to join the tensors of a group; None means on a GPU only. Rules that see whole tensors
                have no such way and take None only.
            hyperparameters: values for those of the card; others keep their defaults.

        Raises:
            ValueError: an unknown hyper-parameter, one out of range, no learning rate.
            ImportError: PyTorch is not installed.
        """
        _require("torch")
        make = getattr(_module(self, "torch"), class_name(self.card))
        given = self._checked(hyperparameters, make)
        given["lr"] = self._rate("lr", lr)
        if foreach is not None:
            given["foreach"] = foreach
        return make(params, maximize=maximize, **given)

    def _rate(self, name: str, given: Any) -> Any:
        rate = self.card.learning_rate
        if given is None and rate.default is None:
            raise ValueError(
                f"{self.card.name} must be given a learning rate, got none; it has no default: give {name}"
            )
        return rate.default if given is None else _checked(rate, given)

    def _known(self, names: Iterable[str]) -> dict[str, HyperParameter]:
        """Returns the hyper-parameters by name, if all `names` are among them."""
        known = {parameter.name: parameter for parameter in self.card.hyperparameters}
        for name in names:
            if name not in known:
                have = f"one of {', '.join(known)}" if known else "left out: this rule has none"
                raise ValueError(
                    f"a hyper-parameter of {self.card.name} must be {have}, got {name!r}{nearest(name, known)}"
                )
        return known

    def _checked(self, given: Mapping[str, Any], make: Callable[..., Any]) -> dict[str, Any]:
        """Returns the values that are in range, of the hyper-parameters that the emitted code uses."""
        known, used = self._known(given), signature_of(make).parameters
        checked = {name: _checked(known[name], value) for name, value in given.items()}
        return {name: value for name, value in checked.items() if name in used}


def _checked(parameter: HyperParameter, value: Any) -> Any:
    """Returns a value that is in range; schedules and arrays are left to the optimizer."""
    if isinstance(value, int | float | str | bytes) or value is None:
        return parameter.check(value)
    with suppress(TypeError):  # what a schedule and a traced array raise: they have no number, or none yet
        parameter.check(float(value))
    return value


def _require(module: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} must be installed for this, got: {error}; pip install {module}") from None


@lru_cache(maxsize=256)
def _module(entry: Entry, target: str) -> ModuleType:
    """Returns the emitted source as a module: what is used is what `source` gives.

    It is among `sys.modules`, where `torch.compile` looks functions up by the name of their module.
    """
    source = entry.source(target)
    name = f"pride_{target}_{entry.card.name}_{key_of(source.encode()) & 0xFFFFFFFF:08x}"
    module = ModuleType(name, source.splitlines()[0])
    module.__file__ = f"<{name}>"
    linecache.cache[module.__file__] = (len(source), None, source.splitlines(keepends=True), module.__file__)
    sys.modules[name] = module
    exec(compile(source, module.__file__, "exec"), module.__dict__)  # noqa: S102  (our own emitter's text)
    if target == "torch":
        copyreg.pickle(getattr(module, class_name(entry.card)), partial(_reduced, entry))
    return module


def _reduced(entry: Entry, optimizer: Any) -> tuple[Any, ...]:
    """What pickle keeps of a PyTorch optimizer: its rule in place of a module that another process does not have."""
    return _blank, (entry,), optimizer.__getstate__()


def _blank(entry: Entry) -> Any:
    """Returns an optimizer of a rule without its state."""
    make = getattr(_module(entry, "torch"), class_name(entry.card))
    return make.__new__(make)


# --- folders ----------------------------------------------------------------------------------------------------------


def names(folder: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Returns the names of the rules in alphabetical order: those of a folder, if one is given, and the built-in ones.

    Raises:
        ValueError: the folder can't be read, or a newer version has written it.
    """
    return tuple(sorted({path.stem for place in _places(folder) for path in _files(place)}))


def knows(name: str, folder: str | os.PathLike[str] | None = None) -> bool:
    """Returns whether `load` finds a rule of that name; errors as for `names`."""
    return name.removeprefix(PREFIX) in names(folder)


def load(name: str, folder: str | os.PathLike[str] | None = None) -> Entry:
    """Returns a rule.

    Args:
        name: its name; `cautious_` and the name of a rule is its cautious form.
        folder: a library of the user's own, where it is looked up first.

    Raises:
        ValueError: there is no rule of that name, its card misses something, or its folder is of a newer format.
        ProgramError: its program is not of the language.
    """
    for place in _places(folder):
        path = place / f"{name}.py"
        if path in _files(place):
            return read(path)
    if str(name).startswith(PREFIX):
        return _cautious(load(name.removeprefix(PREFIX), folder))
    known = names(folder)
    hint = nearest(str(name), known) or "; choose one of them"
    raise ValueError(f"a rule must be one of {', '.join(known)}, got {name!r}{hint}")


def _cautious(base: Entry) -> Entry:
    """Returns the cautious form of a rule."""
    decays = any(one.name == "weight_decay" for one in base.card.hyperparameters)
    path = base.folder / f"{PREFIX}{base.card.name}.py"
    try:
        program = render(cautious(base.program, decays), LIBRARY)
        return _entry(write_card(cautious_card(plain(base.card)), program), path)
    except ValueError as problem:
        raise type(problem)(f"{path.stem}: {problem}") from None


def text(name: str) -> str:
    """Returns the text of a built-in rule, card and program.

    Raises:
        ValueError: there is no rule of that name.
    """
    return load(name).text


def read(path: Path) -> Entry:
    """Returns the rule in a file: a card and a program.

    Raises:
        ValueError: the card is not as it must be, or does not fit the program; the text begins with the path.
    """
    try:
        return _entry(read_text(path), path)
    except ProgramError as problem:
        raise ProgramError(f"{path}: {problem}") from None
    except (OSError, ValueError) as problem:
        raise ValueError(f"{path}: {problem}") from None


def _entry(content: str, path: Path) -> Entry:
    program = parse(content, OPTIMIZER, LIBRARY)
    card = read_card(content, path.stem, program)
    read_parts(program, LIBRARY, card, "float64")  # what can't be written is no rule of a library
    return Entry(card, content, path.parent)


def add(source: Path, folder: str | os.PathLike[str], name: str | None = None) -> Entry:
    """Adds a program to a library of the user's own, atomically.

    A file without a card gets one: its name, and where it came from.

    Args:
        source: file with a program of the language, such as a program of the published search space.
        folder: the library; it is made where there is none.
        name: name of the rule; None means that of the file.

    Raises:
        ValueError: a rule has that name already, or the folder can't be written.
        ProgramError: the program is not of the language.
    """
    name = name or source.stem
    place = Path(folder)
    known = names(folder if place.exists() else None)
    if name in known:
        raise ValueError(f"a new rule must have a name of its own, got {name!r}, which is there; give another name")
    try:
        content = read_text(source)
        if ast.get_docstring(tree(content)) is None:
            card = {"title": name[:40], "summary": f"an update rule of {source.name}"[:60]}
            content = write_card(card, f"{content.strip()}\n")
        entry = _entry(content, place / f"{name}.py")
    except ProgramError as problem:
        raise ProgramError(f"{source}: {problem}") from None
    except (OSError, ValueError) as problem:
        raise ValueError(f"{source}: {problem}") from None
    try:
        place.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _write(place / _MARK, f"format: {FORMAT}\n")
        _write(place / f"{name}.py", content)
    except FileExistsError:
        raise ValueError(
            f"a new rule must have a name of its own, got {name!r}, which is there; give another name"
        ) from None
    except OSError as problem:
        raise ValueError(f"a library must be a folder that can be written, got {place}: {problem.strerror}") from None
    return entry


def _write(path: Path, content: str) -> None:
    """Writes a new file in one piece: whoever looks finds all of it or none, and of two who write one is refused."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("x", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)  # unlike a renaming it fails where the file is there
    finally:
        temporary.unlink(missing_ok=True)


def _places(folder: str | os.PathLike[str] | None) -> tuple[Path, ...]:
    """The folders to look into, in order; each is checked."""
    if folder is None:
        return (_BUILT_IN,)
    place = Path(folder)
    if not place.is_dir():
        raise ValueError(f"a library must be a folder, got {str(place)!r}; `pride library add` makes one")
    mark = place / _MARK
    if mark.exists():
        try:
            found = read_yaml(mark.read_text("utf-8"), str(mark))
        except (OSError, UnicodeDecodeError) as problem:
            raise ValueError(f"{mark}: must say `format: {FORMAT}`, got {problem}; mend it") from None
        number = found.get("format") if isinstance(found, dict) else None
        if type(number) is not int or number < 1:
            raise ValueError(f"{mark}: must say `format: {FORMAT}`, got {found!r}; mend it")
        if number > FORMAT:
            raise ValueError(
                f"{place}: a library must be of format {FORMAT} or older, got {number}; install a newer Pride"
            )
    return place, _BUILT_IN


def _files(place: Path) -> list[Path]:
    return [path for path in place.glob("*.py") if path.is_file() and path.name[0] not in "._"]
