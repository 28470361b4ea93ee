"""Every table on a screen is what a command prints with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import typer
from textual.pilot import Pilot
from typer.testing import CliRunner

from appliance.commands import events, ledger_queries
from appliance.tui.app import ApplianceApp
from appliance.tui.screens import BY_NAME

pytestmark = pytest.mark.anyio
Screens = Callable[..., ApplianceApp]
Settled = Callable[[Pilot[None]], Awaitable[None]]
ORDER = "tm1-0001-20260312-main-SXSN-0000-8e0f18"
SYMBOL = "SXSN"
MANY = {"logs": ["--limit", "500"]}
commands = typer.Typer()
ledger_queries.register(commands)
events.register(commands)


def printed(command: str, state: Path, *more: str) -> list[object]:
    result = CliRunner().invoke(commands, [command, *more, "--state", str(state), "--json"])
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)["rows"]
    assert isinstance(rows, list)
    return rows


@pytest.mark.parametrize("screen", [s for s in BY_NAME.values() if s.command], ids=lambda s: s.name)
async def test_a_screen_shows_the_rows_of_its_command(screens: Screens, settled: Settled, devices: Path, screen: object) -> None:
    name, command = screen.name, screen.command  # type: ignore[attr-defined]
    app = screens(start=name)
    app.order, app.symbol = ORDER, SYMBOL
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert app.pane is not None
        shown = json.loads(json.dumps(list(app.pane.grid.content.rows), default=str))
    more = {"trace": [ORDER], "symbol": [SYMBOL]}.get(command) or MANY.get(command, [])
    assert shown == printed(command, devices / "normal" / "device", *more)
    assert shown


async def test_the_calendar_of_runs_and_the_halts_have_commands_too(screens: Screens, settled: Settled, devices: Path) -> None:
    app = screens(start="jobs")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert app.answer is not None and app.answer.views is not None
        calendar = list(app.answer.views["runs"].rows)
        app.action_show("risk")
        await settled(pilot)
        halts = list(app.answer.views["halts"].rows)
    state = devices / "normal" / "device"
    assert calendar == printed("runs", state)
    assert halts == printed("halts", state, "--limit", "5") and halts


async def test_the_overview_is_a_command(screens: Screens, settled: Settled, devices: Path) -> None:
    app = screens()
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        assert app.answer is not None and app.answer.overview is not None
        shown = json.loads(json.dumps(list(app.answer.overview.view().rows), default=str))
    assert shown == printed("overview", devices / "normal" / "device")


def test_the_screens_bring_in_none_of_the_jobs_libraries() -> None:
    """What stays open for days must stay small: no numpy, pandas, DuckDB, ONNX, pydantic or HTTP client."""
    import subprocess

    heavy = (
        "numpy",
        "pandas",
        "duckdb",
        "onnxruntime",
        "pyarrow",
        "requests",
        "cryptography",
        "alpaca",
        "scipy",
        "pydantic",
        "typer",
        "plotext",
    )
    code = f"import sys, appliance.tui.__main__; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
