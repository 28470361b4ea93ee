"""Downloads from the exchange through Alpaca's own client: the universe by date, faults, resumption, refreshes, ingestion."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import requests
from typer.testing import CliRunner

from execution.brokers.retrying import PATIENCE
from execution.exchange.api.exchange import Exchange
from signals.errors import BadBars, BrokerUnreachable, FixInput, TrademlError
from signals.market.dataset import load_bars, read_manifest
from tests.fakes import exchange as fake
from tests.fakes import steering
from tests.fakes.downloads import (
    END,
    GONE,
    NAMES,
    RENAMED,
    RULE,
    Door,
    Spoil,
    World,
    bytes_of,
    fourteen_names,
    left,
    lost,
    members,
    said,
    source,
    terms,
)
from trainer.__main__ import app
from trainer.curation.audit.audit import audit, changes_of, render
from trainer.curation.config import CurationConfig
from trainer.curation.download.delivering import deliver_download
from trainer.curation.download.download import download
from trainer.curation.download.record import DownloadTerms, bar_files
from trainer.curation.download.selection import UniverseRule
from trainer.curation.vendors.alpaca import AlpacaVendor


@pytest.fixture(scope="module")
def world() -> World:
    return fourteen_names()


@pytest.fixture(scope="module")
def served(world: World) -> Exchange:
    return world.served(END)


@pytest.fixture(scope="module")
def whole(world: World, served: Exchange, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int, list[str]]:
    """An uninterrupted download: its folder, its requests, and what a person was told."""
    folder, heard = tmp_path_factory.mktemp("whole") / "download", list[str]()
    asked, door, _ = source(served)
    download(folder, asked, terms(world), END, note=heard.append)
    return folder, len(door.asked), heard


def expected(world: World, day: date) -> set[str]:
    """The rule, read again by a loop over names: the median of 60 sessions with zeros for silent ones, ended names included."""
    row, found = world.calendar.index(day) - world.calendar.index(world.first), []
    for column, name in enumerate(world.panel.symbols):
        close, volume = world.panel.close[: row + 1, column], world.panel.volume[: row + 1, column]
        if name in NAMES or not close[-1] > 5 or np.isfinite(close).sum() < 252:
            continue
        dollars = sorted(c * v if np.isfinite(c) else 0.0 for c, v in zip(close[-60:], volume[-60:], strict=True))
        found.append((-dollars[29] - dollars[30], name))
    return {name for _, name in sorted(found)[: RULE.size]}


def month_ends(world: World) -> list[date]:
    """Last sessions of months on which somebody has 252 sessions."""
    days = [day for day in world.calendar.days if day >= world.first]
    return [day for place, day in enumerate(days) if place >= 251 and day <= END and days[place + 1].month != day.month]


def test_the_members_of_each_month_are_those_of_the_rule_at_its_eve(world: World, whole: tuple[Path, int, list[str]]) -> None:
    """EBBS, which has ended since, is judged like all others; CHEP, FUND, PREF and DOUB are traded most and never members."""
    found = {day: {"GOLD" if name == "SLVR" else name for name in members(whole[0], world.calendar.next(day))} for day in month_ends(world)}
    assert len(found) >= 6
    assert found == {day: expected(world, day) for day in found}
    assert len({frozenset(names) for names in found.values()}) > 1, "they change"
    assert members(whole[0], world.calendar.offset(world.first, 200)) == set(), "nobody has 252 sessions yet"


def test_a_renamed_member_goes_on_under_its_new_symbol_and_a_delisted_one_ends(tmp_path: Path, world: World, served: Exchange) -> None:
    """With room for all, the renamed name is a member under each symbol in its time, the delisted one until its day."""
    download(tmp_path, source(served)[0], DownloadTerms(first=world.first, rule=UniverseRule(size=100)), END)
    assert {"SLVR", "EBBS"} <= members(tmp_path, date(2025, 6, 13)) and "GOLD" not in members(tmp_path, date(2025, 6, 13))
    assert {"GOLD", "EBBS"} <= members(tmp_path, RENAMED) and "SLVR" not in members(tmp_path, RENAMED)
    assert "EBBS" in members(tmp_path, date(2025, 6, 20)) and "EBBS" not in members(tmp_path, GONE)
    assert "LATE" in members(tmp_path, date(2025, 7, 1)) and not {"CHEP", *NAMES} & members(tmp_path, date(2025, 7, 1))
    excluded = pd.read_csv(tmp_path / "excluded.csv")
    assert excluded.to_dict("records") == [{"symbol": "DOUB", "name": "Something", "reason": "neither table nor rules know its kind"}]


def test_it_says_first_what_it_will_ask_for_and_how_long_that_takes(whole: tuple[Path, int, list[str]]) -> None:
    folder, requests_made, heard = whole
    assert "requests: about 1 minute at 150 of the 200 requests a minute" in heard[0]
    record = json.loads((folder / "download.json").read_text())
    assert (record["feed"], record["survivorship"], record["kinds_version"]) == ("sip", "reconstructed", 1)
    assert "inactive ones included" in record["rule"]
    assert requests_made < 20


def test_twice_asks_for_nothing_and_changes_nothing(world: World, served: Exchange, whole: tuple[Path, int, list[str]]) -> None:
    before = bytes_of(whole[0])
    asked, door, _ = source(served)
    download(whole[0], asked, terms(world), END)
    assert door.asked == []
    assert bytes_of(whole[0]) == before


@pytest.mark.parametrize("interrupted", [lost, left])
def test_whatever_interrupts_it_the_same_command_ends_with_the_same_bytes_and_asks_for_the_rest_only(
    tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]], interrupted: Callable[[int], Spoil]
) -> None:
    """The run of number n at its request of number n: among the assets, the months, the days, the actions."""
    clean, count, _ = whole
    made = 0
    for at in range(1, 1 + 2 * count):
        try:
            download(tmp_path, source(served, interrupted(at))[0], terms(world), END)
            break
        except (BrokerUnreachable, KeyboardInterrupt):
            made += 1
            assert not (tmp_path / "download.json").exists(), "nothing is whole before its record"
    assert made >= 4, f"it was interrupted {made} times"
    assert bytes_of(tmp_path) == bytes_of(clean)


def test_a_storm_of_429_is_waited_out_as_it_asks_for(
    tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]]
) -> None:
    busy = [0]

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        if at % 2 == 0:
            busy[0] += 1
            return said(request, 429, b'{"code": 42910000, "message": "rate limit exceeded"}', Retry_After="37")
        return None

    asked, _, clock = source(served, spoil)
    download(tmp_path, asked, terms(world), END)
    assert busy[0] >= 3 and clock.waits.count(37.0) == busy[0], "each 429 waits as long as it says"
    assert bytes_of(tmp_path) == bytes_of(whole[0])


def test_a_storm_that_does_not_end_is_given_up_and_resumed(tmp_path: Path, world: World, served: Exchange) -> None:
    asked, door, _ = source(served, lambda at, request: said(request, 429, b"{}", Retry_After="5") if at > 3 else None)
    with pytest.raises(BrokerUnreachable, match=r"answered 429.*what had come is kept"):
        download(tmp_path, asked, terms(world), END)
    assert len(door.asked) > PATIENCE
    download(tmp_path, source(served)[0], terms(world), END)


def test_a_page_that_is_cut_off_is_asked_for_again(
    tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]]
) -> None:
    struck = []

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        if "/bars" in str(request.url) and len(struck) < 2:
            struck.append(at)
            return said(request, 200, Door(served).true(request).content[:-500])
        return None

    download(tmp_path, source(served, spoil)[0], terms(world), END)
    assert len(struck) == 2
    assert bytes_of(tmp_path) == bytes_of(whole[0])


@pytest.mark.parametrize("empty", [b'{"bars": {}, "next_page_token": null}', b'{"bars": null}'])
def test_days_that_lack_what_the_months_have_are_asked_for_again(
    tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]], empty: bytes
) -> None:
    """An empty answer is a whole answer; the monthly bars say that it is none."""
    struck = []

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        if "1Day" in str(request.url) and len(struck) < 2:
            struck.append(at)
            return said(request, 200, empty)
        return None

    download(tmp_path, source(served, spoil)[0], terms(world), END)
    assert len(struck) == 2
    assert bytes_of(tmp_path) == bytes_of(whole[0])


@pytest.mark.parametrize("missing", [1.0, 0.7])
def test_an_evening_without_most_names_is_asked_for_again_and_then_not_kept(tmp_path: Path, world: World, missing: float) -> None:
    """Between month ends no monthly bar says what is lacking: the names of the session before do."""
    before, day = date(2025, 6, 3), date(2025, 6, 5)
    download(tmp_path, source(world.served(before))[0], terms(world), before)
    kept, struck = bytes_of(tmp_path), list[int]()

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        if "1Day" not in str(request.url):
            return None
        struck.append(at)
        bars = Door(world.served(day)).true(request).json()["bars"]
        left = dict(list(bars.items())[int(missing * len(bars)) :])
        return said(request, 200, json.dumps({"bars": left or None, "next_page_token": None}).encode())

    with pytest.raises(BrokerUnreachable, match=r"hardly a bar of 2025-06-04 of \d+ names that had one of the session before"):
        download(tmp_path, source(world.served(day), spoil)[0], terms(world), day)
    assert len(struck) == 3
    assert {name: digest for name, digest in bytes_of(tmp_path).items() if not name.startswith("_answers")} == kept
    assert download(tmp_path, source(world.served(day))[0], terms(world), day).last == day
    there = pd.concat([pd.read_parquet(path) for path in bar_files(tmp_path, before)])
    assert set(there["date"].dt.date) == {date(2025, 6, 4), day}


@pytest.mark.parametrize("lacking", ["active", "inactive"])
def test_a_universe_of_survivors_or_of_none_is_refused_and_the_list_is_asked_for_again(
    tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]], lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.curation.download.download.A_MARKET", 5)

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        return said(request, 200, b"[]") if f"status={lacking}&" in f"{request.url}&" else None

    with pytest.raises(BadBars, match=f"lists no {lacking} assets"):
        download(tmp_path, source(served, spoil)[0], terms(world), END)
    download(tmp_path, source(served)[0], terms(world), END)
    assert bytes_of(tmp_path) == bytes_of(whole[0])


def test_monthly_bars_of_no_listed_stock_are_asked_for_again_and_then_not_kept(
    tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]]
) -> None:
    struck: list[int] = []

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        struck.extend([at] if "1Month" in str(request.url) else [])
        return said(request, 200, b'{"bars": null}') if "1Month" in str(request.url) else None

    with pytest.raises(BrokerUnreachable, match="no monthly bar of"):
        download(tmp_path, source(served, spoil)[0], terms(world), END)
    assert len(struck) == 3
    download(tmp_path, source(served)[0], terms(world), END)
    assert bytes_of(tmp_path) == bytes_of(whole[0])


def test_days_that_a_vendor_never_gives_are_named(tmp_path: Path, world: World, served: Exchange) -> None:
    heard: list[str] = []

    def spoil(at: int, request: requests.PreparedRequest) -> requests.Response | None:
        if "1Day" not in str(request.url):
            return None
        content = Door(served).true(request).json()
        return said(request, 200, json.dumps(content | {"bars": {k: v for k, v in content["bars"].items() if k != "GOLD"}}).encode())

    download(tmp_path, source(served, spoil)[0], DownloadTerms(first=world.first, rule=UniverseRule(size=100)), END, note=heard.append)
    assert any("have a monthly bar and no daily one: GOLD 2025-06" in sentence for sentence in heard)


def test_a_damaged_answer_is_named_and_asked_for_again_once_deleted(
    tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]]
) -> None:
    with pytest.raises(BrokerUnreachable):
        download(tmp_path, source(served, lost(5))[0], terms(world), END)
    kept = next((tmp_path / "_answers").glob("months-*"))
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(FixInput, match=r"a kept answer is damaged.*Delete it"):
        download(tmp_path, source(served)[0], terms(world), END)
    kept.unlink()
    download(tmp_path, source(served)[0], terms(world), END)
    assert bytes_of(tmp_path) == bytes_of(whole[0])


def test_a_folder_keeps_to_its_terms(tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]]) -> None:
    other = DownloadTerms(first=world.first, rule=UniverseRule(size=7))
    with pytest.raises(FixInput, match="a download of other terms is here"):
        download(whole[0], source(served)[0], other, END)
    with pytest.raises(BrokerUnreachable):
        download(tmp_path, source(served, lost(3))[0], terms(world), END)
    with pytest.raises(FixInput, match="an unfinished download of other terms"):
        download(tmp_path, source(served)[0], other, END)


def test_the_folder_is_one_delivery_and_its_universe_is_reconstructed(
    tmp_path: Path, world: World, whole: tuple[Path, int, list[str]]
) -> None:
    manifest = deliver_download(whole[0], tmp_path / "us", CurationConfig(), add=False, today=END, note=lambda s: None)
    assert (manifest.universe_state, manifest.basis, manifest.vendor, manifest.last) == ("reconstructed", "raw", "alpaca", END)
    again = deliver_download(whole[0], tmp_path / "us", CurationConfig(), add=False, today=END)
    assert again.version == manifest.version, "the same folder delivers nothing new"
    panel = load_bars(tmp_path / "us", manifest, manifest.first, manifest.last)
    assert {name for name, is_member in zip(panel.symbols, panel.eligible[-1], strict=True) if is_member} <= members(whole[0], END) | {
        "SLVR"
    }
    assert panel.eligible[-1].any()


@pytest.mark.slow
def test_nightly_refreshes_end_where_one_download_does_and_the_audit_names_who_came_and_went(
    tmp_path: Path, world: World, whole: tuple[Path, int, list[str]]
) -> None:
    """A download of 2025-05-29 is refreshed over the month's end and over the rename of 2025-06-16, then once more in vain."""
    evenings = [date(2025, 5, 29), date(2025, 6, 2), date(2025, 6, 18), END]

    def evening(day: date) -> tuple[AlpacaVendor, Door]:
        return source(world.served(day))[:2]

    folder, data = tmp_path / "download", tmp_path / "us"

    def refresh(asked: AlpacaVendor, day: date) -> int:
        download(folder, asked, terms(world), day)
        return deliver_download(folder, data, CurationConfig(), add=True, today=day).version

    download(folder, evening(evenings[0])[0], terms(world), evenings[0])
    deliver_download(folder, data, CurationConfig(), add=False, today=evenings[0])
    for day in evenings[1:]:
        asked, door = evening(day)
        refresh(asked, day)
        assert all("1Month" not in url for url in door.asked) or day in (date(2025, 6, 2), END), "only a month's end is screened"
    assert len(bar_files(folder)) >= len(evenings)
    manifest = read_manifest(data)
    assert (manifest.last, manifest.universe_state) == (END, "reconstructed")
    for day in world.calendar.between(date(2025, 1, 2), END)[::9]:
        assert members(folder, day) == members(whole[0], day), day
    asked, door = evening(END)
    assert refresh(asked, END) == manifest.version
    assert door.asked == []
    report = audit(data, None, None)
    assert len(report.members) >= 3
    for change in report.members:
        before, after = members(folder, world.calendar.offset(change.day, -1)), members(folder, change.day)
        assert (set(change.entered), set(change.left), change.members) == (after - before, before - after, len(after))
    assert "MEMBERS" in render(report) and report.document()["members"]


def test_changes_of_members_are_those_of_the_table_and_a_renewed_row_is_no_change() -> None:
    rows = [
        {"symbol": "A", "start": date(2024, 1, 2), "end": date(2024, 3, 1)},
        {"symbol": "A", "start": date(2024, 3, 1), "end": None},
        {"symbol": "B", "start": date(2024, 1, 2), "end": date(2024, 2, 1)},
        {"symbol": "C", "start": date(2024, 2, 1), "end": None},
    ]
    found = changes_of(rows, date(2024, 1, 2), date(2024, 12, 31))
    assert [(c.day, c.members, c.entered, c.left) for c in found] == [(date(2024, 2, 1), 2, ("C",), ("B",))]
    assert str(found[0]) == "2 members since 2024-02-01: 1 entered (C), 1 left (B)"


@pytest.fixture
def address(served: Exchange) -> Iterator[str]:
    with fake.serving(served) as url:
        yield url


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, TrademlError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def test_a_list_of_symbols_is_downloaded_over_loopback_and_ingested_as_it_is(
    tmp_path: Path, world: World, served: Exchange, address: str
) -> None:
    """Over real HTTP, with faults on the way: a cut body, a reset connection, a 503, and the limit of the key."""
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "alpaca-key-id").write_text("PK1")
    (keys / "alpaca-secret-key").write_text("secret")
    listed = tmp_path / "mine.txt"
    listed.write_text("symbol\ngold  # the newest\n\nGIGL;Some Company\n")
    rules = [
        {"kind": "cut_body", "path": "/v2/stocks/bars"},
        {"kind": "reset", "path": "/v1/corporate-actions"},
        {"kind": "status", "status": 503, "path": "/v2/assets"},
    ]
    steering.ask(address, "POST", "faults", {"faults": rules})
    common = ("--credentials", keys, "--url", address, "--start", world.first, "--end", END)
    code, text = run("download", "--symbols", listed, "--to", tmp_path / "mine", *common)
    assert code == 0, text
    assert "universe unknown: a list of symbols that was chosen with hindsight" in text and "feed sip" in text
    record = json.loads((tmp_path / "mine" / "download.json").read_text())
    assert record["asked"] == ["GIGL", "GOLD", "SLVR"], "the symbol that it bore before is asked for too"
    code, text = run("ingest", "--bars", tmp_path / "mine", "--to", tmp_path / "us", "--json")
    assert code == 0, text
    assert json.loads(text)["survivorship"] != "point_in_time"
    manifest = read_manifest(tmp_path / "us")
    panel = load_bars(tmp_path / "us", manifest, manifest.first, manifest.last)
    assert len(panel.symbols) == 2, "one security bore two of the symbols"
    code, text = run("download", "--symbols", listed, "--to", tmp_path / "mine", "--feed", "iex", *common)
    assert code == 2 and "'iex' are no bars of the whole market" in text
    listed.write_text("AAPL\nnot a symbol\n")
    assert run("download", "--symbols", listed, "--to", tmp_path / "x", *common)[0] == 2


def test_answers_that_an_interruption_left_serve_no_later_round(
    tmp_path: Path, world: World, served: Exchange, whole: tuple[Path, int, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted when the record was there and its answers half removed: the request is removed last, and a rest is dropped."""
    removed, unlink = list[str](), Path.unlink

    def some(path: Path, missing_ok: bool = False) -> None:
        if path.parent.name == "_answers" and not path.name.startswith("."):
            if len(removed) == 2:
                raise KeyboardInterrupt
            removed.append(path.name)
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Path, "unlink", some)
        download(tmp_path, source(served)[0], terms(world), END)
    spool = tmp_path / "_answers"
    assert (spool / "terms.json").is_file() and len(removed) == 2 and len(list(spool.iterdir())) > 2
    asked, door, _ = source(served)
    download(tmp_path, asked, terms(world), END)
    assert not door.asked and bytes_of(tmp_path) == bytes_of(whole[0])
    spool.mkdir()
    (spool / "assets.json").write_text("[]")
    download(tmp_path, source(served)[0], terms(world), END)
    assert not spool.exists()


def test_bars_whose_request_nobody_knows_are_not_taken_for_another_s(tmp_path: Path, world: World, served: Exchange) -> None:
    """A person who removes the answers only, and asks for something else, would get the bars of the first request."""
    download(tmp_path, source(served)[0], terms(world), END)
    (tmp_path / "download.json").unlink()
    before = bytes_of(tmp_path)
    with pytest.raises(FixInput, match="a request that is not known"):
        download(tmp_path, source(served)[0], DownloadTerms(first=world.first, rule=UniverseRule(size=7)), END)
    assert bytes_of(tmp_path) == before and not (tmp_path / "_answers").exists()


@pytest.mark.parametrize("file", ["download.json", "_answers/terms.json", "_answers/assets.json"])
def test_a_damaged_document_is_named(tmp_path: Path, world: World, served: Exchange, file: str) -> None:
    with pytest.raises(BrokerUnreachable):
        download(tmp_path, source(served, lost(3))[0], terms(world), END)
    (tmp_path / file).write_bytes(b"{")
    with pytest.raises(FixInput, match="damaged"):
        download(tmp_path, source(served)[0], terms(world), END)
