"""A pause stops new orders, and nothing else, until it ends by itself."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from appliance.controls import pause
from appliance.controls.pause import UNREADABLE
from appliance.system.state_folder import DurableFs, StateFolder
from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]


def ends(bench: Workbench, day: object) -> dict[str, str]:
    return dict(bench.rows("SELECT job, status FROM job_runs WHERE session = ?", str(day)))


def test_a_pause_sends_nothing_new_not_even_of_a_frozen_plan_and_ends_by_itself(make: Make, published: Published) -> None:
    first, second, third, fourth = published.sessions(4)
    bench = make(published)
    assert bench("arm", "--session", str(first), "--yes").code == 0  # the plan of the first session is frozen
    assert bench("plan", "--session", str(first)).code == 0 and bench.rows("SELECT count(*) FROM intents")[0][0] > 10
    done = bench("pause", "--until", str(second), "--reason", "on holiday", "--json")
    assert done.code == 0 and done.json["paused"] == str(second)
    assert bench("run-day", "--session", str(first)).code == 3
    assert ends(bench, first)["trade"] == "skipped" and bench.rows("SELECT count(*) FROM fills") == [(0,)]
    assert bench("run-day", "--session", str(second)).code == 3
    found = ends(bench, second)
    assert (found["score"], found["plan"], found["report"]) == ("done", "skipped", "done")
    [(words,)] = bench.rows("SELECT summary FROM job_runs WHERE session = ? AND job = 'plan'", str(second))
    assert f"PAUSED until {second}" in words and "on holiday" in words
    assert bench("run-day", "--session", str(third)).code == 0 and bench.rows("SELECT count(*) FROM fills")[0][0] > 0
    (bench.state / "pause.json").write_text("{")
    assert bench("run-day", "--session", str(fourth)).code == 3
    assert UNREADABLE.split(":")[0] in bench.rows("SELECT summary FROM job_runs WHERE session = ? AND job = 'plan'", str(fourth))[0][0]
    assert bench("pause", "--end").code == 0 and not (bench.state / "pause.json").exists()


KINDS: dict[str, Callable[[Path], object]] = {
    "a folder": Path.mkdir,
    "a pipe that nobody writes to": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "empty": Path.touch,
    "of 2 MB": lambda path: path.write_bytes(b'{"until": "2020-01-01", "by": "a", "reason": "' + b"x" * 2**21 + b'"}'),
    "half a character": lambda path: path.write_text('{"until": "2020-01-01", "by": "\\ud800"}'),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_bears_the_name_pauses_and_is_removed(tmp_path: Path, kind: str) -> None:
    fs, folder = DurableFs(), StateFolder(tmp_path)
    KINDS[kind](folder.pause)
    assert pause.sentence(fs, folder, date(2025, 6, 3)) == UNREADABLE
    pause.end(fs, folder)
    assert pause.sentence(fs, folder, date(2025, 6, 3)) == "" and not os.path.lexists(folder.pause)


def test_a_pause_begins_or_ends(make: Make, published: Published) -> None:
    bench = make(published)
    for words in ((), ("--until", "2025-06-03", "--end"), ("--until", "June")):
        assert bench("pause", *words).code == 2 and not (bench.state / "pause.json").exists()


def test_a_pause_hides_no_halt_and_is_seen(make: Make, published: Published) -> None:
    first, second = (str(day) for day in published.sessions(2))
    bench = make(published)
    assert bench("arm", "--session", first, "--yes").code == 0 and bench("run-day", "--session", first).code == 0
    mistyped = bench("pause", "--until", f"{int(second[:4]) - 1}{second[4:]}")
    assert mistyped.code == 2 and "would be over" in mistyped.err and not (bench.state / "pause.json").exists()
    config = bench.state / "config.yml"
    config.write_text(config.read_text().replace("halt_drawdown: 0.15", "halt_drawdown: -1.0"))
    assert bench("pause", "--until", second, "--reason", "on holiday").code == 0
    assert f"PAUSED until {second}" in bench("overview").out
    assert bench("run-day", "--session", second).code == 4
    assert bench.rows("SELECT name FROM halts WHERE action = 'halt'") == [("DRAWDOWN_HALT",)]
