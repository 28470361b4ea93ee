"""A foundation model's forecasts rank names where its weights are, and devices take the scores; its library is stood in for."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from signals.bundle.layout import place_of
from signals.errors import BadDataset, FixInput
from signals.sleeves import SLEEVES
from signals.sleeves.foundation import FOUNDATION_XS, WINDOW_SESSIONS
from tests.fakes.bars import synthetic_bars
from tests.fakes.store import publish_bundle, publish_store, recipe
from tests.flow.test_pulled_scores import key_folder, score_daily
from trainer.learners.foundation import zero_shot
from trainer.samples.forecasts import FOLDER, forecasts
from trainer.samples.joined_datasets import snapshots_of

SPREAD = 0.01
asked: list[int] = []


def drifting(folder: Path) -> zero_shot.Forecast:
    """A library's model that goes on as the last ten returns went."""

    def forecast(level: np.ndarray, steps: int) -> np.ndarray:
        asked.append(len(level))
        drift = (level[:, -1] - level[:, -11]).astype(np.float64) / 10.0
        middle = drift[:, None] * np.arange(1, steps + 1)
        return middle[:, :, None] + SPREAD * (np.array(zero_shot.LEVELS) - 0.5)

    return forecast


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(zero_shot.LOADERS, "chronos_bolt", drifting)


def with_weights(data: Path, content: bytes = b"weights") -> Path:
    folder = data / FOLDER / "chronos_bolt"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors").write_bytes(content)
    return data


def test_forecasts_are_of_the_window_alone_and_are_asked_for_once(tmp_path: Path) -> None:
    bars, data = synthetic_bars(3, sessions=150, symbols=6), with_weights(tmp_path)
    found = forecasts(bars, data)
    row, column = 140, int(np.flatnonzero(bars.eligible[140])[0])
    returns = np.nan_to_num(bars.total_return[row - 9 : row + 1, column])
    assert found["forecast"][row, column] == pytest.approx(5.0 * returns.mean(), abs=1e-6)
    assert found["forecast_range"][row, column] == pytest.approx(0.8 * SPREAD)
    assert np.isnan(found["forecast"][: WINDOW_SESSIONS - 1]).all()
    np.testing.assert_array_equal(np.isfinite(found["forecast"][WINDOW_SESSIONS - 1 :]), bars.eligible[WINDOW_SESSIONS - 1 :])
    part = forecasts(bars.rows(row + 1 - WINDOW_SESSIONS, row + 1), data)
    np.testing.assert_array_equal(part["forecast"][-1], found["forecast"][row])
    asked.clear()
    np.testing.assert_array_equal(forecasts(bars, data)["forecast"], found["forecast"])
    assert asked == []
    before = snapshots_of(FOUNDATION_XS, data)
    with_weights(data, b"other weights")
    forecasts(bars, data)
    assert asked and snapshots_of(FOUNDATION_XS, data) != before, "other weights are asked anew, and are named in the evidence"


def test_a_dataset_has_one_checkpoint_with_weights(tmp_path: Path) -> None:
    bars = synthetic_bars(3, sessions=130, symbols=2)
    with pytest.raises(BadDataset, match="0 foundation models"):
        forecasts(bars, tmp_path)
    (tmp_path / FOLDER / "timesfm").mkdir(parents=True)
    with pytest.raises(FixInput, match="no weights"):
        forecasts(bars, tmp_path)
    with_weights(tmp_path)
    with pytest.raises(BadDataset, match="2 foundation models"):
        forecasts(bars, tmp_path)


def test_published_forecasts_are_delivered_as_daily_scores(tmp_path: Path) -> None:
    """The bundle that ranks them is verified as any other, and names its sleeve; the weights never leave this host."""
    store = publish_store(tmp_path / "store")
    sleeve = SLEEVES["foundation_xs"]
    publish_bundle(store.root, recipe(store.root / "data", store.last_training, 1, sleeve=sleeve))
    with_weights(store.root / "data")
    asof: date = store.manifest.calendar.previous(store.sessions(1)[0])
    delivered = {row["sleeve"]: row for row in score_daily(store, key_folder(tmp_path / "keys"), asof)["delivered"]}
    assert delivered["foundation_xs"]["names"] == delivered["equities_xs"]["names"] > 30
    assert (store.root / f"scores/foundation_{asof}.json").is_file()
    assert not list((store.root / place_of(sleeve.name, "evaluation")).rglob("*.safetensors"))
