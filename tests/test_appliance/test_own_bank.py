"""The bank that an evening asks: a bundle's own, and this device's events whose outcomes were known before, never after."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import apsw
import numpy as np
import pytest

from appliance.context import Deps
from appliance.jobs import events as events_job
from appliance.jobs.events import bank_of, record_events
from appliance.ledger import Ledger, events
from appliance.ledger.events import BankRow
from appliance.system.clock import VirtualClock
from signals.bundle import Bundle, verify
from signals.bundle.manifest import Part
from signals.errors import ScoresInvalid
from signals.events.analogs import code_of, nearest
from signals.market.actions import Action
from signals.market.bars import Bars
from signals.models.inference import FEATURES, GraphMember, infer
from signals.sleeves.patterns import PATTERNS, pictured
from signals.views.sample_views import BarImageView
from tests.fakes.bars import synthetic_bars
from tests.fakes.broker import FakeBroker, Inbox, MemoryFs, deps_of
from tests.fakes.bundles import Recipe, keyset, policy, weekdays
from tests.fakes.picture_nets import HEAD, MAP, WIDTHS, arrays, graph, recipe

FIRST, LAST = 130, 210
CALENDAR = weekdays()
BARS = synthetic_bars(11, sessions=LAST + 10, symbols=24, missing=0.0, start=CALENDAR.days[0])
DAYS = [day.astype(object) for day in BARS.sessions]
KNOWN = arrays(7, BARS.sessions, FIRST)
NEWEST = int(KNOWN["known"].max())


class Market:
    def bars(self, asof: date, sessions: int) -> Bars:
        return BARS.until(asof, sessions)

    def ends_and_renamings(self, first: date, asof: date) -> tuple[Action, ...]:
        return ()


def device(root: Path) -> Deps:
    clock = VirtualClock(CALENDAR.session(DAYS[FIRST]).close)
    made = deps_of(root, FakeBroker(clock, CALENDAR, {}), clock, CALENDAR, MemoryFs(), Ledger(root / "ledger.sqlite"), Inbox())
    return replace(made, open_market=Market)


def evening(deps: Deps, bundle: Bundle, row: int) -> Any:
    """As the score job has it: first what the net sees, then the events and outcomes of the evening."""
    deps.clock.advance(max(deps.clock.now(), CALENDAR.session(DAYS[row]).close))
    bank = bank_of(DAYS[row], bundle, deps, infer)
    record_events(DAYS[row + 1], DAYS[row], deps)
    return bank


def rows_of(deps: Deps) -> list[tuple[Any, ...]]:
    columns = tuple[str, date, str, date, date, float]
    return deps.ledger.read(
        columns, "SELECT bundle, asof, symbol, known, evening, realised_r FROM bank_rows ORDER BY evening, known, asof, symbol"
    )


def bundle_of(folder: Path, seq: int = 1) -> Bundle:
    recipe(seq, arrays={"bank.bin": (Part.BANK, KNOWN)}).write(folder)
    trusted = policy(sleeves={"equities_xs": Recipe().spec, PATTERNS.name: PATTERNS.spec})
    return verify(folder, keyset(), trusted, reproduce=infer)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle_of(tmp_path_factory.mktemp("bundle") / "b")


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Deps:
    deps = device(tmp_path_factory.mktemp("device"))
    for row in range(FIRST, LAST):
        evening(deps, bundle, row)
    return deps


def test_an_evening_asks_the_bundles_bank_and_every_own_event_that_was_over_before(lived: Deps, bundle: Bundle) -> None:
    """The net is asked of each picture apart here, over the whole panel; the outcomes are the ledger's."""
    asof = DAYS[LAST - 1]
    bank, panel, can = bank_of(asof, bundle, lived, infer), PATTERNS.panel(BARS), pictured(BARS)
    query = "SELECT asof, symbol, realised_r, known FROM outcomes WHERE realised_r IS NOT NULL AND known < ? ORDER BY known, asof, symbol"
    found = []
    for day, symbol, realised, known in lived.ledger.read(tuple[date, str, float, date], query, (asof,)):
        row, column = BARS.index(day), BARS.column(symbol)
        if np.datetime64(known, "D").astype(int) > NEWEST and can[row, column]:
            found.append((row, column, realised, BARS.index(known)))
    own = len(KNOWN["vectors"])
    assert len(found) > 20 and len(bank.vectors) == own + len(found)
    np.testing.assert_array_equal(bank.row[own:], [row for row, *_ in found])
    np.testing.assert_array_equal(bank.column[own:], [code_of(BARS.symbols[column]) for _, column, *_ in found])
    np.testing.assert_allclose(bank.realised_r[own:], [r for *_, r, _ in found], rtol=1e-6)
    np.testing.assert_array_equal(bank.known_at[own:], [known for *_, known in found])
    shown = BarImageView().rows(panel, np.array([row for row, *_ in found]), np.array([column for _, column, *_ in found]))
    said = infer([GraphMember(graph(), WIDTHS, profile="image-1")], {FEATURES: shown})
    unit = said["embedding"] / np.linalg.norm(said["embedding"], axis=1, keepdims=True)
    np.testing.assert_allclose(bank.vectors[own:], unit, atol=1e-3)
    odds = HEAD.parts["score"].probabilities(MAP.logits(said["score"]))  # type: ignore[union-attr]
    np.testing.assert_allclose(bank.quality[own:], odds.max(axis=1), rtol=1e-6)
    near = nearest(bank, unit[0].astype(np.float32), row=BARS.index(asof), column=-1, k=5)
    assert own in near.place, "an own event is found where it is the nearest"


def test_no_row_was_taken_in_before_its_outcome_was_known_and_none_twice(lived: Deps, bundle: Bundle) -> None:
    rows = rows_of(lived)
    assert len({row[:3] for row in rows}) == len(rows) and {row[0] for row in rows} == {bundle.sha256}
    assert all(asof < known < taken for _, asof, _, known, taken, _ in rows)


def test_a_planted_outcome_that_is_not_known_yet_is_refused(tmp_path: Path, bundle: Bundle) -> None:
    """Nor by the query, nor by the table, whoever writes the row."""
    deps = device(tmp_path)
    for row in range(FIRST, FIRST + 45):
        evening(deps, bundle, row)
    here, tomorrow = DAYS[FIRST + 45], DAYS[FIRST + 46]
    one = next(event for event in deps.ledger.read(tuple[date, str], "SELECT asof, symbol FROM events ORDER BY asof DESC, symbol"))
    with deps.ledger.transaction():
        deps.ledger.execute("DELETE FROM outcomes WHERE asof = ? AND symbol = ?", one)
        planted = {"asof": one[0], "symbol": one[1], "exit": "target", "realised_r": 9.0, "is_tie": 0, "known": tomorrow, "is_final": 0}
        deps.ledger.insert("outcomes", {**planted, "at": deps.clock.now()})
    for asof in (here, tomorrow):
        assert not (bank_of(asof, bundle, deps, infer).realised_r == 9.0).any()
    assert (bank_of(DAYS[FIRST + 47], bundle, deps, infer).realised_r == 9.0).sum() == 1, "the bar after it may know"
    assert not (bank_of(tomorrow, bundle, deps, infer).realised_r == 9.0).any(), "an earlier evening that is run again may not"
    sample = BankRow(one[0], one[1], 9.0, tomorrow, "b", 0.5, b"\0" * 32, tomorrow, deps.clock.now())
    for wrong in (sample, replace(sample, known=one[0], evening=tomorrow), replace(sample, evening=DAYS[FIRST + 47], vector=None)):
        with pytest.raises(apsw.ConstraintError):
            events.save(deps.ledger, [wrong])
    with pytest.raises(apsw.ConstraintError), deps.ledger.transaction():
        deps.ledger.execute("UPDATE bank_rows SET realised_r = 9")


def test_a_device_that_dies_while_it_takes_in_goes_on_as_one_that_did_not(
    tmp_path: Path, lived: Deps, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    deps, save = device(tmp_path), events.save

    def dying(ledger: Ledger, rows: Iterable[BankRow]) -> None:
        with ledger.transaction():
            save(ledger, list(rows)[:1])
            raise KeyboardInterrupt

    for row in range(FIRST, LAST):
        if row % 7 == 0:
            monkeypatch.setattr(events, "save", dying)
            deps.clock.advance(max(deps.clock.now(), CALENDAR.session(DAYS[row]).close))
            before = rows_of(deps)
            try:
                bank_of(DAYS[row], bundle, deps, infer)
            except KeyboardInterrupt:
                assert rows_of(deps) == before
            monkeypatch.setattr(events, "save", save)
        evening(deps, bundle, row)
        bank_of(DAYS[row], bundle, deps, infer)  # and once more
    assert rows_of(deps) == rows_of(lived)


def test_an_evening_takes_in_so_many_and_the_bank_holds_the_newest(
    tmp_path: Path, lived: Deps, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = bank_of(DAYS[LAST - 1], bundle, lived, infer)
    monkeypatch.setattr(events_job, "MOST_ROWS", 12)
    own = len(KNOWN["vectors"])
    few = bank_of(DAYS[LAST - 1], bundle, lived, infer)
    np.testing.assert_array_equal(few.known_at[own:], whole.known_at[-12:])
    monkeypatch.setattr(events_job, "MOST_AN_EVENING", 2)
    monkeypatch.setattr(events_job, "MOST_ROWS", 20_000)
    deps, lived_sizes = device(tmp_path), {}
    for row in range(FIRST, LAST - 20):
        evening(deps, bundle, row)
        lived_sizes[row] = len(bank_of(DAYS[row], bundle, deps, infer).vectors)
    again = {row: len(bank_of(DAYS[row], bundle, deps, infer).vectors) for row in lived_sizes}
    assert again == lived_sizes, "later evenings took in what was known by then"
    counts = np.unique([row[4] for row in rows_of(deps)], return_counts=True)[1]
    assert counts.max() == 2 and len(counts) > 5


def test_own_events_that_cannot_be_taken_in_are_notified_and_the_bundles_bank_is_asked(tmp_path: Path, bundle: Bundle) -> None:
    deps = device(tmp_path)
    for row in range(FIRST, FIRST + 45):
        evening(deps, bundle, row)

    def spoilt(*of: object) -> Any:
        raise ScoresInvalid("not finite", fix="Publish another bundle")

    found = bank_of(DAYS[FIRST + 45], bundle, deps, spoilt)
    assert len(found.vectors) == len(KNOWN["vectors"])
    assert isinstance(deps.notifier, Inbox) and deps.notifier.alerts[-1].key == f"own-bank-{DAYS[FIRST + 45]}"
    named = replace(bundle, bank={f"x_{name}": values for name, values in bundle.bank.items()})
    with pytest.raises(ScoresInvalid):
        bank_of(DAYS[FIRST + 45], named, deps, infer)


def test_the_net_of_another_bundle_sees_the_events_again(tmp_path: Path, lived: Deps, bundle: Bundle) -> None:
    """Its embeddings are its own, so that a row of another net answers nothing."""
    other, asof = bundle_of(tmp_path / "b", seq=2), DAYS[LAST - 1]
    before = bank_of(asof, bundle, lived, infer)
    found = bank_of(asof, other, lived, infer)
    assert {row[0] for row in rows_of(lived)} == {bundle.sha256, other.sha256}
    np.testing.assert_array_equal(found.vectors, before.vectors)  # the same graph
    assert len(bank_of(asof, bundle, lived, infer).vectors) == len(before.vectors)
