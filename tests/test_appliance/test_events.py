"""Events that a device records: what the trainer computes from the same bars, once, through missed evenings and new names."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import apsw
import numpy as np
import pytest
from typer.testing import CliRunner

from appliance.commands.command_line import app
from appliance.context import Deps
from appliance.jobs.events import record_events
from appliance.ledger import AccessMode, Ledger, arms, events
from appliance.system.clock import VirtualClock
from appliance.views.events import outcomes_of
from signals.errors import DataNotUsable, InvariantBroken
from signals.events import arms as shadow_arms
from signals.events import daily
from signals.events.daily import WAITS, daily_events, daily_outcomes
from signals.events.detectors import detect
from signals.events.outcomes import outcomes
from signals.events.panel import EventBars
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars, departures
from signals.scoring.shadow_logs import read_arm_log
from tests.fakes.bars import synthetic_bars
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of, weekdays

SESSIONS, FIRST, RENAMED, GONE = 210, 100, 130, 150
WHOLE = synthetic_bars(5, sessions=SESSIONS, symbols=8, start=date(2020, 1, 2))
CALENDAR = weekdays(date(2020, 1, 2), SESSIONS)
DAYS = [day.astype(object) for day in WHOLE.sessions]


def _dead(bars: Bars) -> Bars:
    """S0003 breaks out, stays where it is for a bar, and then has none from the session `GONE` on; S0007 so before its new name."""
    held = {name: getattr(bars, name).copy() for name in ("open", "high", "low", "close", "volume", "total_return", "overnight_return")}
    held |= {name: getattr(bars, name).copy() for name in ("gap_return", "gap_overnight")}
    for row, column in ((GONE - 2, 3), (RENAMED - 1, 7)):
        held["total_return"][row : row + 2, column] = 0.12, 0.0
        for name in ("open", "high", "low", "close", "volume"):
            held[name][row + 1, column] = 100.0
    for array in held.values():
        array[GONE:, 3] = np.nan
    eligible = bars.eligible.copy()
    eligible[GONE - 2, 3] = eligible[RENAMED - 1, 7] = True
    eligible[GONE:, 3] = False
    return replace(bars, **held, eligible=eligible)


WHOLE = replace(_dead(WHOLE), symbols=(*WHOLE.symbols[:-1], "T0007"))
ACTIONS = (
    Action(ActionKind.DELISTING, "S0003", DAYS[GONE], DAYS[GONE - 5], cash=Decimal("1.00")),
    Action(ActionKind.SYMBOL_CHANGE, "S0007", DAYS[RENAMED], DAYS[RENAMED - 5], new_symbol="T0007"),
)


class Market:
    """The panel as a device's store gives it: nothing after asof, names as they were then."""

    def __init__(self) -> None:
        self.fails = False

    def bars(self, asof: date, sessions: int) -> Bars:
        if self.fails:
            raise DataNotUsable(f"the market store holds no bars of {asof}", fix="Run `appliance pull`")
        seen = WHOLE.until(asof, sessions)
        return seen if asof >= DAYS[RENAMED] else replace(seen, symbols=(*seen.symbols[:-1], "S0007"))

    def ends_and_renamings(self, first: date, asof: date) -> tuple[Action, ...]:
        return tuple(one for one in ACTIONS if first <= one.effective <= asof)


def device(root: Path, market: Market) -> Deps:
    clock = VirtualClock(CALENDAR.session(DAYS[FIRST]).close)
    fs, inbox = MemoryFs(), Inbox()
    broker = FakeBroker(clock, CALENDAR, {})
    made = deps_of(root, broker, clock, CALENDAR, fs, Ledger(root / "ledger.sqlite"), inbox)
    return replace(made, open_market=lambda: market)


def evening(deps: Deps, row: int) -> str:
    deps.clock.advance(max(deps.clock.now(), CALENDAR.session(DAYS[row]).close))
    return record_events(DAYS[row + 1] if row + 1 < SESSIONS else DAYS[row], DAYS[row], deps)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Deps:
    """A device that was off for three evenings of every eleven, and ran every other one twice."""
    deps = device(tmp_path_factory.mktemp("device"), Market())
    for row in range(FIRST, SESSIONS):
        if row % 11 not in (4, 5, 6):
            evening(deps, row)
            if row % 2:
                evening(deps, row)
    return deps


def then(symbol: str, asof: date) -> str:
    return "S0007" if symbol == "T0007" and asof < DAYS[RENAMED] else symbol


def test_the_recorded_events_and_outcomes_are_those_of_one_computation_over_all_bars(recorded: Deps) -> None:
    """The whole panel at once, as the trainer has it, against evenings of `READS` sessions; through a new name and a delisting."""
    found = [row for row, _ in reversed(events.labelled(recorded.ledger, date.min, date.max))]
    wanted = {(one.asof, then(one.symbol, one.asof)): one for one in daily_events(WHOLE, FIRST)}
    assert len(found) == len(wanted) > 60 and {row.kind for row in found} >= {"breakout", "wick"}
    late = [row for row in found if row.at > CALENDAR.session(row.asof).close]
    assert late  # evenings that were missed are recorded by the next one
    for row in found:
        one = wanted[row.asof, row.symbol]
        assert (row.kind, row.side, row.third, row.pole_katr) == (one.kind, one.side, one.third, one.pole_katr)
        assert (row.strength, row.atr) == (pytest.approx(one.strength, rel=1e-5), pytest.approx(one.atr, rel=1e-9))

    levels, payouts = EventBars.of(WHOLE), tuple(departures(WHOLE, ACTIONS))
    table = detect(levels).table(WHOLE.eligible & (np.arange(SESSIONS) >= FIRST)[:, None])
    made = outcomes(levels, table, daily.RULES, payouts)
    ledger = {(event.asof, event.symbol): row for event, row in events.labelled(recorded.ledger, date.min, date.max) if row}
    ended = 0
    for i, (row, column) in enumerate(zip(table.row.tolist(), table.column.tolist(), strict=True)):
        mine = ledger.get((DAYS[row], then(WHOLE.symbols[column], DAYS[row])))
        if made.t1[i] >= 0:
            assert mine is not None and mine.realised_r == pytest.approx(made.realised_r[i], rel=1e-7, abs=1e-9)
            assert (mine.exit, mine.known, mine.is_tie) == (daily._word(daily.Exit(made.exit[i])), DAYS[made.t1[i]], made.is_tie[i])
            ended += 1
        if made.seen_to[i] >= 0:
            assert mine is not None and mine.is_final and mine.mae_r == pytest.approx(made.mae_r[i], rel=1e-7, abs=1e-9)
    assert ended > 50
    assert any(row.exit == "delisted" for row in ledger.values())  # the planted end was met
    assert any(row.symbol == "S0007" and row.known and row.known > DAYS[RENAMED] for row in ledger.values())


def test_a_recorded_event_and_a_final_outcome_are_not_written_again(recorded: Deps) -> None:
    before = events.labelled(recorded.ledger, date.min, date.max)
    for table in ("events", "outcomes"):
        with pytest.raises(apsw.ConstraintError), recorded.ledger.transaction():
            recorded.ledger.execute(f"UPDATE {table} SET symbol = symbol")
    evening(recorded, SESSIONS - 1)
    assert [pair[0] for pair in events.labelled(recorded.ledger, date.min, date.max)] == [pair[0] for pair in before]


def test_every_event_draws_an_arm_once_whose_trade_is_played_by_its_own_target(recorded: Deps, tmp_path: Path) -> None:
    """The draw is that of the seed; through missed evenings, a new name and a delisting its R is that of one computation.

    Nothing else reads a draw: events and outcomes are those of the recipe.
    """
    drawn = arms.all_drawn(recorded.ledger)
    seeds = {one.seed for one in drawn}
    assert len(seeds) == 1 and recorded.ledger.read_meta(arms.SEED) in seeds
    assert [(one.asof, one.symbol) for one in drawn] == sorted(
        (e.asof, e.symbol) for e, _ in events.labelled(recorded.ledger, date.min, date.max)
    )
    assert all((one.arm, one.propensity) == shadow_arms.drawn(one.seed, one.asof, one.symbol) for one in drawn)
    levels, payouts = EventBars.of(WHOLE), tuple(departures(WHOLE, ACTIONS))
    table = detect(levels).table(WHOLE.eligible & (np.arange(SESSIONS) >= FIRST)[:, None])
    made = {arm.target: outcomes(levels, table, arm.rules(daily.RULES), payouts) for arm in shadow_arms.ARMS}
    mine, targets = {(one.asof, one.symbol): one for one in drawn}, set()
    for i, (row, column) in enumerate(zip(table.row.tolist(), table.column.tolist(), strict=True)):
        one = mine[DAYS[row], then(WHOLE.symbols[column], DAYS[row])]
        played = made[shadow_arms.ARMS[one.arm].target]
        if played.t1[i] >= 0:
            assert one.realised_r == pytest.approx(played.realised_r[i], rel=1e-7, abs=1e-9)
            assert one.exit == daily._word(daily.Exit(played.exit[i]))
            targets.add(shadow_arms.ARMS[one.arm].target)
    assert len(targets) > 1, "an arm was drawn that is not the recipe's"
    ended = next(one for one in drawn if one.exit is not None)
    for change in ("arm = 0", "propensity = 1.0", "realised_r = 5.0"):
        with pytest.raises(apsw.ConstraintError), recorded.ledger.transaction():
            recorded.ledger.execute(f"UPDATE draws SET {change} WHERE asof = ? AND symbol = ?", (ended.asof, ended.symbol))
    state = str(recorded.ledger.path.parent)
    recorded.folder.config.write_text("stores: {data: d, bundles: b}\n")
    to = tmp_path / "arms.json"
    shown = json.loads(CliRunner().invoke(app, ["arms", "--to", str(to), "--state", state, "--json"]).stdout)
    assert sum(row["drawn"] for row in shown["rows"]) == len(drawn) and shown["note"] == "drawn in shadow, never traded"
    log = read_arm_log(to.read_bytes(), where="arms.json")
    assert [(one.symbol, one.arm, one.realised_r) for one in log.decisions] == [(one.symbol, one.arm, one.realised_r) for one in drawn]


def test_a_draw_ends_though_its_event_has_ended_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own target may be reached later than the recipe's: no event is open here, and the draws' trades end all the same."""
    deps = device(tmp_path, Market())
    for row in range(FIRST, FIRST + 10):
        evening(deps, row)
    monkeypatch.setattr(events, "open_events", lambda ledger, before: ())
    evening(deps, SESSIONS - 1)
    first = [one for one in arms.all_drawn(deps.ledger) if one.asof <= DAYS[FIRST + 9]]
    assert first and all(one.exit is not None for one in first)


def test_an_outcome_that_lacks_a_column_is_refused_and_not_filled(recorded: Deps) -> None:
    with pytest.raises(InvariantBroken, match="lacks a column"):
        recorded.ledger.read(events.OutcomeRow, "SELECT asof, symbol, exit, is_final, at FROM outcomes LIMIT 1")


def test_an_outcome_that_cannot_come_any_more_is_final(recorded: Deps) -> None:
    """A security whose column is gone, WAITS sessions later: unknown, and not asked for again."""
    one = replace(daily_events(WHOLE, FIRST)[0], symbol="GONE")
    early, late = WHOLE.until(DAYS[FIRST + WAITS - 1]), WHOLE.until(DAYS[FIRST + WAITS + 5])
    assert list(daily_outcomes(early, [one])) == []
    (found,) = daily_outcomes(late, [one])
    assert (found.exit, found.is_final, found.realised_r, found.known) == ("unknown", True, None, None)


def test_bars_that_give_no_events_are_notified_and_stop_nothing(tmp_path: Path) -> None:
    market = Market()
    deps = device(tmp_path, market)
    market.fails = True
    assert evening(deps, FIRST).startswith("events: the market store holds no bars")
    assert events.newest(deps.ledger, date.max) is None
    assert events.summaries(deps.ledger, events.labelled(deps.ledger, date.min, date.max)) == ()
    market.fails = False
    evening(deps, FIRST + 3)
    assert all(row.asof == DAYS[FIRST + 3] for row, _ in events.labelled(deps.ledger, date.min, date.max))


def test_the_commands_show_events_and_what_they_would_have_made(recorded: Deps) -> None:
    state = str(recorded.ledger.path.parent)
    recorded.folder.config.touch()
    with Ledger(recorded.ledger.path, AccessMode.READ) as reader:
        wanted = outcomes_of(reader, date.max, 90)
    shown = json.loads(CliRunner().invoke(app, ["outcomes", "--state", state, "--json"]).stdout)
    assert shown["total"] == len(wanted.rows) and shown["note"] == "recorded, not traded"
    for kind in shown["kinds"]:
        own = [row["realised_r"] for row in shown["rows"] if row["kind"] == kind["kind"] and row["realised_r"] is not None]
        assert kind["ended"] == len(own)
        assert not own or kind["mean_r"] == pytest.approx(sum(own) / len(own), abs=1e-3)
    day = shown["rows"][0]["asof"]
    tonight = json.loads(CliRunner().invoke(app, ["events", "--state", state, "--asof", day, "--json"]).stdout)
    assert {row["symbol"] for row in tonight["rows"]} == {row["symbol"] for row in shown["rows"] if row["asof"] == day}
    assert all((row["stop"][0] == "-") == (row["side"] == "LONG") for row in tonight["rows"])
