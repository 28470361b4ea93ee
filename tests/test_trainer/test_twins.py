"""One series under two symbols is found and named; share classes and names that move alike are not."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from signals.market.sessions import xnys
from trainer.__main__ import app
from trainer.curation.audit.findings import Twins, twins

DAYS = xnys(date(2021, 1, 4), date(2021, 6, 30)).days
FIRST, LAST = DAYS[0], DAYS[-1]


def market(copies: dict[str, pd.DataFrame] | None = None) -> pd.DataFrame:
    """Five names whose moves are one factor and little of their own, as share classes', and `copies` next to them."""
    rng = np.random.default_rng(7)
    factor, parts = rng.normal(0, 0.02, len(DAYS)), []
    for name in ("AAA", "BBB", "CCC", "DDD", "EEE"):
        moves = factor + rng.normal(0, 0.0005, len(DAYS))
        parts.append(
            pd.DataFrame(
                {
                    "session": DAYS,
                    "symbol": name,
                    "security": name,
                    "total_return": moves,
                    "close": 50 * np.cumprod(1 + moves),
                    "volume": rng.integers(100_000, 900_000, len(DAYS)).astype(float),
                }
            )
        )
    whole = pd.concat(parts)
    added = [rows.assign(symbol=name, security=name) for name, rows in (copies or {}).items()]
    return pd.concat([whole, *added], ignore_index=True)


def of(name: str, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    frame = market() if frame is None else frame
    return frame[frame["symbol"] == name]


def found(frame: pd.DataFrame) -> tuple[Twins, ...]:
    return twins(pa.Table.from_pandas(frame, preserve_index=False), FIRST, LAST)


def test_names_that_move_alike_are_no_twins() -> None:
    assert np.corrcoef(of("AAA")["total_return"], of("BBB")["total_return"])[0, 1] > 0.99
    assert found(market()) == ()


def test_a_copy_is_found_at_any_price_level_and_of_any_vendor() -> None:
    """The same bars; prices on another level, rounded to the cent, and the same volume; another vendor's volume."""
    rounded = of("BBB").assign(total_return=lambda rows: rows["total_return"].round(4))
    other_volume = of("CCC").assign(volume=lambda rows: rows["volume"] * 0.97)
    assert found(market({"A2": of("AAA"), "B2": rounded, "C2": other_volume})) == tuple(
        Twins(*pair, FIRST, LAST, len(DAYS)) for pair in (("A2", "AAA"), ("B2", "BBB"), ("C2", "CCC"))
    )


def test_a_name_that_became_a_copy_is_found_with_its_dates() -> None:
    late = pd.concat([of("DDD").head(63).assign(total_return=0.001), of("EEE").tail(len(DAYS) - 63)])
    assert found(market({"E2": late})) == (Twins("E2", "EEE", DAYS[63], LAST, len(DAYS) - 63),)


@pytest.mark.parametrize("sessions", [19, 20])
def test_fewer_sessions_than_twenty_are_a_coincidence(sessions: int) -> None:
    assert bool(found(market({"A2": of("AAA").head(sessions)}))) is (sessions == 20)


def test_ingest_and_audit_name_the_twins(tmp_path: Path) -> None:
    frame = market({"OLD": of("AAA")}).rename(columns={"session": "date"})
    for name in ("open", "high", "low"):
        frame[name] = frame["close"]
    frame.drop(columns=["security", "total_return"]).to_csv(tmp_path / "bars.csv", index=False)
    said = CliRunner().invoke(app, ["ingest", "--bars", str(tmp_path / "bars.csv"), "--to", str(tmp_path / "data")])
    assert "NOTE: one series under two symbols: AAA and OLD (" in said.stdout
    text = CliRunner().invoke(app, ["audit", "--data", str(tmp_path / "data")]).stdout
    assert "TWINS 1: AAA and OLD (" in text
    document = json.loads(CliRunner().invoke(app, ["audit", "--data", str(tmp_path / "data"), "--json"]).stdout)
    assert [(row["symbol"], row["other"]) for row in document["twins"]] == [("AAA", "OLD")]
