"""Ten things a person does at the screens, key by key."""

from __future__ import annotations

import csv
import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread

import pytest
from textual.events import MouseScrollDown
from textual.pilot import Pilot
from textual.widgets import Input, Static

from appliance.daemon import control_socket
from appliance.tui.app import ApplianceApp
from appliance.tui.banner import Banner, Notice, ScreenBar
from appliance.tui.dialogs import HelpScreen, TypedScreen
from appliance.tui.row_filter import Arrangement, read_sorts
from appliance.views.monitoring import ATTRIBUTION_PARTS

Screens = Callable[..., ApplianceApp]
Settled = Callable[[Pilot[None]], Awaitable[None]]
SIZE = (80, 24)

pytestmark = pytest.mark.anyio


async def press(pilot: Pilot[None], settled: Settled, *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


def symbols(app: ApplianceApp) -> list[str]:
    assert app.pane is not None
    return [str(row["symbol"]) for row in app.pane.grid.content.rows]


def said(app: ApplianceApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).content)


async def test_one_look_says_whether_all_is_well(screens: Screens, settled: Settled) -> None:
    """The first line holds a symbol, a word and a sentence, without any key."""
    expected = {
        "normal": ("✔", "ARMED", "all is well"),
        "halted": ("■", "HALTED", "DRAWDOWN_HALT: loss against the highest equity seen: 15.3 %"),
        "error": ("?", "LEDGER UNUSABLE", "whether all is well is not known"),
    }
    for state, (symbol, word, sentence) in expected.items():
        app = screens(state)
        async with app.run_test(size=SIZE) as pilot:
            await settled(pilot)
            found = app.query_one(Banner).banner_state
        assert (found.symbol, found.word, found.sentence) == (symbol, word, sentence)


async def test_one_key_leads_to_the_symbol_under_the_cursor_and_escape_back(screens: Screens, settled: Settled) -> None:
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "4")
        first = app.pane.grid.row  # type: ignore[union-attr]
        await press(pilot, settled, "y")
        assert first is not None and app.answer is not None and app.answer.views is not None
        assert app.answer.views["symbol"].facts["symbol"] == first["symbol"]
        await press(pilot, settled, "escape")
        assert app.front.name == "signals"


async def test_two_keys_answer_why_this_order(screens: Screens, settled: Settled) -> None:
    """3, enter: the largest order's signal, features, data and bundle, in that order."""
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "3")
        largest = app.pane.grid.row  # type: ignore[union-attr]
        await press(pilot, settled, "enter")
        rows = app.pane.grid.content.rows  # type: ignore[union-attr]
    assert largest is not None
    assert list(dict.fromkeys(row["section"] for row in rows)) == ["order", "signal", "features", "data", "bundle"]
    assert largest["client_order_id"] in [row["value"] for row in rows]
    hashes = {row["fact"]: row["value"] for row in rows if row["section"] in ("data", "bundle")}
    assert len(hashes["snapshot"]) == len(hashes["sha256"]) == len(hashes["config"]) == 64


async def test_escape_leads_back_from_a_trace(screens: Screens, settled: Settled) -> None:
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "3", "down", "down")
        before = app.pane.grid.row  # type: ignore[union-attr]
        await press(pilot, settled, "enter", "escape")
        assert app.front.name == "blotter"
        assert app.pane.grid.row == before  # type: ignore[union-attr]


@pytest.mark.parametrize("screen", ["2", "4"])
@pytest.mark.parametrize("earlier", [0, 2])
async def test_enter_on_a_name_shows_why_its_order_of_the_shown_session_was_sent(
    screens: Screens, settled: Settled, screen: str, earlier: int
) -> None:
    """On Positions and Signals, of the newest session and of one before it; escape leads back to the same row."""
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "3", *["left_square_bracket"] * earlier)
        assert app.pane is not None and app.answer is not None
        session = f"{app.answer.session:%Y%m%d}"
        sent: dict[str, str] = {}
        for row in app.pane.grid.content.rows:  # the largest first
            sent.setdefault(row["symbol"], row["client_order_id"])
        await press(pilot, settled, screen)
        front, names = app.front.name, symbols(app)
        line = max(i for i, name in enumerate(names) if name in sent)
        app.pane.grid.cursor = line
        await press(pilot, settled, "enter")
        rows = app.pane.grid.content.rows
        assert app.front.name == "trace"
        assert sent[names[line]] in [row["value"] for row in rows]
        assert app.order == sent[names[line]] and f"-{session}-" in app.order and f"-{names[line]}-" in app.order
        await press(pilot, settled, "escape")
        assert (app.front.name, app.pane.grid.cursor, symbols(app)[line]) == (front, line, names[line])


@pytest.mark.parametrize("screen", ["2", "4"])
async def test_enter_on_a_name_without_an_order_says_so_and_stays(screens: Screens, settled: Settled, screen: str) -> None:
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "3")
        assert app.pane is not None and app.answer is not None
        sent, session = set(symbols(app)), app.answer.session
        await press(pilot, settled, screen)
        front, names = app.front.name, symbols(app)
        line = next(i for i, name in enumerate(names) if name not in sent)
        app.pane.grid.cursor = line
        await press(pilot, settled, "enter")
        assert app.front.name == front
        assert [note.message for note in app._notifications] == [f"no order of {names[line]} in the session {session}"]


async def test_from_the_result_one_key_leads_to_what_it_was_made_of_and_back(screens: Screens, settled: Settled) -> None:
    """p, then a, m or d: parts that sum to the cent, the model's life, drift; escape leads back each time."""
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "p")
        found = {}
        for key in "amd":
            await press(pilot, settled, key)
            found[app.front.name] = list(app.pane.grid.content.rows)  # type: ignore[union-attr]
            await press(pilot, settled, "escape")
            assert app.front.name == "performance"
    for row in found["attribution"]:
        assert sum(Decimal(row[part]) for part in ATTRIBUTION_PARTS) == Decimal(row["total"])
    assert [row["figure"] for row in found["life"]] == ["ic", "turnover", "cost", "drawdown"]
    assert len(found["drift"]) > 10


async def test_an_order_is_explained_by_values(screens: Screens, settled: Settled) -> None:
    """Each feature that the model read stands there with its value and z, what stands out most first."""
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "3", "enter")
        rows = app.pane.grid.content.rows  # type: ignore[union-attr]
    values = {row["fact"]: row["value"] for row in rows if row["section"] == "features" and row["fact"] != "read at"}
    assert len(values) == 12
    z = [abs(float(value.rpartition("z")[2])) for value in values.values()]
    assert z == sorted(z, reverse=True) and z[0] > 1


async def test_a_filter_keeps_the_rows_that_hold_every_word(screens: Screens, settled: Settled) -> None:
    """`/ sell -filled` on the blotter of a session with an unfilled order leaves no filled buy; escape clears it."""
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "3")
        everything = len(symbols(app))
        await press(pilot, settled, "slash", *"sell", "enter")
        assert app.pane is not None
        sides = {row["side"] for row in app.pane.grid.content.rows}
        assert sides == {"sell"}
        assert 0 < len(symbols(app)) < everything
        await press(pilot, settled, "escape")
        assert len(symbols(app)) == everything


async def test_sorting_orders_numbers_by_size_and_turns(screens: Screens, settled: Settled) -> None:
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "2", "s", "s", "s")
        assert app.pane is not None and app.pane.arrangement.sort == "quantity"
        rising = [int(row["quantity"]) for row in app.pane.grid.content.rows]
        await press(pilot, settled, "S")
        falling = [int(row["quantity"]) for row in app.pane.grid.content.rows]
    assert rising == sorted(rising) and falling == rising[::-1] and len(set(rising)) > 10


async def test_the_sort_of_a_screen_is_there_again_at_the_next_start(screens: Screens, settled: Settled, tmp_path: Path) -> None:
    """The filter is not; a file that is none of ours, a column that is gone and a place that cannot be written change nothing."""
    place = tmp_path / "state" / "screens.json"
    app = screens(remembered=place)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "2", "s", "s", "s", "S", "slash", *"short", "enter")
    assert json.loads(place.read_text()) == {"positions": ["quantity", True]}
    app = screens(remembered=place)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "2")
        assert app.pane is not None and app.pane.arrangement == Arrangement("", "quantity", descending=True)
        falling = [int(row["quantity"]) for row in app.pane.grid.content.rows]
        assert falling == sorted(falling, reverse=True) and {row["side"] for row in app.pane.grid.content.rows} > {"SHORT"}
    for content in (b"{", b"[1]", b'{"positions": ["gone", true]}', b'{"positions": "quantity", "nowhere": ["a", true]}', b" " * 20_000):
        place.write_bytes(content)
        assert read_sorts(place) == {}
    app = screens(remembered=place / "below a file")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "2", "s")
        await pilot.pause(0.1)
        assert app.pane is not None and app.pane.arrangement.sort == "symbol"


async def test_a_symbol_is_found_by_its_beginning(screens: Screens, settled: Settled) -> None:
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "4")
        wanted = symbols(app)[40]
        await press(pilot, settled, "g", *wanted[:3].lower(), "enter")
        assert app.pane is not None and app.pane.grid.row is not None
        assert app.pane.grid.row["symbol"].startswith(wanted[:3])
        assert app.pane.grid.scroll_offset.y > 0


async def test_sessions_are_leafed_through(screens: Screens, settled: Settled) -> None:
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "3")
        newest = symbols(app)
        await press(pilot, settled, "left_square_bracket")
        assert app.answer is not None and str(app.answer.session) == "2026-03-11"
        assert symbols(app) != newest
        await press(pilot, settled, "n")
        assert symbols(app) == newest


async def test_a_row_is_copied_as_json_and_as_csv(screens: Screens, settled: Settled) -> None:
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "2", "down", "c")
        assert app.pane is not None
        row = app.pane.grid.row
        assert json.loads(app.clipboard) == row
        await press(pilot, settled, "C")
        assert next(csv.DictReader(app.clipboard.splitlines()))["symbol"] == row["symbol"]  # type: ignore[index]


async def test_a_table_is_exported_as_it_is_filtered(screens: Screens, settled: Settled, tmp_path: Path) -> None:
    app = screens(exports=tmp_path)
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "2", "slash", *"short", "enter", "E", "e")
        await app.workers.wait_for_complete()
    rows = json.loads((tmp_path / "positions_2026-03-12.json").read_text())
    assert rows and {row["side"] for row in rows} == {"SHORT"}
    lines = (tmp_path / "positions_2026-03-12.csv").read_text().splitlines()
    assert len(lines) == len(rows) + 1


async def test_a_halt_is_asked_of_the_daemon_after_a_reason_and_a_word(screens: Screens, settled: Settled, tmp_path: Path) -> None:
    """The daemon hears one request, with who asked; a wrong word asks nothing."""
    heard: list[control_socket.ControlRequest] = []
    stop = Event()

    def handle(request: control_socket.ControlRequest) -> control_socket.ControlAnswer:
        return control_socket.ControlAnswer(True, f"HALTED: {request.reason}")

    path = tmp_path / "c.sock"
    server = Thread(target=control_socket.serve, args=(path, handle, heard.append, stop))
    server.start()
    try:
        app = screens(socket=path, by="ana")
        async with app.run_test(size=SIZE) as pilot:
            await settled(pilot)
            await press(pilot, settled, "H", *"odd", "enter", *"halt", "enter")
            assert isinstance(app.screen, TypedScreen)
            assert "not typed" in said(app, "#fault")
            app.screen.query_one("#word", Input).value = "HALT"
            await press(pilot, settled, "enter")
            await app.workers.wait_for_complete()
            await settled(pilot)
    finally:
        stop.set()
        server.join()
    assert [(request.command, request.reason) for request in heard] == [(control_socket.Command.HALT, "odd")]
    assert heard[0].by.startswith("ana (uid ")


async def test_without_a_daemon_the_screen_names_the_command_to_run(screens: Screens, settled: Settled, tmp_path: Path) -> None:
    app = screens(socket=tmp_path / "nobody.sock")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "H", *"odd", "enter", *"HALT", "enter")
        await app.workers.wait_for_complete()
        await settled(pilot)
        told = " ".join(notification.message for notification in app._notifications)
    assert "no daemon answers; nothing was changed" in told
    assert "appliance halt --reason" in told


async def test_help_lists_every_screen_and_the_palette_runs_every_action(screens: Screens, settled: Settled) -> None:
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        await press(pilot, settled, "3")
        names = {command.title for command in app.get_system_commands(app.screen)}
        await press(pilot, settled, "question_mark")
        assert isinstance(app.screen, HelpScreen)
        page = str(app.screen.query_one(Static).content)
    for title in ("Positions", "Blotter", "Signals", "Risk", "Jobs", "Data", "Bundle", "Logs", "Reconcile", "Performance"):
        assert title in page
        assert f"Go to {title}" in names
    assert {"Filter rows", "Export table as CSV", "Copy row as JSON", "Light or dark"} <= names
    assert not any("Halt" in name for name in names)  # no daemon could be asked here


async def test_stale_data_is_told_and_drawn_dim(screens: Screens, settled: Settled) -> None:
    app = screens("stale")
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        assert "3 sessions behind" in app.query_one(Notice).banner_state.notice
        assert app.query_one("#panes").has_class("-old")


async def test_the_mouse_does_what_the_keys_do(screens: Screens, settled: Settled) -> None:
    """A click goes to a screen, on a title it sorts, on a row it selects; two clicks ask why; the wheel scrolls."""
    app = screens()
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        bar = app.query_one(ScreenBar)
        await pilot.click(bar, offset=(bar.render_line(0).text.index("3 Blot") + 2, 0))
        await settled(pilot)
        assert app.front.name == "blotter" and app.pane is not None
        await pilot.click(app.pane.grid, offset=(4, 0))  # the title "symbol"
        await settled(pilot)
        assert app.pane.arrangement.sort == "symbol" and symbols(app) == sorted(symbols(app))
        await pilot.click(app.pane.grid, offset=(4, 3))
        await settled(pilot)
        assert app.pane.grid.cursor == 2
        order = app.pane.grid.content.rows[2]["client_order_id"]
        await pilot.click(app.pane.grid, offset=(4, 3), times=2)
        await settled(pilot)
        assert (app.front.name, app.order) == ("trace", order)
        await press(pilot, settled, "4")
        grid = app.pane.grid
        grid.post_message(MouseScrollDown(grid, 4, 4, 0, 1, 0, False, False, False))
        await settled(pilot)
        await pilot.pause(0.3)
        assert grid.scroll_offset.y > 0


@pytest.mark.parametrize("size", [(200, 60), (40, 12), (16, 5)])
async def test_the_screens_live_in_a_large_and_in_a_tiny_terminal(screens: Screens, settled: Settled, size: tuple[int, int]) -> None:
    """200 x 60 is used to its last column; far below 80 x 24 nothing breaks, and the state is still said."""
    app = screens()
    async with app.run_test(size=size) as pilot:
        for name in ("overview", "signals", "jobs", "performance", "life"):
            app.action_show(name)
            await settled(pilot)
            lines = [strip.text for strip in app.screen._compositor.render_strips()]
            assert len(lines) == size[1] and all(len(line) == size[0] for line in lines)
            assert "ARMED" in lines[0]
            if size[0] == 200 and app.pane is not None:
                assert app.pane.grid.size.width == 200
