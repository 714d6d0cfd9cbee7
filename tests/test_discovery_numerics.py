"""Runs, views and exports of the domain of numeric functions, from nothing but y = x."""

import io
import json
import shutil
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numeric_programs import graph, program, random_program
from rich.console import Console
from runs import Disorderly, at_random, contents, execute
from typer.testing import CliRunner

from archive.elite import Elite
from discovery.cli.app import app
from discovery.config import drawn
from discovery.config_file import build, load_config
from discovery.display import panel
from discovery.report import summary
from discovery.run import Run
from evaluators.forms import canonical_graph
from evaluators.numerics import DOMAIN, textbook
from evaluators.numerics.emit import TARGETS, export
from evaluators.numerics.float32 import sample32
from evaluators.numerics.options import Options
from evaluators.numerics.structure import read
from evaluators.numerics.targets import target_of
from evaluators.numerics.verify import verify
from primitives.compile import compile_step
from primitives.layout import Layout
from primitives.ops import REALS
from primitives.program import ProgramError
from primitives.reference import step
from primitives.text import parse

EXP2 = target_of("exp2", None, None)
X = np.linspace(0.01, 1.0, 33)


def configuration(**changes):
    return build(
        {
            "domain": "numerics",
            "strategy": {"name": "front"},
            "proposer": {"name": "dataflow"},
            "hurdle": {"quantile": 0.5, "warm_up": 8},
            "archive": {"pessimism": 0.0},
            "reevaluate": 0.0,
            "batch": 32,
            "budget": 640,
        }
        | changes
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("numerics") / "run"
    execute(configuration(), place)
    return place


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_search_from_the_identity_finds_the_best_of_few_operations(folder):
    rows = {row["operations"]: row for row in summary(folder)["front"]}
    assert rows[0]["program"] == DOMAIN.programs["identity"]
    assert rows[1]["relative error"] == pytest.approx(3.56e-2, rel=1e-2)
    assert rows[2]["relative error"] == pytest.approx(2.98e-2, rel=1e-2)


def test_what_stands_in_the_archive_is_the_refitted_program(folder):
    """The error that the front shows is that of the text beside it."""
    for row in summary(folder)["front"]:
        canonical = canonical_graph(row["program"], DOMAIN)
        assert verify(canonical, EXP2).error == pytest.approx(row["relative error"], rel=5e-3)
        assert canonical.size == row["operations"]


def test_the_front_falls_and_names_the_textbook(folder):
    rows = summary(folder)["front"]
    errors = [row["relative error"] for row in rows]
    assert errors == sorted(errors, reverse=True)
    assert all(row["textbook"] > 0.0 and row["its form"] for row in rows)


def test_sums_that_make_one_constant_of_two_floats_are_no_operations_of_the_front():
    elite = Elite.scored(7, 7, 0, 17, [4.0], {"operations": 11.0, "decade": -16.0})
    assert DOMAIN.front is not None
    (row,) = DOMAIN.front(Options(), [elite])
    assert row["operations"] == 11
    assert row["textbook"] == textbook.best(EXP2, 11).error


def test_a_run_is_a_function_of_configuration_and_seed(tmp_path, folder):
    with Run.create(configuration(), tmp_path / "run") as run:
        run.execute(executor=Disorderly(run, 3, at_random(1)))
    assert contents(tmp_path / "run") == contents(folder)


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, folder):
    with Run.create(configuration(budget=320), tmp_path / "run") as run:
        run.execute()
    with Run.resume(tmp_path / "run", 640) as run:
        run.execute()
    assert contents(tmp_path / "run") == contents(folder)


def test_one_structure_is_fitted_once(folder):
    held = contents(folder)
    keys = [record[7] for record in held["programs"] if record[7] is not None]
    assert len(keys) == len(set(keys))


def test_breeding_draws_the_operations_that_the_configuration_names():
    wide = drawn(configuration(operations=["add", "sqrt", "fma"]))
    assert {one.name for one in wide.drawn} == {"add", "sqrt", "fma"}
    assert {one.name for one in drawn(configuration()).drawn} == {"add", "subtract", "multiply", "divide"}
    with pytest.raises(ValueError, match="operations: a vocabulary holds known primitives, got 'sin'"):
        drawn(configuration(operations=["sin"]))


@pytest.mark.parametrize("interval", ["[-1, 1]", [-1, 1]])
def test_a_target_that_cannot_be_is_told_before_a_run_begins(interval):
    with pytest.raises(ValueError, match=r"the target 'log2' on \[-1, 1\] must be real and finite"):
        configuration(evaluation={"target": "log2", "interval": interval})


@pytest.mark.parametrize("name", ["exp2", "exp", "log2", "sin", "cos", "erf", "bessel_j0"])
def test_the_shipped_configurations_have_their_target(name):
    config = load_config(name)
    assert config.domain == "numerics"
    assert config.evaluation["target"] == name


def test_the_live_view_shows_the_front(tmp_path):
    seen = []
    with Run.create(configuration(budget=96), tmp_path / "run") as run:
        run.execute(watch=seen.append)
    console = Console(record=True, width=160, file=io.StringIO())
    console.print(panel(seen[-1], height=40))
    text = console.export_text()
    assert "textbook" in text
    assert "y = x" in text


# --- commands ---------------------------------------------------------------------------------------------------------


def invoke(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args], catch_exceptions=False)


def test_show_prints_the_front(folder):
    shown = invoke("show", folder)
    assert shown.exit_code == 0
    assert "relative error" in shown.stdout
    assert "continued fraction" in shown.stdout or "polynomial" in shown.stdout


def test_score_and_baselines(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def approximate(x):\n    y = x + 3.0\n    y = 8.0 / y\n    y = y + 1.0\n    return y\n")
    (found,) = json.loads(invoke("score", file, "--config", "exp2", "--json").stdout)
    assert found["status"] == "ok"
    assert found["tasks"]["exp2"]["loss"] == pytest.approx(8.67e-4, rel=5e-3)
    forms = json.loads(invoke("baselines", "--config", "exp2", "--json").stdout)
    assert forms["continued fraction (2, 2)"]["operations"] == 6


def test_export_of_a_run_and_of_a_file(folder, tmp_path):
    number = summary(folder)["front"][-1]["id"]
    written = invoke("export", folder, number, "--to", "c", "--name", "exp2f")
    assert "double exp2f(double x)" in written.stdout
    assert "max relative error" in written.stdout
    file = tmp_path / "mine.py"
    file.write_text("def approximate(x):\n    y = x * 0.5\n    return y\n")
    written = invoke("export", file, "--to", "python", "--config", "sin")
    assert "sin on (0, 0.7853981633974483]" in written.stdout
    with pytest.raises(ValueError, match="can be written as python, jax, c, latex, text, got 'optax'"):
        invoke("export", folder, number, "--to", "optax")


# --- exports: law 1 ---------------------------------------------------------------------------------------------------


def executions(source: str, name: str) -> np.ndarray:
    names: dict = {}
    exec(source, names)  # noqa: S102  (what Pride wrote)
    with np.errstate(all="ignore"):
        return np.broadcast_to(names[name](X), X.shape)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_executions_agree_in_float64(seed):
    one = random_program(seed)
    canonical = canonical_graph(one, DOMAIN)
    with np.errstate(all="ignore"):
        (wanted,), _ = step(canonical, REALS, Layout(((len(X),),)), {"x": X}, ())
    with jax.enable_x64(True):
        (compiled,), _ = compile_step(canonical, REALS, Layout(((len(X),),)))({"x": jnp.asarray(X)}, ())
    np.testing.assert_allclose(np.broadcast_to(compiled, X.shape), wanted, rtol=1e-12)


FOUND = (
    "v = 25.55 / x; v = v + x; v = v - 8.84; v = 17.7 / v; w = sqrt(v); w = w * w; v = v + w; "
    "v = fma(v, 0.5, -1e-3); y = v + 1.0"
)


@pytest.mark.parametrize("target", TARGETS)
def test_what_is_written_says_interval_error_and_how(target):
    text = " ".join(export(target, program(FOUND), Options(), "exp2").replace("*", " ").replace("%", " ").split())
    assert "exp2 on (0, 1]" in text
    assert "max relative error" in text
    assert "50 digits" in text


def test_python_and_jax_sources_agree_with_the_reference():
    (wanted,), _ = step(graph(FOUND), REALS, Layout(((len(X),),)), {"x": X}, ())
    np.testing.assert_allclose(executions(export("python", program(FOUND), Options(), "f"), "f"), wanted, rtol=1e-14)
    with jax.enable_x64(True):
        found = executions(export("jax", program(FOUND), Options(), "f"), "f")
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_c_source_agrees_with_the_reference(tmp_path):
    source = export("c", program(FOUND), Options(), "f")
    loop = '#include <stdio.h>\nint main(void) { double x; while (scanf("%lf", &x) == 1) printf("%.17g\\n", f(x)); }\n'
    (tmp_path / "f.c").write_text(source + loop)
    subprocess.run(["cc", "-Wall", "-Werror", "-o", tmp_path / "f", tmp_path / "f.c", "-lm"], check=True)
    given = "\n".join(map(repr, X.tolist()))
    found = subprocess.run([tmp_path / "f"], input=given, capture_output=True, text=True, check=True).stdout
    (wanted,), _ = step(graph(FOUND), REALS, Layout(((len(X),),)), {"x": X}, ())
    np.testing.assert_allclose([float(line) for line in found.split()], wanted, rtol=1e-13)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_c_source_of_the_regime_of_float32_has_the_error_that_it_says(tmp_path):
    horner = "y = x * 0.078125; y = y + 0.2265625; y = y * x; y = y + 0.6953125; y = y * x; y = y + 1.0"
    source = export("c", program(horner), Options(arithmetic="float32"), "f")
    points = sample32(EXP2, 2_000)
    loop = '#include <stdio.h>\nint main(void) { float x; while (scanf("%f", &x) == 1) printf("%.9g\\n", f(x)); }\n'
    (tmp_path / "f.c").write_text(source + loop)
    options = ["-Wall", "-Werror", "-ffp-contract=off"]
    subprocess.run(["cc", *options, "-o", tmp_path / "f", tmp_path / "f.c", "-lm"], check=True)
    given = "\n".join(map(repr, points.x.tolist()))
    found = subprocess.run([tmp_path / "f"], input=given, capture_output=True, text=True, check=True).stdout
    y = np.array(found.split(), dtype=np.float32).astype(np.float64)
    worst = (np.abs(y - points.f) / points.ulp).max()
    assert f"max error {worst:.3f} ULP" in " ".join(source.replace("*", " ").split())


def test_written_text_is_a_program_again():
    text = export("text", program(FOUND), Options(), "f")
    again = parse(text, DOMAIN.interface, DOMAIN.vocabulary)
    one, other = read(canonical_graph(again, DOMAIN)), read(graph(FOUND))
    assert one is not None
    assert other is not None
    assert one.structure == other.structure


def test_what_cannot_be_written_is_told():
    with pytest.raises(ValueError, match=r"a target must be one of python, .*got 'cc'"):
        export("cc", program("y = x"), Options(), "f")
    with pytest.raises(ValueError, match="must be named by an identifier"):
        export("c", program("y = x"), Options(), "2f")
    for name in ("lambda", "double"):
        with pytest.raises(ValueError, match="must be named by an identifier"):
            export("c", program("y = x"), Options(), name)
    with pytest.raises(ValueError, match="constants must be finite in float64"):
        export("c", program("c = 1e300 * 1e300; y = x + c"), Options(), "f")
    with pytest.raises(ProgramError, match="must depend on x"):
        export("c", program("y = 2.0"), Options(), "f")
