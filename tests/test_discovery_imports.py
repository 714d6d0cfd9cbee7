"""Pride's packages are found, whole and unshadowed: in a checkout and from the wheel."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from discovery import imports
from discovery.imports import PACKAGES, check_imports

ROOT = Path(__file__).parent.parent


def test_the_packages_of_this_environment_belong_together():
    check_imports()


def test_a_module_that_shadows_a_package_is_told(tmp_path):
    (tmp_path / "archive.py").write_text("raise SystemExit('a stranger ran')\n")
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import discovery.imports\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        "discovery.imports.check_imports()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ValueError: Pride's package 'archive' must be ")
    assert str(tmp_path / "archive.py") in last
    assert "a stranger ran" not in done.stderr


def test_another_distribution_with_a_package_of_the_name_is_told(monkeypatch):
    monkeypatch.setattr(imports, "packages_distributions", lambda: {"archive": ["pride", "archive-tools"]})
    with pytest.raises(ValueError, match="'archive' must belong to 'pride' alone, got also archive-tools"):
        check_imports()


def test_a_missing_package_is_told(monkeypatch):
    monkeypatch.setattr(imports, "PACKAGES", (*PACKAGES, "no_such_package_of_pride"))
    with pytest.raises(ValueError, match=r"'no_such_package_of_pride' must be at .*, found none"):
        check_imports()


def test_the_wheel_holds_everything_and_works_outside_the_checkout(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True, timeout=120)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    packaged = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    tracked = subprocess.run(["git", "ls-files", *PACKAGES], cwd=ROOT, capture_output=True, text=True, timeout=60)
    there = {name for name in tracked.stdout.split() if (ROOT / name).exists()}
    assert not there - packaged, "files of the checkout that the wheel lacks"
    assert {f"discovery/configs/{path.name}" for path in (ROOT / "configs").glob("*.yaml")} <= packaged
    # nothing but the wheel's own packages and metadata at the top level
    assert {name.split("/")[0] for name in packaged} <= {*PACKAGES, *(p.name for p in site.glob("pride-*.dist-info"))}

    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from discovery.imports import check_imports; check_imports()\n"
        "import archive, discovery, evaluators, primitives\n"
        "print(*{m.__file__ for m in (archive, discovery, evaluators, primitives)}, sep='\\n')\n"
        "from discovery.config_file import load_config\n"
        "assert load_config('optimizers') == load_config('configs/optimizers.yaml')\n"
        "from discovery.cli.app import app; app(['check', 'lion'], standalone_mode=False)"
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(site)) == len(PACKAGES)
    assert "lion: valid" in done.stdout


def test_the_readme_holds_the_command_that_ci_runs():
    readme = (ROOT / "README.md").read_text()
    (command,) = re.findall(r"<!-- test command -->\n```sh\n(.*?)```", readme, re.DOTALL)
    # one pip call: torch in a call of its own could be replaced by what the rest asks for
    assert "torch==2.13.0" in command.split("&&")[0]
    assert "scripts/check.sh" in command
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()


def test_the_layers_are_those_of_the_contract():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert contracts[0]["layers"] == list(reversed(PACKAGES))
