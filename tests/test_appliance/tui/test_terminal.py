"""The screens in a terminal of their own, from the command to the first look."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from textual.pilot import Pilot

from appliance.config import ApplianceConfig, StoresConfig
from appliance.tui.app import ApplianceApp
from appliance.tui.demo.session import LIMITS

MEGABYTES = 80
FRAME = {"#ff5f57", "#febc2e", "#28c840", "#c5c8c6"}  # of the window that the picture is framed by


def test_the_demo_starts_at_once_without_settings_network_or_keys(tmp_path: Path) -> None:
    """H2: in an empty home the command paints the invented device; its seconds are held against 2 by `benchmarks/tui.py`."""
    with _demo(tmp_path) as (_, main):
        painted = _painted(main, b"ARMED")
    assert b"DEMO" in painted and b"Traceback" not in painted
    assert list(tmp_path.iterdir()) == []


def test_the_screens_stay_small_with_every_library_that_they_load(tmp_path: Path) -> None:
    """H3: charts bring in the last of them; the most that was ever resident is held against 80 MB."""
    with _demo(tmp_path) as (process, main):
        _painted(main, b"ARMED")
        for key, word in ((b"4", b"score"), (b"p", b"below the top"), (b"a", b"summed up"), (b"m", b"mean rank IC")):
            os.write(main, key)
            _painted(main, word)
        assert _resident_megabytes(process.pid) <= MEGABYTES


def test_a_look_for_garbage_keeps_no_key_waiting() -> None:
    """H3: the collector passes over what was loaded; walking through it all would take longer than 50 ms."""
    code = "import gc, appliance.tui.__main__ as screens; screens.keep_what_is_loaded();print(len(gc.get_objects()), gc.get_freeze_count())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    walked, kept = map(int, done.stdout.split())
    assert walked < 1_000 and kept > 30_000


@pytest.mark.parametrize("without", [["stdin"], ["stdout"], ["stderr"], ["stdin", "stdout", "stderr"]], ids="+".join)
def test_without_a_terminal_they_say_so_in_one_line(tmp_path: Path, without: list[str]) -> None:
    """Each stream in turn is a file or nothing while the others are a real terminal."""
    with _terminal() as (main, terminal), (tmp_path / "out").open("w+b") as file:
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal)
        streams |= {name: subprocess.DEVNULL if name == "stdin" else file.fileno() for name in without}
        done = subprocess.run([sys.executable, "-m", "appliance.tui", "--demo"], **streams, timeout=120, check=False, cwd=tmp_path)
        said = (tmp_path / "out").read_bytes() if "stderr" in without else os.read(main, 65_536)
    spoken = {"stdin": "input", "stdout": "output", "stderr": "error"}
    assert f"standard {' and '.join(spoken[name] for name in without)})".encode() in said
    assert done.returncode == 2
    assert said.count(b"\n") == 1 and b"the screens need a terminal" in said and b"appliance serve" in said
    assert b"\x1b" not in said


def test_with_standard_input_closed_they_say_so_in_one_line(tmp_path: Path) -> None:
    command = f'"{sys.executable}" -m appliance tui --demo <&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
    assert b"no terminal at standard input" in done.stderr


@pytest.mark.parametrize("goes", ["closed", "hang-up"])
def test_they_end_when_their_terminal_goes(tmp_path: Path, goes: str) -> None:
    """Whether the terminal is closed under them or a hang-up is signalled; the invented device goes with them."""
    with _demo(tmp_path, TMPDIR=str(tmp_path)) as (process, main):
        _painted(main, b"ARMED")
        assert len(list(tmp_path.glob("appliance-demo-*"))) == 1
        if goes == "closed":
            os.close(main)
        else:
            process.send_signal(signal.SIGHUP)
        assert process.wait(120) == 129
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [["--port", "0"], ["--port", "web"], ["--stat", "x"], ["--seed", "x"]])
def test_an_option_that_is_none_ends_the_command_with_its_name(options: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "appliance", "tui", *options], capture_output=True, text=True)
    assert done.returncode == 2 and options[0] in done.stderr and "Traceback" not in done.stderr


def test_the_state_folder_is_the_one_that_systemd_names(tmp_path: Path) -> None:
    shown = [
        subprocess.run(
            [sys.executable, "-m", "appliance", "tui", "--help"],
            capture_output=True,
            text=True,
            check=True,
            env={"STATE_DIRECTORY": "/somewhere/else", "COLUMNS": "200"} if is_named else {"COLUMNS": "200"},
        ).stdout
        for is_named in (True, False)
    ]
    assert "(/somewhere/else)" in shown[0] and "(var/appliance)" in shown[1]


@pytest.mark.anyio
async def test_without_colour_every_state_is_still_said(
    screens: Callable[..., ApplianceApp], settled: Callable[[Pilot[None]], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """H4: under NO_COLOR the screen is of greys alone, and signs and words say what the colours said."""
    monkeypatch.setenv("NO_COLOR", "1")
    app = screens("halted", start="blotter")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        drawn = app.export_screenshot().replace("&#160;", " ")
    screen = drawn[drawn.index("-matrix") :]
    shades = set(re.findall(r"#[0-9a-f]{6}", drawn[drawn.index("-r1 ") : drawn.index("</style>")] + screen)) - FRAME
    assert len(shades) > 5
    assert {shade for shade in shades if not shade[1:3] == shade[3:5] == shade[5:7]} == set()
    assert "■ HALTED" in screen and "✔ filled" in screen and "! expired" in screen


def test_the_invented_device_has_the_limits_of_a_real_one() -> None:
    real = ApplianceConfig(stores=StoresConfig(data="", bundles="")).limits()
    assert {name: real[name] for name in LIMITS} == LIMITS


@contextmanager
def _terminal() -> Iterator[tuple[int, int]]:
    """A pseudo-terminal of 80 x 24: its near end and its far end, either of which the test may close."""
    try:
        main, terminal = pty.openpty()
    except OSError as none:
        pytest.skip(f"this machine has no pseudo-terminals: {none}")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    try:
        yield main, terminal
    finally:
        for descriptor in (main, terminal):
            with suppress(OSError):
                os.close(descriptor)


@contextmanager
def _demo(home: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """`appliance tui --demo` in a terminal of its own, which is not its controlling one, in an empty home."""
    with _terminal() as (main, terminal):
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance", "tui", "--demo"],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            cwd=home,
            env={"TERM": "xterm-256color", "HOME": str(home), "PATH": os.defpath} | environment,
            start_new_session=True,
        )
        try:
            yield process, main
        finally:
            process.terminate()
            process.wait(120)


def _painted(main: int, word: bytes) -> bytes:
    seen, until = b"", time.monotonic() + 120
    while word not in seen:
        assert time.monotonic() < until, seen[-2_000:]
        if select.select([main], [], [], 0.1)[0]:
            seen += os.read(main, 65_536)
    return seen


def _resident_megabytes(pid: int) -> float:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1_024 / 1e6
