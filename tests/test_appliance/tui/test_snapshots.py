"""Every screen in every state at both sizes looks as it was looked at and accepted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from appliance.tui.app import ApplianceApp
from appliance.tui.screens import BY_NAME
from tests.fakes.screens import ORDER, STATES

SIZES = {"80x24": (80, 24), "120x40": (120, 40)}
Screens = Callable[..., ApplianceApp]
Settled = Callable[[Pilot[None]], Awaitable[None]]


OVER_SESSIONS = ("orders", "trades", "symbol", "outcomes")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("screen", [name for name in BY_NAME if name not in OVER_SESSIONS])
def test_every_screen_in_every_state(snap_compare: Any, screens: Screens, settled: Settled, screen: str, state: str, size: str) -> None:
    app = screens(state, start=screen)
    app.order = ORDER
    assert snap_compare(app, terminal_size=SIZES[size], run_before=settled)


@pytest.mark.parametrize("state", ["normal", "empty"])
@pytest.mark.parametrize("screen", OVER_SESSIONS)
def test_the_screens_over_many_sessions(snap_compare: Any, screens: Screens, settled: Settled, screen: str, state: str) -> None:
    app = screens(state, start=screen)
    app.symbol = "SXSN"
    assert snap_compare(app, terminal_size=(120, 40), run_before=settled)


@pytest.mark.parametrize(
    "keys", [["question_mark"], ["3", "slash", "s", "e", "l", "l"], ["L"], ["3", "s", "S"]], ids=["help", "filter", "light", "sorted"]
)
def test_what_stands_over_the_screens(snap_compare: Any, screens: Screens, settled: Settled, keys: list[str]) -> None:
    async def press(pilot: Pilot[None]) -> None:
        await settled(pilot)
        for key in keys:
            await pilot.press(key)
            await settled(pilot)
        if field := pilot.app.query("#ask Input"):
            field.first().cursor_blink = False  # type: ignore[attr-defined]

    assert snap_compare(screens(), terminal_size=(80, 24), run_before=press)


def test_the_halt_dialog_says_what_will_happen(snap_compare: Any, screens: Screens, settled: Settled, tmp_path: Any) -> None:
    async def press(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await pilot.press("H")
        await pilot.pause()
        for field in pilot.app.screen.query("Input"):
            field.cursor_blink = False  # type: ignore[attr-defined]

    assert snap_compare(screens(socket=tmp_path / "s"), terminal_size=(80, 24), run_before=press)
