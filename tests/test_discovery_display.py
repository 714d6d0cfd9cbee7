"""The live view: every figure is there, on a terminal and off it."""

import io
import re
from dataclasses import replace
from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from discovery.display import Rates, duration, line, one_line, panel, watch, workers
from discovery.executors import Load
from discovery.progress import Best, Progress, Staff

LION = "def train(w, g, m, lr):\n    update = interpolate(g, m, 0.8999999761581421)\n    return update, m\n"
PROGRESS = Progress(
    batch=9,
    candidates=12_800,
    evaluations=900,
    invalid=17,
    hits={"structural": 1_280, "canonical": 2_560, "functional": 3_200},
    hurdled=300,
    failures={"diverged": 21, "non_finite": 5},
    elites=40,
    cells=25,
    coverage=0.125,
    qd_score=61.25,
    best=(Best(4711, 0.1234, 6, 1, LION), Best(0, -0.2, 9, 2, LION)),
    steps=10**6,
    seconds=125.0,
    seconds_by_part={"evaluate": 90.0, "breed": 10.0},
    workers=2,
    share_done=0.42,
    seconds_left=175.0,
)
FIGURES = ("12,800", "900", "structural 10.0%", "canonical 20.0%", "functional 25.0%", "300", "invalid 17",
           "diverged 21", "non finite 5", "12.5%", "61.25", "+0.1234", "4711", "42%", "2m 55s left")  # fmt: skip


STAFF = Staff(Load(3, 4, (0.914, 1.0, 0.5), 17, 6, 2, 5, 100.0, ("the 4th joins when a machine does",)), 0.126)


def shown(renderable, width=120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(renderable)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_the_line_holds_every_figure():
    text = line(PROGRESS, 85.0, 11.5)
    assert "\n" not in text
    assert not [
        figure for figure in (*FIGURES, "85.0/s", "11.5/s", "6 statements", "1 state buffer") if figure not in text
    ]


def test_the_panel_holds_every_figure():
    text = shown(panel(PROGRESS, 85.0, 11.5, "runs/x", "Ctrl-C stops"))
    more = ("85.0/s", "11.5/s", "2 workers", "runs/x", "Ctrl-C stops", "evaluate 90%", "interpolate(g, m, 0.9)")
    assert not [figure for figure in (*FIGURES, *more) if figure not in text]


def test_workers_and_driver_are_told():
    told = "3 workers of 4, busy 91% 100% 50%, 17 waiting, driver 13%, 2 lost, 5 units repeated"
    at_work = replace(PROGRESS, staff=STAFF)
    assert f"{told}; the 4th joins when a machine does | 42% done" in line(at_work)
    text = shown(panel(at_work), 200)
    assert told in text
    assert "the 4th joins when a machine does" in text
    assert "waiting" not in shown(panel(PROGRESS), 200)


def test_of_many_workers_the_spread_is_told():
    data = replace(STAFF, load=Load(9, 9, (0.2, *[0.8] * 7, 0.9), 0)).to_json()
    assert workers(data) == "9 workers, busy 20% to 90%, half of them 80% or more, 0 waiting, driver 13%"
    assert set(data) == {
        *("alive", "wanted", "busy", "waiting", "under_way", "lost", "repeated", "waited", "driver_load", "remarks")
    }


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_panel_fits_the_terminal(width):
    assert max(map(len, shown(panel(PROGRESS, height=60), width).splitlines())) <= width


def test_a_tall_terminal_shows_the_best_program_whole():
    assert "return update, m" in shown(panel(PROGRESS, height=60))
    assert "return update, m" not in shown(panel(PROGRESS, height=24))


def test_nothing_known_yet_is_no_error():
    assert line(Progress())
    assert "none yet" in shown(panel(Progress()))


def test_without_a_terminal_lines_come_at_intervals_and_with_a_better_best():
    console = Console(file=io.StringIO(), width=40)
    with watch(console, "runs/x") as show:
        for step in range(100):
            better = replace(PROGRESS.best[0], score=1.0 if step >= 55 else 0.5)
            show(replace(PROGRESS, seconds=float(step), best=(better,), share_done=(step + 1) / 100))
    lines = console.file.getvalue().splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    told = [int(re.match(r"(?:(\d+)m )?(\d+)s", text).group(2)) for text in lines]
    assert [second % 60 for second in (0, 10, 20, 30, 40, 50, 55, 65, 75, 85, 95, 99)] == told
    assert "+1.0000" in lines[6]


def test_on_a_terminal_the_panel_is_live_and_says_when_it_stops():
    console = Console(file=io.StringIO(), width=120, height=50, force_terminal=True, color_system=None)
    stop = Event()
    with watch(console, "runs/x", stop) as show:
        show(PROGRESS)
        stop.set()
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "preparing data" in text
    assert "12,800" in text
    assert "stopping after the batches in flight" in text


def test_markup_in_a_program_stays_text():
    odd = replace(PROGRESS, best=(Best(1, 0.0, 1, 0, "def train(w):\n  x = [bold]\n  return x\n"),))
    assert "[bold]" in shown(panel(odd, height=60))


def test_rates_are_those_of_the_last_seconds():
    rates = Rates()
    assert rates.update(Progress(seconds=100.0, candidates=1_000, evaluations=500)) == (10.0, 5.0)
    speed = None, None
    for second in range(101, 161):
        speed = rates.update(Progress(seconds=float(second), candidates=1_000 + 50 * (second - 100), evaluations=500))
    assert speed == (50.0, 0.0)
    assert Rates().update(Progress()) == (None, None)


def test_one_line_keeps_names_and_shortens_constants():
    assert one_line(LION) == "update = interpolate(g, m, 0.9)"
    text = "def train(g):\n    # a remark\n    v12345 = g * 1.23456789e-07\n    x = v12345 + 0.5\n    return x\n"
    assert one_line(text) == "v12345 = g * 1.235e-07; x = v12345 + 0.5"


@given(st.floats(0.0, 1e7))
def test_durations_are_short_and_near(seconds):
    text = duration(seconds)
    lengths = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}
    told = sum(int(part[:-1]) * lengths[part[-1]] for part in text.split())
    coarsest = lengths[text.split()[-1][-1]]
    assert 0 <= round(seconds) - told < coarsest
    assert len(text) <= 8


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59.4, "59s"), (59.6, "1m 00s"), (3_600, "1h 00m"), (90_000, "1d 01h")]
)
def test_durations_read_well(seconds, text):
    assert duration(seconds) == text
