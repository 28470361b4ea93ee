"""The past is compared: what changed by more than rounding is named, what did not is silence."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date

import duckdb
import numpy as np
import pytest

from appliance.bundles.feature_record import FeatureRecord
from appliance.monitoring.feature_restatement import compare
from signals.errors import FixInput
from signals.features.panel import FeaturePanel
from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_store

ASOF = date(2026, 3, 11)
NAN = float("nan")
THEN = np.array([[1.0, 0.5, NAN], [2.0, NAN, 7.0], [3.0, 1.5, 7.0]], dtype="<f4")
RECORD = FeatureRecord(ASOF, "equities_xs", "b", "s", ("momentum", "beta", "gap"), ("AAA", "BBB", "CCC"), THEN.tobytes())


def panel(values: np.ndarray, symbols: tuple[str, ...] = ("AAA", "BBB", "CCC")) -> FeaturePanel:
    return FeaturePanel(
        np.array([ASOF], dtype="datetime64[D]"),
        symbols,
        ("momentum", "beta", "gap"),
        values[None].astype(np.float32),
        np.ones((1, len(symbols)), dtype=bool),
    )


def test_the_same_bits_are_no_restatement_wherever_a_name_stands() -> None:
    assert compare(RECORD, panel(THEN)).changed == ()
    assert compare(RECORD, panel(THEN[::-1], ("CCC", "BBB", "AAA"))).changed == ()


def test_the_last_bit_of_a_float32_is_rounding() -> None:
    """0.5 with another last bit, and -1e-16 for 0, which is what prices on another base make of the same returns."""
    now = THEN.copy()
    now[0, 1] = np.nextafter(np.float32(0.5), np.float32(1))
    assert now[0, 1] != THEN[0, 1] and compare(RECORD, panel(now)).changed == ()
    zero = replace(RECORD, values=np.where(THEN == 0.5, np.float32(0), THEN).astype("<f4").tobytes())
    now[0, 1] = -1e-16
    assert compare(zero, panel(now)).changed == ()


def test_a_changed_value_one_that_came_or_went_and_a_name_that_is_gone_are_named() -> None:
    now = THEN.copy()
    now[0, 1] = np.float32(0.5 * (1 + 2e-6))
    now[1, 1] = 0.0
    now[2, 2] = NAN
    found = compare(RECORD, panel(now))
    assert found.changed == ("AAA", "BBB", "CCC") and found.features == ("beta", "gap") and found.names == 3
    assert "differ now for 3 of 3 names (AAA, BBB, CCC): beta, gap" in found.sentence()
    gone = compare(RECORD, panel(THEN[:2], ("AAA", "BBB")))
    assert gone.changed == ("CCC",) and "names have gone" in gone.sentence()


def test_other_features_are_not_compared() -> None:
    with pytest.raises(FixInput, match="other features"):
        compare(replace(RECORD, names=("momentum", "beta", "other")), panel(THEN))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    return publish_store(tmp_path_factory.mktemp("store"))


def test_a_rewritten_bar_of_yesterday_is_told_the_next_evening_and_a_quiet_store_is_not(
    published: Published, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A volume of the evening before is doubled in the store behind the device's back."""
    for is_rewritten in (False, True):
        bench = Workbench(tmp_path_factory.mktemp("device") / "state")
        first, second = published.sessions(2)
        asked = ("init", "--venue", "exchange", "--store", str(published.root), "--trust", str(published.trust))
        assert bench(*asked, "--fixed-ic", "0.05").code == 0
        for day, job in ((first, "pull"), (first, "score"), (second, "pull")):
            assert bench("job", job, "--session", str(day)).code == 0
        if is_rewritten:
            asof = published.manifest.calendar.previous(first)
            with duckdb.connect(str(bench.state / "market.duckdb")) as store:
                store.execute(
                    "UPDATE bars SET volume = 2 * volume WHERE session = ? AND symbol ="
                    " (SELECT min(symbol) FROM bars WHERE session = ? AND eligible)",
                    [asof, asof],
                )
        done = bench("job", "score", "--session", str(second), "--json")
        assert done.code == 0, done.err
        told = bench.rows("SELECT body FROM alerts WHERE title = 'the past was rewritten'")
        figures = json.loads(bench.rows("SELECT figures FROM job_runs WHERE session = ? AND job = 'score'", str(second))[0][0])
        assert len(told) == is_rewritten and (figures["restated"]["changed"] > 0) == is_rewritten
        assert figures["restated"]["names"] > 0
