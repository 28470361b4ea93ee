"""Text of the broker, the data and the daemon on the screens: shown letter by letter, never obeyed."""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from textual.pilot import Pilot

from appliance.tui import row_export
from appliance.tui.app import ApplianceApp, TuiSettings
from appliance.tui.ledger_source import LedgerSource, ScreenAnswer, ScreenQuery, SourceCondition, Trouble
from appliance.tui.screens import DEEPER, SCREENS
from appliance.views.view import View
from tests.fakes.screens import StoppedClock

HOSTILE = "[/x][link=x]\x1b[2J\u202e\ud800<b>"
SHOWN = "[/x][link=x]\\x1b[2J\\u202e\\ud800<b>"

pytestmark = pytest.mark.anyio


def poisoned(value: Any) -> Any:
    """Every free text with hostile text before it; numbers, dates and the words that choose a tone stay."""
    if isinstance(value, str):
        is_word = value.isascii() and value.replace("_", "").isalpha() and len(value) < 12
        is_figure = value[:1] in "+-0123456789"
        return value if is_figure or is_word or not value else HOSTILE + value
    if isinstance(value, Mapping):
        return {key: poisoned(item) for key, item in value.items()}
    return [poisoned(item) for item in value] if isinstance(value, list) else value


class HostileSource(LedgerSource):
    """A device whose every text comes from somebody else."""

    def read(self, question: ScreenQuery) -> ScreenAnswer:
        """Answer as the ledger does, with hostile text in every row."""
        answer = super().read(question)
        assert answer.overview is not None
        views = {
            name: View(view.columns, tuple(_symbols(row) for row in view.rows), view.empty, view.session, view.facts)
            for name, view in (answer.views or {}).items()
        }
        shown = replace(answer.overview, concerns=(HOSTILE, *answer.overview.concerns), agreed=HOSTILE)
        return replace(answer, views=views, overview=shown, trouble=Trouble(SourceCondition.LOCKED, HOSTILE, HOSTILE))


def _symbols(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: poisoned(value) for key, value in row.items()}
    return found | ({"symbol": HOSTILE} if "symbol" in row else {})


@pytest.fixture
def hostile(devices: Path, monkeypatch: pytest.MonkeyPatch) -> ApplianceApp:
    """The screens on such a device."""
    monkeypatch.chdir(devices / "normal")
    source = HostileSource(Path("device"), StoppedClock())
    return ApplianceApp(source, TuiSettings(refresh_seconds=0.0), monotonic=lambda: 0.0)


@pytest.mark.slow
async def test_every_screen_shows_hostile_text_letter_by_letter(
    hostile: ApplianceApp, settled: Callable[[Pilot[None]], Awaitable[None]]
) -> None:
    """The picture of each screen is XML without a character that a browser or terminal would obey."""
    seen = set()
    async with hostile.run_test(size=(200, 60)) as pilot:
        await settled(pilot)
        hostile.notify(HOSTILE)
        for screen in (*SCREENS, *DEEPER[1:]):
            await pilot.press(screen.key)
            await settled(pilot)
            picture = hostile.export_screenshot(title="screens")
            unseen = {c for c in picture if c != "\n" and unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co"}}
            assert not unseen, screen.name
            text = "".join(ElementTree.fromstring(picture).itertext()).replace("\xa0", " ")
            seen |= {screen.name} if SHOWN in text else set()
    assert seen == {screen.name for screen in (*SCREENS, *DEEPER[1:])}


async def test_a_message_of_the_daemon_is_never_markup(hostile: ApplianceApp) -> None:
    async with hostile.run_test(size=(120, 40)) as pilot:
        hostile.notify(HOSTILE, timeout=60)
        await pilot.pause()
        text = "".join(ElementTree.fromstring(hostile.export_screenshot()).itertext()).replace("\xa0", " ")
    assert "[/x][link=x]" in text


def test_an_exported_cell_is_never_a_formula(tmp_path: Path) -> None:
    rows = [{"symbol": "=1+1", "reason": HOSTILE, "gain": "-1.25%", "filled": 3}]
    path = row_export.write(tmp_path / "rows.csv", rows, "csv")
    with path.open(encoding="utf-8", newline="") as stream:
        [row] = list(csv.DictReader(stream))
    assert row == {"symbol": "'=1+1", "reason": SHOWN, "gain": "-1.25%", "filled": "3"}
    assert row_export.write(tmp_path / "rows.json", rows, "json").read_text(encoding="utf-8").isascii()
