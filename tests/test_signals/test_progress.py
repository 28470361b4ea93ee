"""Progress of a long command: a bar on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import sys
import time

import pytest

from signals.errors import TryAgain
from signals.text.console import GOES_ON, Kept, progress, remark


def line_of(begin: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The first line to come on standard error that begins so."""
    text = ""
    for _ in range(6000):
        text += capsys.readouterr().err
        for line in text.split("\n")[:-1]:
            if line.startswith(begin):
                return line
        time.sleep(0.01)
    raise AssertionError(text)


def test_without_a_terminal_a_line_is_written_every_minute_though_no_step_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """A minute is 20 ms here; the lines stop with the work."""
    with progress("training", 40, seconds=0.02) as step:
        assert line_of("training: ", capsys) == line_of("training: ", capsys) == "training: 0 min"
        step("fold 1")
        step("fold 2\x1b[2J")
        line_of("training: 2 of 40, fold 2\\x1b[2J, 0 min", capsys)
        step(done=7, of=9)
        line_of("training: 7 of 9, fold 2", capsys)
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_short_work_writes_nothing_and_a_failure_ends_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("auditing"):
        pass
    with pytest.raises(KeyError), progress("auditing", seconds=0.02):
        line_of("auditing: 0 min", capsys)
        raise KeyError
    capsys.readouterr()
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_on_a_terminal_a_bar_is_drawn_and_no_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress("training [x]", 4, seconds=0.01) as step:
        step("fold 1")
        time.sleep(0.2)
    drawn = capsys.readouterr().err
    assert "fold 1" in drawn and "1/4" in drawn and "min" not in drawn
    with progress("training", 4, as_json=True, seconds=0.01) as step:
        step("fold 1")
        time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_a_remark_stands_on_a_line_of_its_own_above_the_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("training", 4):
        remark("three names\x1b[2J have no bars")
    written = capsys.readouterr().err
    before, found, after = written.partition("three names\\x1b[2J have no bars")
    assert found and "training" in before, written
    assert before.endswith(("\n", "\x1b[2K")) and after.startswith("\n"), written


def test_work_that_a_person_ends_says_what_is_kept_and_a_failure_says_nothing_of_it() -> None:
    said = r"^auditing: ended by a person; what was there before is as it was\. Run the same command: it begins again$"
    with pytest.raises(TryAgain, match=said), progress("auditing"):
        raise KeyboardInterrupt
    kept = Kept("half of it is kept", GOES_ON)
    with pytest.raises(TryAgain, match=r"half of it is kept\. Run the same command: it goes on$"), progress("auditing", kept=lambda: kept):
        raise KeyboardInterrupt
    with pytest.raises(KeyError), progress("auditing"):
        raise KeyError
