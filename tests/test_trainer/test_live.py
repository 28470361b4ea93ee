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
from signals.bundle.calibration import AppliedCalibration, PlattMap
from signals.bundle.seal import sign
from signals.errors import ScoresRefused
from signals.market.bars import Opens
from signals.scoring.evening_scores import SCORES_KIND, scores_name, seal_scores
from tests.fakes.bundles import FIRST, SECOND, keyset, signing_key
from tests.test_signals.test_evening_scores import PAYLOAD
from trainer.curation.store import FolderObjectStore
from trainer.publishing.daily_scores import keep_labels
from trainer.service import live, rows
from trainer.service.host import Host, Night
from trainer.service.live import LiveFigures, LiveMean, LiveScores, _evening, judged_probabilities, live_scores
from trainer.service.settings import ServiceSettings, no_source
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
    manifest = SimpleNamespace(sleeve="equities_xs", horizon_sessions=5, lineage="equities_xs evaluation 1")
    for name, found in {
        "slots": lambda store: dict.fromkeys(lives),
        "load_keyset": lambda keys: None,
        "read_manifest": lambda data: SimpleNamespace(last=date(2025, 5, 20)),
        "verified": lambda *given: SimpleNamespace(manifest=manifest, sha256="a" * 64),
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
    host = Host(read(tmp_path / "ws"), ServiceSettings(), no_source, None, "0.1.0")  # type: ignore[arg-type]
    night = Night(asof + timedelta(1), asof, None)  # type: ignore[arg-type]
    ended = rows.evaluate(night, host)
    expected = compared(lives["equities_xs-shadow"].net, lives["equities_xs"].net)
    assert expected is not None and ended.figures["shadow beside"] == {"equities_xs": expected}
    assert ended.figures["models"] == {"a" * 64: "equities_xs evaluation 1"}
    assert f"equities_xs: its shadow beside it, {expected}" in ended.summary and "on 133 common sessions" in ended.summary


def test_scores_of_an_evening_count_by_the_keys_of_that_evening(tmp_path: Path) -> None:
    """A key that has ended since did sign them; one that had ended by then, and one that was revoked, did not."""
    ends = date(2024, 3, 12)
    store = FolderObjectStore(tmp_path)
    for day in (ends, ends + timedelta(days=1)):
        payload = PAYLOAD.model_copy(update={"asof": day})
        store.put(scores_name("equities_xs", day), seal_scores(payload, sign(SCORES_KIND, payload.to_bytes(), (FIRST,))))
    known = keyset(signing_key(FIRST, until=ends), signing_key(SECOND))
    found = _evening(store, "equities_xs", ends, known)
    assert found is not None and found.asof == ends
    with pytest.raises(ScoresRefused, match="revoked or expired"):
        _evening(store, "equities_xs", ends + timedelta(days=1), known)
    revoked = keyset(signing_key(FIRST, until=ends, revoked=True), signing_key(SECOND))
    with pytest.raises(ScoresRefused, match="revoked or expired"):
        _evening(store, "equities_xs", ends, revoked)


def test_a_model_answers_for_its_own_evenings_and_for_none_of_the_model_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bundles A1, B, A2, A3 scored five evenings; the model A, trained again as A3, lives since the last evening of B."""
    days = [date(2024, 3, 4) + timedelta(days=n) for n in range(5)]
    calendar = SimpleNamespace(between=lambda first, last: days)
    manifest = SimpleNamespace(calendar=calendar, first=days[0])
    scored = dict(zip(days, ("a1", "b", "b", "a2", "a3"), strict=True))
    monkeypatch.setattr(live, "_evening", lambda store, slot, day, keyset: SimpleNamespace(asof=day, bundle_sha256=scored[day]))
    for name, found in (("read_manifest", manifest), ("load_bars", None), ("_said", None), ("opens", None), ("lived", None)):
        monkeypatch.setattr(live, name, lambda *given, found=found: found)
    bundle: Any = SimpleNamespace(manifest=SimpleNamespace(horizon_sessions=5))
    given: Any = ("equities_xs", bundle, None, tmp_path, None, days[-1])
    for others, first in (((), 0), (("b",), 3), (("b", "a1", "a2"), 4)):
        known = live_scores(*given, others)
        assert known is not None and [one.asof for one in known.evenings] == days[first:]
    assert live_scores(*given, ("a3",)) is None


def test_a_map_that_says_too_much_of_scores_that_know_nothing_does_harm() -> None:
    """Noise: a map that says 0.12 to 0.88 is off by its own spread, and one of slope 0 by nothing; the intervals know it.

    By hand: the Brier score of p against a coin is 1/4 + mean((p - 1/2)^2).
    """
    rng = np.random.default_rng(3)
    earned, yes = rng.normal(scale=0.02, size=(SESSIONS, NAMES)), np.ones((SESSIONS, NAMES), dtype=bool)
    scores, following = rng.uniform(-2, 2, size=earned.shape), Opens(earned, yes, ~yes)
    found = {}
    for slope in (1.0, 0.0):
        known = AppliedCalibration(event="up", map=PlattMap(slope=slope, intercept=0.0))
        found[slope] = judged_probabilities(scores, following, 1, dict.fromkeys(range(SESSIONS), known))
    loud, flat = found[1.0], found[0.0]
    assert loud is not None and flat is not None and loud.excess.mean is not None and loud.excess.low is not None
    spread = float(np.mean((1 / (1 + np.exp(-scores)) - 0.5) ** 2))
    assert loud.excess.mean == pytest.approx(spread, abs=0.01) and loud.excess.low > 0
    assert flat.excess.mean == 0.0 and flat.brier == 0.25
    assert [one.rows for one in loud.groups] == [SESSIONS * NAMES // 5] * 5
    assert loud.groups[0].said < 0.2 < loud.groups[0].low < 0.5 < loud.groups[0].high < 0.6
    nothing = LiveMean(None, None, None)
    figures = LiveFigures("s", date(2025, 1, 1), 1, 1, LiveMean(0.0, None, None), None, None, "", nothing, nothing, False, loud)
    assert "and worse than one half" in figures.sentence and figures.metrics()["live excess brier"] == loud.excess.mean
    assert "worse" not in replace(figures, probabilities=flat).sentence
