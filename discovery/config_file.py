"""Configurations as files: found, read, resolved with the sections of the plug-ins, and written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from archive.strict_yaml import read_yaml, write_yaml
from discovery import proposers, strategies
from discovery.config import Config, options, promotion
from discovery.settings import commented, override, validate
from evaluators.domain import Domain, load
from primitives.names import nearest


def build(data: Mapping[str, Any], where: str = "") -> Config:
    """Returns the configuration that plain data describe, the sections of the plug-ins resolved.

    Args:
        data: nested mappings as YAML gives them; what is left out takes its default.
        where: what the data are (a file), for the error.

    Raises:
        ValueError: an unknown key, a value out of range, an unknown plug-in: one line.
    """
    config = validate(Config, data, where)
    try:
        resolved = {key: section.model_dump(mode="json", by_alias=True) for key, section in sections(config).items()}
        _check_inputs(config)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from None
    domain = load(config.domain)
    return config.model_copy(
        update={
            "start": config.start or domain.start,
            "inputs": config.inputs or domain.inputs,
            "evaluation": resolved["evaluation"],
            "promotion": _changed(resolved.get("promotion", {}), domain),
            "proposer": config.proposer.model_copy(update={"options": resolved["proposer.options"]}),
        }
    )


def _changed(promotion: Mapping[str, Any], domain: Domain) -> dict[str, Any]:
    """What is not the default: a section that is no part of the search must not keep a later Pride from a run."""
    defaults = domain.promotion().model_dump(mode="json") if domain.promotion else {}
    return {key: value for key, value in promotion.items() if value != defaults[key]}


def sections(config: Config) -> dict[str, BaseModel]:
    """Returns the sections of the configuration that plug-ins declare, by dotted key.

    Returns:
        `evaluation`, as the domain's options, `proposer.options`, and `promotion` where the domain has it.

    Raises:
        ValueError: an unknown plug-in, an unknown key, a value out of range.
    """
    strategies.make(config.strategy)
    proposer = proposers.load(config.proposer.name)
    found = {
        "evaluation": options(config),
        "proposer.options": validate(proposer.options, config.proposer.options, prefix="proposer.options"),
    }
    return found | ({"promotion": promotion(config)} if load(config.domain).promotion or config.promotion else {})


def _check_inputs(config: Config) -> None:
    known = [name for name, _ in load(config.domain).interface.inputs]
    for name in config.inputs or ():
        if name not in known:
            raise ValueError(
                f"inputs must be among {', '.join(known)} in the domain {config.domain!r}, got {name!r}"
                f"{nearest(name, known)}"
            )


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Reads a configuration.

    Args:
        source: a file, or the name of a configuration that comes with Pride (`optimizers`).
        overrides: `key=value` assignments that are carried out on the file, `archive.depth=5` for example; the value
            is YAML.

    Returns:
        The resolved configuration.

    Raises:
        ValueError: there is no such file, it is no YAML, or a setting does not hold; the text names file, assignments
            and key.
    """
    path = find_config(source)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"a configuration must be a readable UTF-8 text, got {path}: {error}") from None
    data = read_yaml(text, str(path))
    data = {} if data is None else data
    if not isinstance(data, dict):
        raise ValueError(f"{path}: a configuration must be a mapping `key: value`, got {type(data).__name__}")
    for assignment in overrides:
        override(data, assignment)
    return build(data, " ".join([str(path), *[f"--set {assignment}" for assignment in overrides]]))


def find_config(source: str | Path) -> Path:
    """Returns the file that `source` names: a path, or the name of a configuration that comes with Pride.

    Raises:
        ValueError: there is none.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = shipped_configs()
    name = path.name.removesuffix(".yaml")
    # a path into `configs/` works without a checkout too
    if path.parent in (Path(), Path("configs")) and name in shipped:
        return shipped[name]
    problem = "got a folder" if path.is_dir() else "there is no such file"
    raise ValueError(
        f"a configuration must be a YAML file or one of {', '.join(shipped)}, got {str(source)!r}: {problem}"
        f"{nearest(name, shipped)}"
    )


def shipped_configs() -> dict[str, Path]:
    """Returns the configurations that come with Pride by name."""
    package = Path(__file__).parent
    # a wheel carries them inside the package, a checkout beside it
    for folder in (package / "configs", package.parent / "configs"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    return {}


def dump(config: Config) -> str:
    """Returns a configuration as YAML that `load_config` reads back to an equal one."""
    return write_yaml(config.model_dump(mode="json", by_alias=True))


def describe(domain: str = "optimizers") -> str:
    """Returns all defaults as YAML, each setting under its meaning, range and unit; those of the plug-ins included.

    Raises:
        ValueError: an unknown domain.
    """
    config = build({"domain": domain})
    return commented(config, sections(config)) + "\n"
