"""The library: every rule against an authority in every execution; loading, adding, and what goes wrong."""

import copy
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from inputs import LAYOUT, draw_inputs
from parity import (
    AUTHORITIES,
    CAUTIOUS,
    DECAYED,
    EXECUTIONS,
    VARIANTS,
    by_optax,
    by_torch,
    compiled,
    difference,
    problem,
    torch_step,
)

from archive import library
from discovery.sources import read_source
from evaluators.domain import load as load_domain
from primitives.graph import check
from primitives.ops import HERO, LIBRARY
from primitives.program import OPTIMIZER, ProgramError
from primitives.reference import step, zero_state
from primitives.text import parse

MINE = '''"""
title: Mine
summary: a rule of my own
hyperparameters:
  beta: {range: "[0, 1)", doc: "decay rate"}
"""


def train(g, m, lr):
    beta = 0.5
    m = interpolate(g, m, beta)
    update = m * lr
    return update, m
'''

WHOLE = {
    *("raw_lion", "lars", "lamb", "normalized_gd", "lion_k_l2"),
    *("cautious_lion", "cautious_adamw", "median_clipping_l2", "fadam"),
    *("dog", "ldog", "prodigy", "novograd", "induced_metric", "random_scaling_sgdm"),
    *("schedule_free_sgd", "schedule_free_adamw"),
    *("polyak_sgd", "ali_g", "mom_sps", "alr_smag", "sania_adagrad", "sania_adam"),
    *("mars", "gravity", "adafactor", "sgdp", "adamp", "riemannian_adam_sphere"),
    *("sophia", "adahessian", "oasis"),
    *("lion_k_nuclear", "psgd_kron", "signed_root_momentum", "cube_root_descent"),
}
"""Rules that see whole tensors, keep a number for the model or are given more than gradients: nothing is joined."""


def test_every_rule_has_an_authority():
    assert set(AUTHORITIES) == {*library.names(), *CAUTIOUS}


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("name", AUTHORITIES)
def test_parity(name, execution):
    if execution == "torch, joined" and name in WHOLE:
        with pytest.raises(TypeError, match="foreach"):
            EXECUTIONS[execution](name, 0.1)
        return
    for lr in AUTHORITIES[name].rates:
        assert difference(name, execution, lr) < 1e-12


@pytest.mark.parametrize("name", VARIANTS)
def test_other_hyper_parameters_are_those_of_the_authority(name):
    hyper, authority = VARIANTS[name]
    entry = library.load(name)
    for lr in authority.rates:
        expected = authority.train(lr)
        for found in (
            by_optax(entry.optax(lr, **hyper), problem(name)),
            by_torch(lambda params, lr=lr: entry.torch(params, lr, **hyper), torch_step, problem(name)),
        ):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("name", DECAYED)
def test_weight_decay_is_that_of_the_authority(name):
    entry = library.load(name)
    for lr in (0.1, 1e-3):
        expected = DECAYED[name].train(lr)
        for found in (
            by_optax(entry.optax(lr, weight_decay=0.2)),
            by_torch(lambda params, lr=lr: entry.torch(params, lr, weight_decay=0.2), torch_step),
        ):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-12)


def test_every_weight_decay_has_an_authority():
    own = {
        name
        for name in (*library.names(), *CAUTIOUS)
        if "weight_decay" in [p.name for p in library.load(name).card.hyperparameters]
    }
    assert own == {*DECAYED, "fadam"}


def test_bias_correction_is_seen():
    assert np.abs(compiled("adam", 0.1)[0] - compiled("adam_uncorrected", 0.1)[0]).max() > 1e-2
    assert np.abs(compiled("adamw", 0.1)[0] - compiled("adam", 0.1)[0]).max() > 1e-3
    assert np.abs(compiled("amsgrad", 0.1)[0] - compiled("amsgrad_corrected", 0.1)[0]).max() > 1e-3


def test_the_published_program_is_kept_whole():
    program = parse(library.text("raw_lion"), OPTIMIZER, HERO)
    assert len(program.statements) == 21
    assert program.signature.state == ("m", "v")


@pytest.mark.parametrize("name", ["adamw_uncorrected", "adam_uncorrected", "raw_lion"])
def test_what_the_published_search_knows_is_in_its_words(name):
    parse(library.text(name), OPTIMIZER, HERO)


# --- hyper-parameters -------------------------------------------------------------------------------------------------


def test_hyper_parameters_are_arguments_of_both():
    ours = by_optax(library.load("lion").optax(0.01, beta1=0.5, beta2=0.7, weight_decay=0.3))
    theirs = by_optax(optax.lion(0.01, b1=0.5, b2=0.7, weight_decay=0.3))
    joined = by_torch(lambda p: library.load("lion").torch(p, 0.01, beta1=0.5, beta2=0.7, weight_decay=0.3))
    for a, b, c in zip(ours, theirs, joined, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-13)
        np.testing.assert_allclose(c, b, atol=1e-13)


def test_an_unknown_or_impossible_value_is_told():
    entry = library.load("lion")
    with pytest.raises(ValueError, match=r"must be one of beta1, beta2, weight_decay, got 'beta_1'; did you mean"):
        entry.optax(1e-3, beta_1=0.9)
    with pytest.raises(ValueError, match=r"beta2 must be a number in \[0, 1\), got 1\.0"):
        entry.torch([torch.zeros(1)], beta2=1.0)
    with pytest.raises(ValueError, match=r"learning_rate must be a number in \[0, inf\), got -1"):
        entry.optax(-1)
    with pytest.raises(ValueError, match=r"learning_rate must be a number in \[0, inf\), got nan"):
        entry.torch([torch.zeros(1)], float("nan"))
    with pytest.raises(ValueError, match=r"a target must be one of .*, got 'jax'"):
        entry.source("jax")


@pytest.mark.parametrize(
    "value", [7.0, np.float32(7.0), jnp.float32(7.0), torch.tensor(7.0), "0.9", None, True, float("nan")]
)
def test_a_value_of_any_type_is_checked(value):
    entry = library.load("adam")
    with pytest.raises(ValueError, match=r"beta1 must be a number in \[0, 1\), got"):
        entry.optax(1e-3, beta1=value)
    with pytest.raises(ValueError, match=r"beta1 must be a number in \[0, 1\), got"):
        entry.torch([torch.zeros(1)], beta1=value)


def test_a_negative_zero_is_zero():
    assert not np.signbit(library.load("adam").card.hyperparameters[2].check(-0.0))


@pytest.mark.parametrize("quotes", ['"""', '""""', '"', "\\", "\\N"])
def test_the_text_of_a_card_is_never_code(tmp_path, quotes):
    hidden = f"x{quotes} + str(open({str(tmp_path / 'seen')!r}, 'w')) + {quotes}x"
    folder = tmp_path / "own"
    folder.mkdir()
    loaded = []
    for place in ("title", "summary", "advice", "source", "mathematics", "doc"):
        text = MINE.replace("title: Mine", f"{place}: {json.dumps(hidden)}\ntitle: Mine")
        if place in ("title", "summary"):
            text = re.sub(rf"^{place}: (Mine|a rule.*)$", "", text, flags=re.MULTILINE)
        if place == "doc":
            text = MINE.replace('doc: "decay rate"', f"doc: {json.dumps(hidden)}")
        end = text.index('"""\n\n\ndef')
        (folder / f"{place}.py").write_text(f"r'''{text[3:end]}'''{text[end + 3 :]}")
        try:
            entry = library.load(place, folder)
        except ValueError:
            continue  # too long a title is refused
        loaded.append(place)
        for target in ("optax", "torch", "python"):
            exec(entry.source(target), {})
    assert len(loaded) >= 4
    assert not (tmp_path / "seen").exists()


@pytest.mark.parametrize(
    "text",
    [
        "# a remark\n" + MINE,
        MINE.replace('"""', 'r"""', 1),
        "# a remark\ndef train(g, lr):\n    update = g * lr\n    return update\n",
    ],
)
def test_what_is_added_can_be_loaded(tmp_path, text):
    (tmp_path / "mine.py").write_text(text)
    added = library.add(tmp_path / "mine.py", tmp_path / "own", "again")
    assert library.load("again", tmp_path / "own") == added


@pytest.mark.parametrize("name", ["no", "null", "a" * 60])
def test_any_name_makes_a_card(tmp_path, name):
    file = tmp_path / "a: b, a file with a name of more than sixty letters, to be cut somewhere.py"
    file.write_text("def train(g, lr):\n    update = g * lr\n    return update\n")
    assert library.add(file, tmp_path / "own", name).card.name == name


@pytest.mark.parametrize("name", ["_hid", "__init__", "none", "true", "class", "torch", "a b"])
def test_a_name_that_makes_no_code_is_refused(tmp_path, name):
    (tmp_path / "mine.py").write_text(MINE)
    with pytest.raises(ValueError, match="must be named by a"):
        library.add(tmp_path / "mine.py", tmp_path / "own", name)


@pytest.mark.parametrize("name", ["step", "weights", "group", "self", "m_state", "MineState", "mine_step", "lr", "g"])
def test_a_hyper_parameter_has_a_name_of_its_own(tmp_path, name):
    (tmp_path / "mine.py").write_text(MINE.replace("beta", name))
    with pytest.raises(ValueError, match=r"must have a name of its own|exactly one line assigns a constant"):
        library.add(tmp_path / "mine.py", tmp_path / "own")


def test_a_hyper_parameter_has_its_value_before_it_is_used(tmp_path):
    text = MINE.replace("    beta = 0.5\n", "").replace("    update", "    beta = 0.5\n    update")
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(ProgramError, match="a variable must have a value before it is used, got 'beta'"):
        library.add(tmp_path / "mine.py", tmp_path / "own")


def test_of_many_who_add_one_name_one_wins(tmp_path):
    for i in range(4):
        (tmp_path / f"f{i}.py").write_text(MINE.replace("0.5", f"0.{i + 1}"))
    code = "import sys; from pathlib import Path; from archive.library import add; add(Path(sys.argv[1]), 'own', 'one')"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / f"f{i}.py")],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(4)
    ]
    ends = [(process.communicate()[1], process.returncode) for process in started]
    assert sorted(code for _, code in ends) == [0, 1, 1, 1]
    assert all("must have a name of its own" in text for text, code in ends if code)
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == ["library.yaml", "one.py"]


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(ValueError, match="got 'lionn'; did you mean 'lion'"):
        library.load("lionn")


# --- cautious rules ---------------------------------------------------------------------------------------------------

BARE = {
    name for name in library.names() if "weight_decay" not in [p.name for p in library.load(name).card.hyperparameters]
}


@pytest.mark.parametrize("name", sorted(BARE - {"adamw_uncorrected", "raw_lion"}))
def test_a_cautious_rule_takes_the_steps_that_agree_with_the_gradient(name):
    """Of a rule without weight decay the update is masked as it is, tensor by tensor."""
    base, rule = (check(library.load(prefix + name).program, LIBRARY) for prefix in ("", "cautious_"))
    states = [zero_state(base, LAYOUT), zero_state(rule, LAYOUT)]
    for row in draw_inputs(0):
        (u,), states[0] = step(base, LIBRARY, LAYOUT, row, states[0])
        (found,), states[1] = step(rule, LIBRARY, LAYOUT, row, states[1])
        parts = []
        for one, g in zip(LAYOUT.split(u), LAYOUT.split(row["g"]), strict=True):
            mask = one * g > 0.0
            parts.append(np.ravel(one * mask / max(mask.mean(), 0.001)))
        np.testing.assert_allclose(found, np.concatenate(parts), rtol=1e-12)


@pytest.mark.parametrize("name", ["lars", "lamb", "fadam", "soap"])
def test_a_decay_that_is_no_decoupled_one_can_not_stay_outside(name):
    with pytest.raises(ProgramError, match=f"cautious_{name}: only decoupled weight decay can stay outside"):
        library.load(f"cautious_{name}")


def test_cautious_muon_masks_matrices_and_vectors():
    text = library.load("cautious_muon").text
    assert text.count("mean(mask)") == 2
    assert text.index("kept_2 = x * mask") < text.index("x = kept_2 + decay")
    assert text.index("kept = y * mask") < text.index("if_matrix(x, kept)")


def test_a_cautious_rule_is_known_by_its_name():
    assert library.knows("cautious_lion")
    assert library.knows("lion")
    assert not library.knows("cautious_nothing")
    domain = load_domain("optimizers")
    assert read_source("cautious_lion", domain) == library.load("cautious_lion").program


def test_a_cautious_rule_of_the_users_own(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    assert library.load("cautious_mine", tmp_path).card.title == "Cautious Mine"
    with pytest.raises(ValueError, match="got 'nothing'"):
        library.load("cautious_nothing")


# --- folders ----------------------------------------------------------------------------------------------------------


def test_a_program_is_added_and_loaded(tmp_path):
    file, folder = tmp_path / "mine.py", tmp_path / "own"
    file.write_text(MINE)
    library.add(file, folder)
    assert "mine" in library.names(folder)
    assert "mine" not in library.names()
    assert library.load("mine", folder).card.hyperparameters[0].default == 0.5
    assert library.load("lion", folder).card == library.load("lion").card
    assert sorted(path.name for path in folder.iterdir()) == ["library.yaml", "mine.py"]
    with pytest.raises(ValueError, match="must have a name of its own, got 'mine'"):
        library.add(file, folder)
    with pytest.raises(ValueError, match="must have a name of its own, got 'lion'"):
        library.add(file, folder, "lion")


def test_a_published_program_gets_a_card(tmp_path):
    file = tmp_path / "hero.py"
    file.write_text(
        "def train(w, g, m, v, lr):\n    update = interp(g, m, 0.9)\n    m = update\n    return update, m, v\n"
    )
    entry = library.add(file, tmp_path / "own", "found")
    assert library.load("found", tmp_path / "own") == entry
    assert entry.card.title == "found"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (("title: Mine\n", ""), "a card must have 'title'"),
        (("title: Mine\n", "titel: Mine\n"), r"no keys but .*, got 'titel'; did you mean 'title'"),
        (("title: Mine", "title: [1]"), "'title' of a card must be a text"),
        (("[0, 1)", "0 to 1"), "a range must be an interval"),
        (("[0, 1)", "[1, 0)"), "a range must be an interval"),
        (("[0, 1)", "[0.6, 1)"), r"beta must be a number in \[0.6, 1\), got 0.5"),
        (("beta: {", "gamma: {"), "exactly one line assigns a constant to"),
        (("beta = 0.5", "beta = lr"), "exactly one line assigns a constant to"),
        (("title: Mine", "title: {"), "its card.*: not valid YAML"),
        (("a rule of my own", "a rule of my own " * 9), "must fit on a line of 105 characters, got"),
        (("beta: {range", "beta: {rank"), r"no keys but range, doc, got 'rank'"),
        (("title: Mine\n", "title: Mine\nlearning_rate: -1\n"), "'learning_rate' of a card must be a number from 0"),
        (("m * lr", "m * ls"), "a variable must have a value before it is used, got 'ls'"),
        (("m * lr", "frobnicate(m, lr)"), "a function must be in the vocabulary"),
    ],
)
def test_a_bad_file_is_told_and_nothing_is_written(tmp_path, change, problem):
    file, folder = tmp_path / "mine.py", tmp_path / "own"
    file.write_text(MINE.replace(*change))
    with pytest.raises(ValueError, match=problem) as error:
        library.add(file, folder)
    assert str(error.value).startswith(f"{file}: ")
    assert not folder.exists()


def test_a_newer_folder_is_refused(tmp_path):
    (tmp_path / "library.yaml").write_text("format: 2\n")
    with pytest.raises(ValueError, match="must be of format 1 or older, got 2; install a newer Pride"):
        library.names(tmp_path)
    (tmp_path / "library.yaml").write_text("format: new\n")
    with pytest.raises(ValueError, match="must say `format: 1`"):
        library.load("lion", tmp_path)
    with pytest.raises(ValueError, match="a library must be a folder, got"):
        library.names(tmp_path / "nowhere")


def test_a_rule_without_a_card_is_no_rule(tmp_path):
    (tmp_path / "bare.py").write_text("def train(g, lr):\n    update = g * lr\n    return update\n")
    with pytest.raises(ValueError, match=r"bare.py: a rule must begin with its card"):
        library.load("bare", tmp_path)
    (tmp_path / "bad.py").write_text(MINE.replace("lr):", "lr, lr):"))
    with pytest.raises(ProgramError, match=r"bad.py: "):
        library.load("bad", tmp_path)


def test_loading_needs_neither_jax_nor_torch():
    code = (
        "import sys; from archive.library import load; load('lion').source('torch');"
        "assert not {'jax', 'torch', 'optax'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


# --- PyTorch's conventions --------------------------------------------------------------------------------------------


def trained(optimizer_of: Callable[[Any], Any], steps: int, model: Any = None) -> tuple[Any, Any]:
    """Fits a small network; returns it with its optimizer."""
    torch.manual_seed(0)
    model = model or torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(1))
    y = x[:, :1] * x[:, 1:2]
    optimizer = optimizer_of(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        optimizer.step()
    return model, optimizer


TORCH_RULES = ["sgd", "adamw", "lion", "ademamix", "raw_lion", "induced_metric", "prodigy"]


@pytest.mark.parametrize("name", TORCH_RULES)
def test_state_dict_goes_on_in_a_fresh_process(name, tmp_path):
    whole, _ = trained(lambda params: library.load(name).torch(params, 0.01), 10)
    half, optimizer = trained(lambda params: library.load(name).torch(params, 0.01), 5)
    torch.save({"model": half.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "half.pt")
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import torch
from archive.library import load
from test_archive_library import trained
saved = torch.load({str(tmp_path / "half.pt")!r}, weights_only=True)
model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
def make(params):
    optimizer = load({name!r}).torch(params, 0.01)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return optimizer
trained(make, 5, model)
torch.save(model.state_dict(), {str(tmp_path / "whole.pt")!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    found = torch.load(tmp_path / "whole.pt", weights_only=True)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(found[key], value, rtol=0.0, atol=0.0)


@pytest.mark.parametrize("name", ["cautious_adamw", "prodigy"])
def test_an_optimizer_is_pickled_with_its_parameters(name, tmp_path):
    """A copy, and what another process reads, take the same steps."""
    model, optimizer = trained(lambda params: library.load(name).torch(params, 0.01), 3)
    (tmp_path / "both.pickle").write_bytes(pickle.dumps((model, optimizer)))
    code = f"""
import pickle, sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
both = pickle.loads(Path({str(tmp_path / "both.pickle")!r}).read_bytes())
from test_archive_library import trained
model, _ = trained(lambda params: both[1], 3, both[0])
Path({str(tmp_path / "model.pickle")!r}).write_bytes(pickle.dumps(model))
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    copied, copied_optimizer = copy.deepcopy((model, optimizer))
    for one in (model, copied):
        trained(lambda params, one=one: optimizer if one is model else copied_optimizer, 3, one)
    read = pickle.loads((tmp_path / "model.pickle").read_bytes())
    for ours, *others in zip(model.parameters(), copied.parameters(), read.parameters(), strict=True):
        assert all(torch.equal(ours, other) for other in others)


@pytest.mark.parametrize("name", TORCH_RULES)
def test_what_pytorch_expects_of_an_optimizer(name):
    entry = library.load(name)
    used, unused = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(2))
    optimizer = entry.torch([{"params": [used]}, {"params": [unused], "lr": 0.5}], 0.1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]

    def closure():
        optimizer.zero_grad()
        loss = (used**2).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 3.0
    assert (used < 1.0).all()
    assert (unused == 1.0).all()  # a parameter without a gradient stays

    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.1)
    optimizer.step(closure)
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01)
    optimizer.step(closure)

    up = torch.nn.Parameter(torch.ones(3))
    rising = entry.torch([up], 0.1, maximize=True)
    up.grad = 2.0 * torch.ones(3)
    rising.step()
    if name != "raw_lion":  # its weight decay outweighs everything
        assert (up > 1.0 - 0.02).all()

    sparse = torch.nn.Parameter(torch.ones(3))
    sparse.grad = torch.sparse_coo_tensor([[0]], [1.0], (3,), check_invariants=True)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="needs dense gradients"):
        entry.torch([sparse], 0.1).step()


def test_a_rule_whose_state_is_small_gathers_nothing_else():
    source = library.load("adafactor").source("torch")
    assert 'states = [[self.state[p][name] for p in weights] for name in ["r", "c"]]' in source
    assert "[]" not in source.split("def _advance(")[1]


def test_a_late_parameter_counts_its_own_steps():
    """As in torch.optim.Adam: bias correction begins with the first gradient."""
    found = []
    for make in (lambda params: library.load("adam").torch(params, 0.1), lambda params: torch.optim.Adam(params, 0.1)):
        early, late = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(torch.ones(3))
        optimizer = make([early, late])
        for k in range(20):
            early.grad = torch.ones(3) / (1 + k)
            late.grad = torch.ones(3) if k >= 10 else None
            optimizer.step()
        found.append((early.detach(), late.detach()))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["adamw", "lion", "raw_lion", "induced_metric"])
def test_it_runs_compiled(name):
    eager, _ = trained(lambda params: library.load(name).torch(params, 0.01), 4)

    def compiled_step(params):
        optimizer = library.load(name).torch(params, 0.01)
        optimizer.step = torch.compile(optimizer.step, backend="aot_eager")
        return optimizer

    found, _ = trained(compiled_step, 4)
    for a, b in zip(found.parameters(), eager.parameters(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("foreach", [None, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_types_are_kept(dtype, foreach):
    params = [torch.nn.Parameter(torch.ones(shape, dtype=dtype)) for shape in ((3, 2), (2,))]
    optimizer = library.load("adamw").torch(params, 0.1, foreach=foreach)
    for _ in range(3):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()
    for p in params:
        assert p.dtype == dtype
        buffers = [value for name, value in optimizer.state[p].items() if name != "step"]
        assert all(value.dtype == dtype and value.shape == p.shape for value in buffers)
        assert (p < 1.0).all()


def test_large_and_strided_tensors_are_updated_whole():
    """Pieces of large tensors and tensors that are not contiguous: every entry moves, once."""
    n = 200_000
    large, strided = torch.nn.Parameter(torch.zeros(n)), torch.nn.Parameter(torch.zeros(300, 400).t())
    optimizer = library.load("sgd").torch([large, strided], 1.0)
    large.grad, strided.grad = torch.arange(n, dtype=torch.float32), torch.ones(400, 300)
    optimizer.step()
    torch.testing.assert_close(large.detach(), -torch.arange(n, dtype=torch.float32))
    assert (strided == -1.0).all()
