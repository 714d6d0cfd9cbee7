"""Whether Python finds Pride's own packages: their names are generic and others may have taken them."""

import importlib.util
from importlib.metadata import packages_distributions
from pathlib import Path

PACKAGES = ("primitives", "archive", "evaluators", "discovery")
DISTRIBUTION = "pride"


def check_imports() -> None:
    """Checks that `primitives`, `archive`, `evaluators` and `discovery` are the ones that belong together.

    Raises:
        ValueError: a package is missing, is a module file that shadows it, stands in another folder than the rest, or
            another distribution has installed one of the same name.
    """
    home = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        # find_spec imports nothing: a stranger's module must not run
        spec = importlib.util.find_spec(name)
        wanted = home / name / "__init__.py"
        if spec is None or spec.origin is None:
            raise ValueError(f"Pride's package {name!r} must be at {wanted}, found none; install Pride anew")
        found = Path(spec.origin).resolve()
        if found != wanted:
            raise ValueError(
                f"Pride's package {name!r} must be {wanted}, got {found}, which shadows it; "
                f"rename that file or run from another folder"
            )
    owners = packages_distributions()
    for name in PACKAGES:
        others = sorted({owner for owner in owners.get(name, ()) if owner.lower() != DISTRIBUTION})
        if others:
            raise ValueError(
                f"the package {name!r} must belong to {DISTRIBUTION!r} alone, got also {', '.join(others)}; "
                f"install Pride in an environment of its own"
            )
