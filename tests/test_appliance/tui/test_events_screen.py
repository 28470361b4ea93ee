"""The screen of events: what it says of an evening, of one before it, and of a device that has recorded none; candles by hand."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widgets import Static

from appliance.ledger import Ledger, job_runs
from appliance.schedule.job import JobReport, JobStatus
from appliance.tui.app import ApplianceApp, TuiSettings
from appliance.tui.events import event
from appliance.tui.ledger_source import LedgerSource
from signals.events.recorded import FALLING, RISING, SIZE, WICK, to_png
from tests.fakes.screens import NOW, StoppedClock

pytestmark = pytest.mark.anyio
Screens = Callable[..., ApplianceApp]
Settled = Callable[[Pilot[None]], Awaitable[None]]
ROW = {"symbol": "ABCD", "kind": "flag", "side": "LONG", "third": "low", "stop_70": "1.50 ATR, 3.18%, 369 ticks"}


def said(app: ApplianceApp, selector: str) -> str:
    assert app.pane is not None
    return str(app.pane.query_one(selector, Static).content)


def picture(*bars: tuple[int, int, int, int, int]) -> str:
    """The first bars as (high, top, bottom, low, ink of the body), the others a body at level 63."""
    pixels = bytearray(3 * SIZE * SIZE)
    for bar, (high, top, bottom, low, ink) in enumerate((*bars, *((63, 63, 63, 63, FALLING),) * (SIZE - len(bars)))):
        for level in range(high, low + 1):
            pixels[3 * (SIZE * level + bar)] = ink if top <= level <= bottom else WICK
    return b64encode(to_png(bytes(pixels))).decode()


def test_candles_are_drawn_as_worked_by_hand() -> None:
    """80 lines of room give 32 of 2 levels each: wicks thin, bodies thick, each as high as it is."""
    shown = picture((0, 2, 3, 5, RISING), (1, 1, 1, 1, FALLING), (0, 1, 2, 2, RISING), (2, 3, 3, 4, FALLING))
    text = event(ROW | {"picture": shown}, Size(80, 80))
    title, *drawn = text.plain.split("\n")
    assert title == "ABCD flag LONG; 70 % stay within 1.50 ATR, 3.18%, 369 ticks; third by dollars low"
    assert len(drawn) == 32 and {len(line) for line in drawn} == {SIZE}
    assert [line[:5] for line in drawn[:4]] == ["│╻╽  ", "┃ ╹╽ ", "│  ╵ ", "     "]
    assert drawn[-1] == "    " + "╻" * 60


def test_of_few_lines_each_shows_what_it_covers_and_the_facts_are_next_to_them() -> None:
    """20 lines of room give 8 of 8 levels each, in halves of 4."""
    first, *rest = event(ROW | {"picture": picture((3, 4, 7, 8, RISING))}, Size(120, 20)).plain.split("\n")
    assert first == "ABCD flag LONG" and len(rest) == 8
    assert rest[0] == "╽" + " " * 63 + "  70 % stay within    1.50 ATR, 3.18%, 369 ticks"
    assert rest[1] == "╵" + " " * 63 + "  third by dollars    low"
    assert rest[7] == " " + "╻" * 63


def test_an_event_without_a_picture_is_its_facts_alone() -> None:
    assert event(ROW, Size(120, 40)).plain.split("\n")[1:] == [
        "  70 % stay within    1.50 ATR, 3.18%, 369 ticks",
        "  third by dollars    low",
    ]


async def test_an_evening_is_shown_with_who_spoke_and_what_such_events_made_since_when(screens: Screens, settled: Settled) -> None:
    """From Signals one key leads to the events and one more to what became of earlier ones; escape leads back."""
    app = screens(start="signals")
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press("v")
        await settled(pilot)
        assert app.front.name == "events" and app.pane is not None
        head, rows = said(app, ".head"), app.pane.grid.content.rows
        assert f"{len(rows)} events at the close of 2026-03-11, recorded, not traded" in head
        assert re.search(r"event_gate: bundle [0-9a-f]{16}, evaluation, direction is not above one half", head)
        assert "event_arms: no bundle of it spoke this evening" in head
        assert re.search(r"mean R before costs since 2025-12-\d\d:\n", head)
        assert re.search(r"breakout +-?\+?\d\.\d\d ± \d\.\d\d +\d+ ended, \d+ at the target, \d+ at the stop", head)
        assert all(row["picture"] for row in rows) and said(app, ".detail").count("\n") == 14
        await pilot.press("o")
        await settled(pilot)
        assert app.front.name == "outcomes" and "mean R before costs since" in said(app, ".head")
        for name in ("events", "signals"):
            await pilot.press("escape")
            await settled(pilot)
            assert app.front.name == name


async def test_an_earlier_session_shows_the_events_that_it_was_scored_after(screens: Screens, settled: Settled) -> None:
    app = screens(start="events")
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert "judged by patterns, event_gate, event_quantiles; not by event_arms" in said(app, ".head")
        await pilot.press("[")
        await settled(pilot)
        head = said(app, ".head")
        assert "at the close of 2026-03-10" in head
        assert "judged by no bundle\n" in head


async def test_a_device_without_events_says_what_records_them(tmp_path: Path, settled: Settled, devices: Path) -> None:
    state = tmp_path / "device"
    state.mkdir()
    (state / "config.yml").write_bytes((devices / "normal" / "device" / "config.yml").read_bytes())
    with Ledger(state / "ledger.sqlite") as ledger:
        job_runs.begin(ledger, NOW.date(), "pull", NOW)
        job_runs.finish(ledger, JobReport("pull", NOW.date(), JobStatus.DONE, "pulled"), NOW)
    app = ApplianceApp(LedgerSource(state, StoppedClock()), TuiSettings(refresh_seconds=0.0, start="events"), monotonic=lambda: 0.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        assert app.pane is not None
        assert app.pane.grid.content.empty == "no event is recorded; the evening's scoring records them: `appliance score`"
        assert said(app, ".head") == ""
