"""Nightly evaluation on the training host: the shadow beside what is traded."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from execution.yardstick import lived
from signals.market.holding import Opens
from trainer.publishing.nights import keep_labels
from trainer.service import rows
from trainer.service.host import Host, Night
from trainer.service.live import LiveFigures, LiveMean, LiveScores
from trainer.service.settings import ServiceSettings
from trainer.service.sources import NoSource
from trainer.validation.significance.paired import compared
from trainer.workspace import make, read

SESSIONS, NAMES = 140, 30
DAYS = np.datetime64("2025-01-01", "D") + np.arange(SESSIONS)


def life(seed: int) -> LiveScores:
    """Scores of a slot that know something; of the last two sessions nothing has come yet."""
    market = np.random.default_rng(1).normal(scale=0.02, size=(SESSIONS, NAMES))
    market[-2:] = np.nan
    yes = np.ones(market.shape, dtype=bool)
    following, scores = Opens(market, yes, ~yes), np.nan_to_num(market) + np.random.default_rng(seed).normal(scale=0.1, size=market.shape)
    evenings: Any = (SimpleNamespace(asof=date(2025, 1, 1), symbols=()),)
    bars: Any = SimpleNamespace(sessions=DAYS, symbols=(), index=lambda day: 0)
    return LiveScores(evenings, bars, scores, following, lived(scores, following, 5))


def test_a_book_counts_by_the_sessions_of_which_the_outcome_is_known() -> None:
    net = life(2).net
    assert list(net) == DAYS[5:-2].astype(object).tolist() and all(np.isfinite(list(net.values())))


def test_labels_are_kept_once_they_are_known_and_again_when_the_bars_were_corrected(tmp_path: Path) -> None:
    """Of k = 2 opens the label of the last evening but three is the newest that is known; nothing is kept of an unknown one."""
    found = life(2)
    names = tuple(f"N{number:02}" for number in range(NAMES))
    days = DAYS.astype(object).tolist()
    evenings: Any = tuple(SimpleNamespace(asof=day, symbols=("GONE", *names)) for day in days)
    bars: Any = SimpleNamespace(sessions=DAYS, symbols=names, index=days.index)
    for correction, version in ((1.0, 1), (1.0, 1), (1.5, 2)):
        earned = found.following.earned * correction
        corrected = replace(found, evenings=evenings, bars=bars, following=replace(found.following, earned=earned))
        for day, symbols, values in corrected.labels(2):
            keep_labels(tmp_path, "equities_xs", day, symbols, values)
        kept = sorted(tmp_path.rglob("labels-*.parquet"))
        assert len(kept) == 9 * version and kept[-1].parent.name == f"asof={days[-4]}", kept
        assert kept[-1].name == f"labels-{version}.parquet"
        table = pq.read_table(kept[-1])
        assert table["symbol"].to_pylist() == list(names)
        assert table["label"].to_numpy() == pytest.approx((1 + earned[-4]) * (1 + earned[-3]) - 1)


def test_a_shadow_is_set_beside_what_is_traded_with_the_power_of_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = {"equities_xs": life(2), "equities_xs-shadow": life(3), "risk_xs": life(4)}
    nothing = LiveMean(None, None, None)
    manifest = SimpleNamespace(sleeve="equities_xs", horizon_sessions=5)
    for name, found in {
        "slots": lambda store: dict.fromkeys(lives),
        "load_keyset": lambda keys: None,
        "read_manifest": lambda data: SimpleNamespace(last=date(2025, 5, 20)),
        "verified": lambda *given: SimpleNamespace(manifest=manifest),
        "map_of": lambda bundle: {},
        "live_scores": lambda slot, *given: lives[slot],
        "keep_labels": lambda *given: None,
        "live_figures": lambda slot, *given: LiveFigures(slot, date(2025, 1, 1), 1, 0, nothing, None, None, "", nothing, nothing, False),
    }.items():
        monkeypatch.setattr(rows, name, found)
    monkeypatch.setattr(rows.looks, "record", lambda data, look: None)
    asof = date(2025, 5, 20)
    place = tmp_path / "ws" / "data" / "us" / "manifest.json"
    make(tmp_path / "ws")
    place.parent.mkdir(parents=True)
    place.write_text("{}")
    host = Host(read(tmp_path / "ws"), ServiceSettings(), NoSource(), None, "0.1.0")  # type: ignore[arg-type]
    night = Night(asof + timedelta(1), asof, None)  # type: ignore[arg-type]
    ended = rows.evaluate(night, host)
    expected = compared(lives["equities_xs-shadow"].net, lives["equities_xs"].net)
    assert expected is not None and ended.figures["shadow beside"] == {"equities_xs": expected}
    assert f"equities_xs: its shadow beside it, {expected}" in ended.summary and "on 133 common sessions" in ended.summary
