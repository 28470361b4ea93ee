"""The screens beside the daemon that really runs: what a person types there reaches the latch and leaves its rows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from textual.widgets import Input

from appliance.system.clock import SystemClock
from appliance.tui.app import ApplianceApp, TuiSettings
from appliance.tui.banner import Banner
from appliance.tui.dialogs import TypedScreen
from appliance.tui.ledger_source import LedgerSource
from tests.flow.test_daemon import Rehearsal, rehearsal

__all__ = ["rehearsal"]  # the fixture


@pytest.mark.slow
def test_a_person_halts_and_rearms_at_the_screens_of_a_running_device(rehearsal: Rehearsal) -> None:
    """H5: nothing happens before the word is typed; then the daemon acts, and records who asked for what."""
    bench, state = rehearsal.bench, rehearsal.bench.state
    rehearsal.start()
    asyncio.run(_at_the_screens(state))
    latch = json.loads((state / "latch.json").read_text())
    assert latch["state"] == "armed"
    asked = bench.rows("SELECT title, body FROM alerts WHERE key LIKE 'control-%' ORDER BY id")
    assert [title for title, _ in asked] == ["halt was asked for", "rearm was asked for"]
    assert all(body.startswith("ana (uid ") for _, body in asked)
    ((name, rearmed_by),) = bench.rows("SELECT name, rearmed_by FROM halts")
    assert name == "MANUAL" and rearmed_by.startswith("ana (uid ")
    assert bench.rows("SELECT count(*) FROM intents") == [(0,)]
    assert rehearsal.stop() == 0


async def _at_the_screens(state: Path) -> None:
    source = LedgerSource(state, SystemClock())
    app = ApplianceApp(source, TuiSettings(refresh_seconds=0.0, socket=state / "control.sock", by="ana"))
    async with app.run_test(size=(80, 24)) as pilot:

        async def until(word: str) -> None:
            for _ in range(600):
                await pilot.pause(0.05)
                if app.query_one(Banner).banner_state.word == word:
                    return
                if not app.is_reading:
                    app.action_refresh_now()
            raise AssertionError(f"never {word}: {app.query_one(Banner).banner_state}")

        async def typed(key: str, reason: str, word: str) -> None:
            await pilot.press(key, *reason, "enter", *word, "enter")

        app.action_refresh_now()
        await until("ARMED")
        await typed("H", "odd", "halt")  # not the word
        await pilot.pause()
        assert isinstance(app.screen, TypedScreen)
        assert json.loads((state / "latch.json").read_text())["state"] == "armed"
        app.screen.query_one("#word", Input).value = "HALT"
        await pilot.press("enter")
        await until("HALTED")
        await app.workers.wait_for_complete()
        await typed("R", "seen", "REARM")
        await until("ARMED")
