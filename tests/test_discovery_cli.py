"""The command line: what it prints, how it ends, and that no mistake of a user ends in a traceback."""

import ast
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import toy

from archive import library
from archive.folder import StoreError
from archive.store import Store
from discovery import display
from discovery.cli import app
from discovery.cli.output import plain
from discovery.sources import slow_sources
from evaluators.domain import load
from primitives.text import parse

ROOT = Path(__file__).parent.parent
COMMANDS = ("run", "resume", "show", "program", "promote", "score", "baselines", "check", "simplify", "export",
            "config", "primitives", "bench")  # fmt: skip
SHOWN = ("domain", "seed", "batches", "candidates", "evaluations", "invalid", "hits", "hurdled", "failures", "elites",
         "cells", "coverage", "qd_score", "best", "top", "steps", "seconds", "finished")  # fmt: skip
TOY = "domain: toy:DOMAIN\nbudget: 320\nstart: [sgd]\nbatch: 32\n"


@pytest.fixture
def pride(monkeypatch, capsys, tmp_path):
    """Runs a command in this process, in an empty folder; returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.yaml").write_text(TOY)
    # wide, so that no message is broken where a test looks for it
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args):
        monkeypatch.setattr(sys, "argv", ["pride", *map(str, args)])
        capsys.readouterr()
        status = 0
        try:
            app.main()
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        return status, out, err

    return call


def start(*args, folder, **streams):
    """Starts a command as a process of its own."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", "from discovery.cli.app import main; main()", *map(str, args)]
    return subprocess.Popen(command, cwd=folder, env=environment, text=True, **streams)


# --- help and exit status ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(pride, command):
    status, out, _ = pride(command, "--help")
    assert status == 0
    assert f"pride {command}" in out
    assert "Example" in out


def test_the_main_help_names_every_command_and_where_to_start(pride):
    status, out, _ = pride("--help")
    assert status == 0
    assert all(f" {command} " in out for command in COMMANDS)
    assert "pride run optimizers" in out


def test_the_readme_names_every_command():
    text = (ROOT / "README.md").read_text()
    assert not [command for command in COMMANDS if f"`pride {command}" not in text]


def test_the_example_of_the_readme_runs(tmp_path):
    """As it stands there, but for the budget and for Ray."""
    (example,) = re.findall(r"```python\n(from discovery import .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    small = example.replace("budget=5m", "budget=128").replace("workers=2", "workers=1")
    assert len(example) - len(small) == len("5m") - len("128")
    (tmp_path / "example.py").write_text(small)
    ended = subprocess.run([sys.executable, "example.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert [line.split()[0] for line in ended.stdout.splitlines() if line[0].isdigit()] == ["64", "128"]
    assert " statements" in ended.stdout


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["runn"],
        ["run"],
        ["run", "toy.yaml", "--nonsense"],
        ["run", "toy.yaml", "--workers", "0"],
        ["run", "toy.yaml", "--workers", "two"],
        ["run", "toy.yaml", "--gpus-per-worker", "-1"],
        ["resume", "runs/x", "--address"],
        ["program", "runs/x", "first"],
        ["export", "lion"],
        ["export", "lion", "--to", "cobol"],
        ["score", "lion"],
        ["show", "runs/x", "--top", "0"],
    ],
)
def test_wrong_usage_ends_with_2(pride, args):
    status, _, err = pride(*args)
    assert status == 2
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["run", "toyy.yaml"], "a configuration must be a YAML file or one of"),
        (["run", "toy.yaml", "--budget", "5x"], "budget must be a number of candidates (20000) or a time"),
        (["run", "toy.yaml", "--budget", "0"], "budget must be"),
        (["run", "toy.yaml", "--set", "batch"], "--set needs key=value"),
        (["run", "toy.yaml", "--set", "batch=0"], "batch must be an integer from 1 to"),
        (["run", "toy.yaml", "--set", "bach=8"], "unknown key 'bach'; did you mean 'batch'?"),
        (["run", "toy.yaml", "--set", "start=[sgdd]"], "sgd"),
        (["run", "toy.yaml", "--set", "domain=toyy"], "a domain must be one of"),
        (["resume", "nowhere"], "nowhere"),
        (["resume", "nowhere", "--budget", "soon"], "budget must be"),
        (["show", "nowhere"], "nowhere"),
        (["show", "."], "run folder"),
        (["program", "nowhere", "1"], "nowhere"),
        (["export", "nowhere", "1", "--to", "text"], "nowhere"),
        (["export", "lionn", "--to", "text"], "did you mean 'lion'?"),
        (["export", "lion", "--to", "python", "--name", "a b"], "a b"),
        (["export", "lion", "--to", "text", "-o", "no/such/folder/x.py"], "no/such/folder"),
        (["export", ".", "--to", "text"], "give the ID of a program"),
        (["simplify", "toy.yaml"], "toy.yaml: "),
        (["config", "--set", "x.y=1"], "unknown key 'x'"),
        (["config", "--domain", "nowhere"], "a domain must be one of"),
        (["primitives", "--domain", "optimizer"], "did you mean 'optimizers'?"),
        (["score", "lion", "--config", "nowhere"], "a configuration must be"),
    ],
)
def test_a_users_error_is_one_line_and_ends_with_1(pride, args, words):
    status, out, err = pride(*args)
    assert status == 1
    assert out == ""
    assert err.startswith("pride: ")
    assert err.count("\n") == 1
    assert words in err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--address", "head"], "an address must be HOST:PORT of a cluster's head, or auto, got 'head'"),
        (["--address", "127.0.0.1:1"], "a Ray cluster must run at 127.0.0.1:1, got: Connection refused"),
        (["--gpus-per-worker", "1.5"], "gpus_per_worker must be a share from 0 to 1 or a whole number, got 1.5"),
    ],
)
def test_a_place_where_no_worker_can_be_is_told_and_leaves_no_run(pride, args, words):
    status, out, err = pride("run", "toy.yaml", "--out", "a", *args)
    assert (status, out) == (1, "")
    told, error = err.splitlines()
    assert told == "run folder: a"
    assert error.startswith(f"pride: {words}")
    assert not Path("a").exists()


def test_traceback_shows_where_an_error_came_up(pride, monkeypatch):
    with pytest.raises(ValueError, match="a configuration must be"):
        pride("--traceback", "config", "nowhere")
    assert pride("config", "nowhere")[0] == 1


def test_quick_commands_load_neither_jax_nor_ray_nor_the_loop():
    probe = (
        "import sys\nfrom discovery.cli.app import app\n"
        "for args in (['--help'], ['config'], ['config', 'optimizers'], ['check', 'lion'],\n"
        "             ['simplify', 'lion']):\n"
        "    try: app(args)\n"
        "    except SystemExit: pass\n"
        "print([m for m in ('jax', 'ray', 'torch', 'scipy', 'discovery.run') if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.strip() == "[]"


def test_a_closed_pipe_is_quiet(tmp_path):
    process = start("primitives", folder=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    process.wait(timeout=60)


# --- settings ---------------------------------------------------------------------------------------------------------


def test_config_prints_what_run_takes(pride):
    status, described, _ = pride("config")
    assert status == 0
    Path("mine.yaml").write_text(described)
    resolved = pride("config", "mine.yaml")
    assert resolved[0] == 0
    Path("again.yaml").write_text(resolved[1])
    assert pride("config", "again.yaml")[1] == resolved[1]
    assert "depth: 7" in pride("config", "mine.yaml", "--set", "archive.depth=7")[1]
    assert "depth: 7" in pride("config", "--set", "archive.depth=7")[1]


def test_primitives_lists_the_vocabulary(pride):
    vocabulary = load("optimizers").vocabulary
    listed = json.loads(pride("primitives", "--json")[1])
    assert [one["name"] for one in listed] == list(vocabulary)
    text = pride("primitives")[1]
    assert text.count("\n") == len(vocabulary) + 1
    assert "interpolate(x, y, a), interp" in text


# --- programs ---------------------------------------------------------------------------------------------------------


def test_check_tells_what_json_readers_rely_on(pride):
    Path("twice.py").write_text(
        "def train(w, g, lr):\n  x = lr * g\n  dead = x + x\n  return x\n".replace("x", "update")
    )
    Path("bad.py").write_text("def train(w, g, lr):\n  update = nosuch(g)\n  return update\n")
    status, out, _ = pride("check", "sgd", "twice.py", "bad.py", "nofile.py", "--json")
    assert status == 1
    sgd, twice, bad, missing = json.loads(out)
    assert list(sgd) == ["file", "valid", "error", "structural", "canonical", "fingerprint", "statements",
                         "canonical_statements", "state_buffers", "canonical_text"]  # fmt: skip
    assert sgd["valid"]
    assert sgd["error"] is None
    assert sgd["structural"] != twice["structural"]
    assert (sgd["canonical"], sgd["fingerprint"]) == (twice["canonical"], twice["fingerprint"])
    assert (twice["statements"], twice["canonical_statements"], twice["state_buffers"]) == (2, 1, 0)
    assert not bad["valid"]
    assert "nosuch" in bad["error"]
    assert bad["canonical"] is None
    assert not missing["valid"]


def test_check_of_valid_programs_ends_with_0(pride):
    status, out, err = pride("check", *library.names())
    assert status == 0
    assert err == ""
    assert all(f"{name}: valid" in out for name in library.names())


def test_check_reads_stdin(pride, monkeypatch, tmp_path):
    (tmp_path / "in").write_text(library.text("lion"))
    with (tmp_path / "in").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        status, out, _ = pride("check", "-", "--json")
    assert status == 0
    lion = json.loads(pride("check", "lion", "--json")[1])[0]
    assert json.loads(out)[0] == {**lion, "file": "-"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def train(w, g, lr):\n  update = g *\n  return update\n", "line 2"),
        ("def train(w, g, lr):\n  update = g * lr\n", "return"),
        ("def train(w, g, lr):\n  update = clip_by_global_norm(g, g)\n  return update\n", "SCALAR"),
        ("import os\ndef train(w, g, lr):\n  return g\n", "import"),
        ("def train(w, g, lr):\n  update = g.real\n  return update\n", "attribute"),
        ("def train(w, g, lr):\n  update = " + "abs(" * 1000 + "g" + ")" * 1000 + "\n  return update\n", "line"),
        ("def train(w, g, lr):\n  update = w * lr\n  return update\n", "gradient"),
        ("", "one function"),
        ("\x00", "null byte"),
    ],
)
def test_a_program_that_is_none_is_told(pride, text, words):
    Path("bad.py").write_text(text)
    status, out, err = pride("check", "bad.py")
    assert status == 1
    assert err == ""
    assert "not valid: " in out
    assert words in out


def test_a_huge_file_is_refused_unread(pride, tmp_path):
    with (tmp_path / "huge.py").open("wb") as file:
        file.truncate(100_000_000)
    began = time.monotonic()
    status, out, _ = pride("check", "huge.py")
    assert status == 1
    assert "100000000" in out
    assert time.monotonic() - began < 2.0


def test_a_program_that_overflows_is_valid_and_has_no_fingerprint(pride):
    Path("wild.py").write_text("def train(w, g, lr):\n  update = exp(g)\n  update = 1e30 / update\n"
                               "  update = exp(update)\n  return update\n")  # fmt: skip
    status, out, _ = pride("check", "wild.py", "--json")
    assert status == 0
    assert json.loads(out)[0]["fingerprint"] is None


def test_simplify_keeps_the_behaviour(pride):
    status, text, _ = pride("simplify", "raw_lion")
    assert status == 0
    Path("short.py").write_text(text)
    long, short = json.loads(pride("check", "raw_lion", "short.py", "--json")[1])
    assert (long["canonical"], long["fingerprint"]) == (short["canonical"], short["fingerprint"])
    assert short["statements"] <= 12
    told = json.loads(pride("simplify", "raw_lion", "--json")[1])
    assert (told["canonical_statements"], told["state_buffers"]) == (short["statements"], 1)


@pytest.mark.parametrize("target", ["text", "python", "optax"])
def test_export_writes_a_file_or_stdout(pride, target):
    status, out, _ = pride("export", "adamw_uncorrected", "--to", target)
    assert status == 0
    ast.parse(out)
    status, nothing, told = pride("export", "adamw_uncorrected", "--to", target, "-o", "rule.py")
    assert (status, nothing, told) == (0, "", "written: rule.py\n")
    assert Path("rule.py").read_text().rstrip() == out.rstrip()


def test_export_writes_formulas(pride):
    status, out, _ = pride("export", "lion", "--to", "latex")
    assert status == 0
    assert out.startswith("\\documentclass")
    Path("mine.py").write_text("def train(g, m, lr):\n    m = m + g\n    update = m * lr\n    return update, m\n")
    assert pride("export", "mine.py", "--to", "latex", "-o", "mine.tex")[0] == 0
    assert "w &\\leftarrow w - \\eta m" in Path("mine.tex").read_text()


def test_plain_data_are_json():
    data = {"a": float("nan"), "b": (1.5, float("inf"), None, True), 3: {"c": "x"}}
    assert json.loads(json.dumps(plain(data), allow_nan=False)) == {"a": None, "b": [1.5, None, None, True],
                                                                    "3": {"c": "x"}}  # fmt: skip


# --- runs -------------------------------------------------------------------------------------------------------------


def test_a_run_is_made_shown_resumed_and_exported(pride):
    status, out, err = pride("run", "toy.yaml", "--workers", "1", "--out", "a", "--json")
    assert status == 0
    ended = json.loads(out)
    assert set(SHOWN) <= set(ended)
    assert (ended["candidates"], ended["finished"]) == (320, True)
    assert set(ended["hits"]) == {"structural", "canonical", "functional"}
    assert ended["workers"]["alive"] == len(ended["workers"]["busy"]) == 1
    assert 0.0 < ended["workers"]["driver_load"] < 1.0
    assert {"id", "score", "program", "descriptors"} <= set(ended["best"])
    assert "run folder: a" in err
    assert "candidates" in err

    assert json.loads(pride("show", "a", "--json")[1]) == ended
    assert len(json.loads(pride("show", "a", "--top", "2", "--json")[1])["top"]) == 2
    status, shown, _ = pride("show", "a")
    assert status == 0
    assert all(word in shown for word in ("known before", "coverage", "1 worker, busy", "score", "rule"))
    assert "restarts" not in shown

    best = ended["best"]["id"]
    report = json.loads(pride("program", "a", best, "--json")[1])
    domain = load("toy:DOMAIN")
    parse(report["text"], domain.interface, domain.vocabulary)
    assert {"lineage", "evaluations"} <= set(report)
    status, shown, _ = pride("program", "a", best)
    assert status == 0
    assert all(word in shown for word in ("canonical form", "lineage", "evaluations", "def train("))
    for target in ("text", "python", "optax"):
        status, code, _ = pride("export", "a", best, "--to", target)
        assert status == 0
        ast.parse(code)
    assert "align*" in pride("export", "a", best, "--to", "latex")[1]
    status, _, err = pride("program", "a", 10**9)
    assert status == 1
    assert str(10**9) in err

    status, _, err = pride("run", "toy.yaml", "--out", "a")
    assert status == 1
    assert "resume" in err
    status, out, _ = pride("resume", "a", "--budget", "640", "--workers", "1", "--json")
    assert status == 0
    resumed = json.loads(out)
    assert pride("run", "toy.yaml", "--budget", "640", "--workers", "1", "--out", "b")[0] == 0
    whole = json.loads(pride("show", "b", "--json")[1])
    timed = ("seconds", "seconds_by_part", "workers")
    assert {k: v for k, v in resumed.items() if k not in timed} == {k: v for k, v in whole.items() if k not in timed}


def test_a_run_ends_with_the_best_and_what_to_type_next(pride):
    status, out, _ = pride("run", "toy.yaml", "--workers", "1", "--out", "somewhere")
    assert status == 0
    for command in ("pride program somewhere", "pride export somewhere", "pride resume somewhere --budget"):
        assert command in out


def test_show_tells_of_second_evaluations_and_restarts(pride):
    settings = ("reevaluate=0.2", "restart={from: best, patience: 1}")
    assert pride("run", "toy.yaml", "--workers", "1", "--out", "a", *(f"--set={one}" for one in settings))[0] == 0
    found = json.loads(pride("show", "a", "--json")[1])
    shown = pride("show", "a")[1]
    assert f"corrected QD score {found['corrected']['qd_score']:.4g}" in shown
    assert f"restarts         {found['restarts']}\n" in shown


def test_a_run_that_can_never_begin_leaves_no_folder(pride):
    """Fails before the fix: the folder was in the way of the run that was meant."""
    for _ in range(2):
        status, _, err = pride(
            "run", "optimizers", "--out", "new", "--workers", "1", "--set", "evaluation.tasks=[digit_mlp]"
        )
        assert status == 1
        assert err.splitlines()[-1].startswith("pride: ")
        assert "digits_mlp" in err
        assert not Path("new").exists()


def test_a_full_disk_before_the_first_batch_leaves_the_run(pride, monkeypatch):
    """What it says of going on holds: fails before the fix, where the folder was taken away."""
    commit = Store.commit
    monkeypatch.setattr(Store, "commit", lambda *_: (_ for _ in ()).throw(StoreError("the disk must have room")))
    status, _, err = pride("run", "toy.yaml", "--workers", "1", "--out", "full")
    assert status == 1
    assert "must have room" in err
    monkeypatch.setattr(Store, "commit", commit)
    assert pride("resume", "full", "--workers", "1")[0] == 0


def test_state_that_is_missing_is_told(pride):
    assert pride("run", "toy.yaml", "--workers", "1", "--out", "a", "--budget", "64")[0] == 0
    for table in ("plans", "state"):
        with sqlite3.connect("a/run.sqlite") as db:
            db.execute(f"DELETE FROM {table}")
        db.close()
        status, _, err = pride("resume", "a", "--workers", "1", "--budget", "128")
        assert status == 1
        assert "must hold all of its state" in err


def test_a_run_at_its_end_says_that_there_is_nothing_to_do(pride):
    assert pride("run", "toy.yaml", "--workers", "1", "--out", "a b", "--budget", "64")[0] == 0
    for budget in ([], ["--budget", "10"]):
        status, out, err = pride("resume", "a b", "--workers", "1", *budget)
        assert status == 0
        assert "nothing to do: budget" in err
        assert "pride resume 'a b' --budget" in out


@pytest.mark.parametrize("number", ["99999999999999999999999", "9223372036854775808"])
def test_a_number_beyond_all_ids_is_wrong_usage(pride, number):
    for command in (["program", "a", number], ["export", "a", number, "--to", "text"]):
        assert pride(*command)[0] == 2


def test_odd_surroundings_end_in_no_traceback(tmp_path):
    """A closed stdin, a folder that is gone, a terminal of no width, a terminal without Unicode."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    pride = f"{sys.executable} -c 'from discovery.cli.app import main; main()'"
    (tmp_path / "ñ☃.py").write_text(library.text("sgd"))
    for script, status, words in (
        (f"{pride} check - <&-", 1, "closed"),
        (f"mkdir gone; cd gone; rmdir ../gone; {pride} primitives", 1, "pride: "),
        (f"COLUMNS=0 {pride} check sgd", 0, "sgd: valid"),
        (f"PYTHONIOENCODING=ascii {pride} check ñ☃.py", 0, "\\u2603.py: valid"),
        (f"{pride} export sgd --to text -o nowhere/x.py", 1, "nowhere/x.py must be a place that can be used"),
    ):
        environment = {**os.environ, "PYTHONPATH": path}
        ended = subprocess.run(script, shell=True, cwd=tmp_path, env=environment, capture_output=True, check=False)
        text = (ended.stdout + ended.stderr).decode()
        assert ended.returncode == status, (script, text)
        assert words in text
        assert "Traceback" not in text


def test_failures_of_both_sorts_count():
    assert display.failures(3, {"invalid": 5, "no_op": 1}) == "invalid 8, no op 1"
    assert display.failures(0, {"no_op": 0}) == "none"


def test_a_run_without_a_folder_makes_one_under_runs(pride):
    assert pride("run", "toy.yaml", "--workers", "1", "--budget", "32")[0] == 0
    (folder,) = Path("runs").iterdir()
    assert folder.name.startswith("toy-")
    assert pride("show", folder)[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(tmp_path, number):
    (tmp_path / "toy.yaml").write_text(TOY + "evaluation: {delay: 0.005}\n")
    process = start("run", "toy.yaml", "--budget", "1h", "--workers", "1", "--out", "a", folder=tmp_path,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    told = process.stderr.readline() + process.stderr.readline()
    assert "candidates" in told, "the first line of progress"
    process.send_signal(number)
    lines = iter(process.stderr.readline, "")
    told = next((line for line in lines if line.startswith("stopping")), "")
    assert "To go on:  pride resume a" in told, "at once: a scheduler may kill before the batches in flight have ended"
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped; everything is kept. To go on:  pride resume a" in err
    assert "Traceback" not in err
    assert "pride program a" in out, "the best so far is shown all the same"
    process = start("resume", "a", "--budget", "320", "--workers", "1", "--json", folder=tmp_path,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert json.loads(out)["finished"]


# --- judging ----------------------------------------------------------------------------------------------------------


def test_score_judges_files_and_names_like_candidates(pride):
    Path("mine.py").write_text(library.text("sgd"))
    Path("idle.py").write_text("def train(w, lr):\n  update = w * lr\n  return update\n")
    files = ("sgd", "mine.py", "lion", "idle.py")
    status, out, _ = pride("score", *files, "--config", "toy.yaml", "--replicates", "2", "--json")
    assert status == 0
    found = json.loads(out)
    assert [one["file"] for one in found] == list(files)
    assert all(set(one) == {"file", "status", "score", "tasks", "descriptors", "message"} for one in found)
    assert found[0]["score"] == found[1]["score"] != found[2]["score"]
    assert found[0]["score"] == pytest.approx(0.0, abs=1e-6), "the toy's baseline is gradient descent"
    assert found[3]["status"] == "no_op"
    status, text, _ = pride("score", *files, "--config", "toy.yaml", "--stage", "short")
    assert status == 0
    assert all(word in text for word in (*files, "bowl", "no_op", "gradient"))


def test_score_of_what_is_no_program_ends_with_1(pride):
    Path("bad.py").write_text("import os\n")
    status, out, _ = pride("score", "sgd", "bad.py", "--config", "toy.yaml", "--json")
    assert status == 1
    assert [one["status"] for one in json.loads(out)] == ["ok", "invalid"]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["score", "sgd", "--config", "toy.yaml", "--stage", "fulll"], "did you mean 'full'?"),
        (["score", "sgd", "--config", "toy.yaml", "--learning-rates", "wide"], "wide"),
        (["baselines", "--config", "toy.yaml"], "baseline"),
    ],
)
def test_what_a_domain_lacks_is_told(pride, args, words):
    status, out, err = pride(*args)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert words in err


def test_bench_prints_a_page_or_json_and_writes_a_file(pride, monkeypatch):
    # the measurement itself takes minutes
    from discovery import bench

    monkeypatch.setattr(bench, "bench", lambda: {"interpreter_geomean": 1.25, "device": "cpu"})
    monkeypatch.setattr(bench, "markdown", lambda found: f"# Performance\n\n{found['interpreter_geomean']}\n")
    status, out, err = pride("bench", "-o", "page.md")
    assert (status, out, err) == (0, "# Performance\n\n1.25\n", "written: page.md\n")
    assert Path("page.md").read_text() == out
    assert json.loads(pride("bench", "--json")[1]) == {"interpreter_geomean": 1.25, "device": "cpu"}


# --- library ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["list", "show", "add"])
def test_every_command_on_the_library_explains_itself_with_examples(pride, command):
    status, out, _ = pride("library", command, "--help")
    assert status == 0
    assert f"pride library {command}" in out
    assert "Example" in out


def test_the_library_is_listed_whole(pride):
    status, out, _ = pride("library", "list", "--json")
    assert status == 0
    found = json.loads(out)
    assert [one["name"] for one in found] == list(library.names())
    assert all(one["summary"] and one["title"] for one in found)


def test_a_rule_is_shown_with_formulas_hyper_parameters_and_program(pride):
    _, text, _ = pride("library", "show", "lion")
    for part in ("c = beta1 m + (1 - beta1) g", "weight_decay", "Chen et al. 2023", "def train(w, g, m, lr):"):
        assert part in text
    _, out, _ = pride("library", "show", "lion", "--json")
    assert json.loads(out)["hyperparameters"]["beta1"]["default"] == 0.9


def test_what_is_added_is_listed_shown_and_exported(pride, tmp_path):
    (tmp_path / "mine.py").write_text(
        "def train(g, m, lr):\n    m = interp(g, m, 0.9)\n    update = m * lr\n    return update, m\n"
    )
    assert pride("library", "add", "mine.py", "--library", "own")[0] == 0
    assert "mine" in pride("library", "list", "--library", "own")[1]
    assert "def mine(" in pride("export", "mine", "--library", "own", "--to", "optax")[1]
    status, _, err = pride("library", "add", "mine.py", "--library", "own")
    assert status == 1
    assert "must have a name of its own, got 'mine'" in err
    status, _, err = pride("library", "show", "mine")
    assert status == 1
    assert "a rule must be one of" in err


def test_a_rule_is_exported_with_its_hyper_parameters(pride):
    _, source, _ = pride("export", "lion", "--to", "torch")
    assert "class Lion(torch.optim.Optimizer):" in source
    assert "beta1: float = 0.9" in source
    assert "class Better(" in pride("export", "lion", "--to", "torch", "--name", "better")[1]


def test_a_start_that_is_compiled_by_itself_is_told(pride, monkeypatch):
    domain = load("optimizers")
    (line,) = slow_sources(["muon", "adamw", "-", "nowhere", "muon"], domain)
    assert line.startswith("muon has newton_schulz, which is not interpreted:")
    monkeypatch.setattr(toy, "DOMAIN", replace(toy.DOMAIN, compiled=lambda graph: "polar"))
    status, _, err = pride("score", "sgd", "--config", "toy.yaml")
    assert (status, err.count("sgd has polar, which is not interpreted")) == (0, 1)
    status, _, err = pride("run", "toy.yaml", "--set", "frozen=[nothing]")
    assert (status, err.count("sgd has polar, which is not interpreted")) == (1, 1)
