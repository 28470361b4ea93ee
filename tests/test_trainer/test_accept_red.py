"""RED sessions that nobody has bars for: refused by default, accepted by a person's word, named wherever they count."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from signals.errors import DataNotUsable, FixInput, TrademlError
from signals.market.dataset import load_bars, read_manifest
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import SessionStatus
from signals.storage.arrow import read_parquet
from tests.fakes.curated import END, curate
from trainer.__main__ import app
from trainer.curation.config import CurationConfig
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest, refresh
from trainer.curation.vendors.mapping import Mapping
from trainer.curation.writer import accept
from trainer.samples.source import refuse_red

ROOT = Path(__file__).resolve().parents[2]
REASON = "the vendor lost two thirds of this day and nobody else has it"
RECIPE = """
lightgbm: {trees: 15, num_leaves: 7, min_data_in_leaf: 100}
cpcv: {groups: 4, test_groups: 2, embargo_sessions: 5, holdout_sessions: 40, long_embargo_sessions: 0}
"""


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, TrademlError):
        return result.exception.exit_code, str(result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


@pytest.fixture
def scarred(tmp_path: Path) -> tuple[Path, date]:
    """A dataset of 300 sessions with one RED one, a hundred sessions before its end."""
    day = date(2024, 8, 8)
    return curate(tmp_path, without=(day,)), day


def test_a_red_session_stops_training_until_a_person_accepts_it_and_the_evidence_repeats_why(
    scarred: tuple[Path, date], tmp_path: Path
) -> None:
    data, day = scarred
    (tmp_path / "recipe.yml").write_text(RECIPE)
    training = (
        "train",
        "--sleeve",
        "equities_xs",
        "--data",
        data,
        "--run",
        tmp_path / "run",
        "--json",
        "--config",
        tmp_path / "recipe.yml",
    )
    code, said = run(*training)
    assert (code, "trainer accept-red" in said) == (3, True)
    code, said = run("accept-red", "--data", data, "--session", day, "--reason", REASON)
    assert code == 0, said
    code, said = run(*training)
    assert code == 0, said
    known = json.loads(said)
    assert [(row["session"], row["reason"]) for row in known["dataset"]["red_accepted"]] == [(day.isoformat(), REASON)]
    assert any(REASON in warning and str(day) in warning for warning in known["warnings"])
    assert REASON in (tmp_path / "run" / "report.md").read_text()


def test_an_accepted_session_stays_red_for_everything_but_training(scarred: tuple[Path, date]) -> None:
    """In the panel it is a row without bars, no return touches it, and the audit still exits with 1."""
    data, day = scarred
    before = read_manifest(data)
    accept(data, [day], REASON)
    manifest = read_manifest(data)
    assert (manifest.version, manifest.audits) == (before.version + 1, before.audits)
    assert manifest.status(day).status is SessionStatus.RED
    bars = load_bars(data, manifest, manifest.first, manifest.last)
    row = bars.index(day)
    assert np.isnan(bars.close[row]).all()
    assert np.isnan(bars.total_return[row : row + 2]).all()
    code, text = run("audit", "--data", data)
    assert code == 1
    assert "accepted as missing" in text
    assert not Manifest.from_bytes(before.to_bytes(), where="before").waivers


def test_the_audit_shows_a_reason_letter_by_letter(scarred: tuple[Path, date]) -> None:
    """Brackets are no markup, colons no picture, and an escape sequence reaches no terminal."""
    data, day = scarred
    accept(data, [day], "[Stooq] lost it [/today] :smile: [link=x]\x1b[2J")
    code, text = run("audit", "--data", data)
    assert code == 1
    assert "[Stooq] lost it [/today] :smile: [link=x]\\x1b[2J" in " ".join(text.split())


def test_only_red_sessions_are_accepted_with_a_reason_and_one_in_a_hundred_at_most(scarred: tuple[Path, date]) -> None:
    data, day = scarred
    with pytest.raises(FixInput, match="is GREEN"):
        accept(data, [END], REASON)
    with pytest.raises(FixInput, match="no reason"):
        accept(data, [day], "  ")
    calendar = read_manifest(data).calendar
    week = tuple(calendar.offset(day, i) for i in range(5))
    holed = curate(data.parent / "holed", without=week)
    with pytest.raises(DataNotUsable, match="5 of 300 sessions are too many"):
        accept(holed, week, REASON)
    assert read_manifest(holed).version == 1


def test_acceptance_lasts_while_the_audit_says_the_same_and_ends_when_it_changes(scarred: tuple[Path, date]) -> None:
    """The same bars again keep it; a delivery that changes the session's audit asks the person again."""
    data, day = scarred
    accept(data, [day], REASON)
    assert refresh(data).waivers == read_manifest(data).waivers != ()
    market = data.parent / "vendor"
    table = read_parquet((market / "bars.parquet").read_bytes()).to_pandas()
    gone = table[table["date"].astype("datetime64[s]").dt.date == day].index[:1]
    table.drop(gone).to_parquet(data.parent / "fewer.parquet")
    ingest(
        DeliveryFiles(data.parent / "fewer.parquet", market / "actions.parquet"),
        data,
        DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig(min_history=30)),
    )
    manifest = read_manifest(data)
    assert manifest.waivers == ()
    with pytest.raises(DataNotUsable, match="1 RED session "):
        refuse_red(data, manifest, manifest.first, manifest.last)


@pytest.mark.slow
def test_the_two_scars_of_the_real_file_can_be_accepted(tmp_path: Path) -> None:
    """us_daily_2007_2014_cc0_open lost rows on 2010-11-19 and most of 2011-02-17."""
    source = ROOT / ".." / "shared" / "data" / "us_daily_2007_2014_cc0_open.parquet"
    if not source.exists():
        pytest.skip(f"{source.name} absent")
    ingest(DeliveryFiles(source), tmp_path / "us", DeliveryTerms(mapping=Mapping(), basis=PriceBasis.TOTAL_RETURN, config=CurationConfig()))
    manifest = read_manifest(tmp_path / "us")
    with pytest.raises(DataNotUsable, match=r"2 RED sessions.*2010-11-19.*2011-02-17"):
        refuse_red(tmp_path / "us", manifest, manifest.first, manifest.last)
    accept(tmp_path / "us", [date(2010, 11, 19), date(2011, 2, 17)], REASON)
    manifest = read_manifest(tmp_path / "us")
    refuse_red(tmp_path / "us", manifest, manifest.first, manifest.last)
