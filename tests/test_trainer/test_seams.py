"""Seams between deliveries: a session without returns or without corporate actions is not GREEN, and ingest says so."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from signals.market.dataset import load_bars, read_manifest
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import SessionStatus, xnys
from trainer.__main__ import app
from trainer.curation.audit.returns import silences
from trainer.curation.config import CurationConfig
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping

DAYS = xnys(date(2020, 1, 2), date(2021, 3, 31)).days
NAMES = tuple(f"S{letter}" for letter in "ABCDEF")


def delivery(days: tuple[date, ...], level: float | None, path: Path) -> Path:
    """Six names that gain 1 % a session; adjusted closes at `level` of the closes, none where it is None."""
    rows = [(day, name, 100 * 1.01 ** (DAYS.index(day) % 50 + at)) for day in days for at, name in enumerate(NAMES)]
    frame = pd.DataFrame(rows, columns=["date", "symbol", "close"]).assign(volume=1e6)
    for name in ("open", "high", "low"):
        frame[name] = frame["close"]
    if level is not None:
        frame["adj_close"] = frame["close"] * level
    frame.to_csv(path, index=False)
    return path


def told(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def status(data: Path, day: date) -> tuple[SessionStatus, tuple[str, ...]]:
    audit = read_manifest(data).status(day)
    return audit.status, audit.reasons


def test_a_session_without_returns_for_names_that_traded_on_both_days_is_not_green(tmp_path: Path) -> None:
    """Nothing says at which level the added adjusted closes stand: two sessions have no return.

    A delivery that shares a session with what is held has them all.
    """
    base = delivery(DAYS[:5], 1.0, tmp_path / "base.csv")
    lone, spanning = (delivery(DAYS[at:8], 0.9, tmp_path / f"{at}.csv") for at in (5, 4))
    data = tmp_path / "us"
    told("ingest", "--bars", base, "--to", data)
    assert "no_return" not in str(status(data, DAYS[4]))
    said = told("ingest", "--add", "--bars", lone, "--to", data)
    assert f"12 bars have no return although the session before has a bar too, first SA {DAYS[5]}" in said
    panel = load_bars(data, read_manifest(data), DAYS[0], DAYS[7])
    assert np.isnan(panel.total_return[5:7]).all()
    assert np.isfinite(panel.total_return[7]).all()
    assert [status(data, day)[0] for day in DAYS[5:8]] == [*[SessionStatus.AMBER] * 2, SessionStatus.GREEN]
    assert all("no_return: 6" in status(data, day)[1] for day in DAYS[5:7])
    assert "no_return" in told("audit", "--data", data)
    data = tmp_path / "other"
    told("ingest", "--bars", base, "--to", data)
    assert "no return" not in told("ingest", "--add", "--bars", spanning, "--to", data)
    assert status(data, DAYS[5]) == (SessionStatus.GREEN, ())
    panel = load_bars(data, read_manifest(data), DAYS[0], DAYS[7])
    assert panel.total_return[1:] == pytest.approx(np.full((7, 6), 0.01), abs=1e-6)


def test_nightly_bars_without_what_was_paid_are_said_and_not_green(tmp_path: Path) -> None:
    data = tmp_path / "us"
    told("ingest", "--bars", delivery(DAYS[:5], 1.0, tmp_path / "base.csv"), "--to", data)
    for day in DAYS[5:7]:
        said = told("ingest", "--add", "--bars", delivery((day,), None, tmp_path / f"{day}.csv"), "--to", data)
        assert "added without corporate actions or adj_close" in said
        assert status(data, day)[0] is SessionStatus.AMBER
        assert "null_adj_close: 6" in status(data, day)[1]


def paying(sessions: int, until: int, folder: Path) -> Manifest:
    """Six names of which one pays at every session before `until`, over `sessions` sessions."""
    bars = delivery(DAYS[:sessions], None, folder / "bars.csv")
    rows = [f"dividend,{NAMES[t % 6]},{DAYS[t]},0.10" for t in range(min(until, sessions))]
    (folder / "actions.csv").write_text("kind,symbol,effective,cash\n" + "\n".join(rows) + "\n")
    return ingest(
        DeliveryFiles(bars, folder / "actions.csv"),
        folder / f"{sessions}-{until}",
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.SPLIT_ADJUSTED, config=CurationConfig()),
    )


def test_dividends_that_stop_cost_the_sessions_their_green_from_where_it_is_known(tmp_path: Path) -> None:
    """One a session is due: after twenty without any, bars are delivered and actions are not. The past stays."""
    stopped = paying(285, 260, tmp_path)
    doubted = [audit.session for audit in stopped.audits if audit.status is not SessionStatus.GREEN]
    assert doubted == list(DAYS[279:285])
    assert stopped.status(DAYS[279]).reasons == ("no dividend of any name for 20 sessions, of which 20 were due",)
    assert paying(281, 260, tmp_path).audits == stopped.audits[:281]
    assert {audit.status for audit in paying(285, 285, tmp_path).audits} == {SessionStatus.GREEN}


def test_few_dividends_or_a_young_dataset_are_no_silence() -> None:
    assert not any(since for since, _ in silences(np.array([1] * 251 + [0] * 60)))
    assert not any(since for since, _ in silences(np.array([0, 0, 0, 0, 1] * 60 + [0] * 60)))
    assert silences(np.array([4] * 252 + [0] * 10 + [1]))[-2:] == [(10, 40.0), (0, 0.0)]


@pytest.mark.parametrize(("moved", "found"), [(12, SessionStatus.RED), (5, SessionStatus.AMBER)])
def test_a_delivery_of_another_level_is_red_where_it_is_added(tmp_path: Path, moved: int, found: SessionStatus) -> None:
    """Forty names, each with a noise of its own; some of the added ones stand at 1.5 times their level.

    No split is recorded, and a dozen companies do not split on one day.
    """
    walks = 50.0 * np.exp(np.cumsum(np.random.default_rng(5).normal(0.0, 0.01, (8, 40)), axis=0))
    walks[5:, :moved] *= 1.5
    cells = [(DAYS[at], f"S{name:02}", walks[at, name]) for at in range(8) for name in range(40)]
    whole = pd.DataFrame(cells, columns=["date", "symbol", "close"]).assign(volume=1e6)
    for name in ("open", "high", "low"):
        whole[name] = whole["close"]
    for file, rows in (("base", whole[whole.date < DAYS[5]]), ("added", whole[whole.date >= DAYS[5]])):
        rows.to_csv(tmp_path / f"{file}.csv", index=False)
    told("ingest", "--bars", tmp_path / "base.csv", "--to", tmp_path / "us")
    told("ingest", "--add", "--bars", tmp_path / "added.csv", "--to", tmp_path / "us")
    status_of, reasons = status(tmp_path / "us", DAYS[5])
    assert status_of is found and f"suspected_split: {moved}" in reasons
    assert (f"{moved} of 40 names moved by a split's ratio that nobody recorded" in reasons) == (found is SessionStatus.RED)
    assert status(tmp_path / "us", DAYS[6])[0] is SessionStatus.GREEN
