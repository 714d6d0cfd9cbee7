"""How programs are searched: configuration, the loop, executors, strategies, proposers, command line."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from discovery.config import Config
    from discovery.config_file import load_config
    from discovery.run import Run

__all__ = ["Run", "Config", "load_config"]


def __getattr__(name: str) -> Any:
    """Loads what is asked for: `pride --help` must not wait for the engine."""
    if name == "Config":
        from discovery.config import Config

        return Config
    if name == "load_config":
        from discovery.config_file import load_config

        return load_config
    if name == "Run":
        from discovery.run import Run

        return Run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
