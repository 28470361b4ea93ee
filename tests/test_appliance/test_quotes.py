"""Quoted spreads: the device's figure is the trainer's, nothing after the clock, nobody else's."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.bundles.pull import DataPull, pull_data
from appliance.market.store import MarketStore
from appliance.storage.published_store import PublishedFolder
from signals.files import write_atomic
from signals.market.actions import Action, ActionKind
from signals.market.dataset import load_actions, read_manifest
from signals.market.manifest import FileRole
from tests.fakes.quotes import quote
from tests.fakes.store import publish_data
from trainer.backtest.archive import open_archive
from trainer.curation.generated.market import GeneratedMarket, generate

END = date(2025, 6, 30)
SESSIONS = 20  # over which a name's spread is taken


@pytest.fixture(scope="module")
def generated() -> GeneratedMarket:
    return generate(4, 40, 300, END)


@pytest.fixture
def data(generated: GeneratedMarket, tmp_path: Path) -> Path:
    publish_data(tmp_path / "published" / "data", generated)
    return tmp_path / "published" / "data"


def pull(data: Path, market: MarketStore, through: date) -> DataPull:
    manifest = read_manifest(data)
    at = manifest.calendar.session(through).close
    return pull_data(PublishedFolder(data), market, manifest, through, data.parent / "incoming", at)


def renaming(data: Path) -> Action:
    found = [a for a in load_actions(data, read_manifest(data)) if a.kind is ActionKind.SYMBOL_CHANGE]
    return found[-1]


def test_the_spread_is_the_lower_median_of_the_trailing_sessions_in_both_hosts(data: Path) -> None:
    """Four sessions at 8, 2, 4 and 6 bps: 4. Twenty sessions back counts, twenty-one does not; a new name inherits."""
    calendar, change = read_manifest(data).calendar, renaming(data)
    asof = calendar.offset(change.effective, 2)
    one = next(s for s in open_archive(data).rows.closes(asof) if s != change.new_symbol)
    rows = [(calendar.offset(asof, -place), one, bps) for place, bps in ((19, 8.0), (3, 2.0), (2, 4.0), (0, 6.0))]
    rows += [(calendar.offset(asof, -20), one, 99.0), (calendar.next(asof), one, 99.0)]
    rows += [(calendar.offset(change.effective, -3), change.symbol, 11.25), (asof, "NOBODY", 3.0)]
    manifest = quote(data, rows)
    market = MarketStore(data.parent / "market.duckdb", calendar)
    pull(data, market, manifest.last)
    assert change.new_symbol is not None
    worked = {one: Decimal("4.0"), change.new_symbol: Decimal("11.25")}
    assert market.spreads(asof, SESSIONS) == open_archive(data).spreads(asof) == worked
    assert market.spreads(calendar.offset(asof, 40), SESSIONS) == {}


def test_nothing_after_the_clock_is_stored_and_a_pull_goes_on(data: Path) -> None:
    manifest = read_manifest(data)
    days = manifest.calendar.between(manifest.calendar.offset(manifest.last, -2), manifest.last)
    name = min(open_archive(data).rows.closes(days[0]))
    quote(data, [(days[0], name, 3.0), (days[1], name, 5.0), (days[2], name, 7.0)])
    market = MarketStore(data.parent / "market.duckdb", manifest.calendar)
    pull(data, market, days[0])
    assert market._rows("SELECT session, spread_bps FROM spreads") == [(days[0], 3.0)]
    assert pull(data, market, days[2]).files == 2  # the year's bars, and the quotes
    assert market.spreads(days[2], SESSIONS) == {name: Decimal("5.0")}
    assert pull(data, market, days[2]).files == 0


def test_what_is_published_now_counts_even_where_it_was_published_before(data: Path) -> None:
    """Quotes A, then B, then A again, then none; the bars stay as they are."""
    manifest = read_manifest(data)
    name = min(open_archive(data).rows.closes(manifest.last))
    market = MarketStore(data.parent / "market.duckdb", manifest.calendar)
    for bps in (3.0, 9.0, 3.0):
        quote(data, [(manifest.last, name, bps)])
        pull(data, market, manifest.last)
        assert market.spreads(manifest.last, SESSIONS) == {name: Decimal(repr(bps))}
    quoted = read_manifest(data)
    bare = replace(quoted, version=9, files=tuple(f for f in quoted.files if f.role is not FileRole.SPREADS))
    for path in ("manifest.json", "manifests/9.json"):
        write_atomic(data / path, bare.to_bytes())
    assert pull(data, market, manifest.last).files == 0
    assert market.spreads(manifest.last, SESSIONS) == {}
