"""What the model read is kept to the bit, and believed only as it was written."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.bundles.feature_record import FeatureRecord, FeatureValue, read_features, store_features
from appliance.bundles.risk_forecasts import over_book
from appliance.monitoring.continuity import is_of
from appliance.system.state_folder import DurableFs
from signals.errors import FixInput, InvariantBroken
from signals.features.panel import spec_hash

NAN = float("nan")
RECORD = FeatureRecord(
    date(2026, 3, 11),
    "equities_xs",
    "b" * 64,
    "5" * 64,
    ("momentum", "beta", "flat"),
    ("AAA", "BBB", "CCC"),
    struct.pack("<9f", 1.0, 0.5, 7.0, 2.0, NAN, 7.0, 6.0, 1.5, 7.0),
)


def test_features_of_another_treatment_are_others_and_a_record_without_a_hash_has_none() -> None:
    plain = tuple((name, "none", 5) for name in RECORD.names)
    smoothed = tuple((name, "none; half-life 5", 34) for name in RECORD.names)
    assert is_of(RECORD, plain) and not is_of(RECORD, smoothed) and not is_of(RECORD, plain[1:])
    for own, other in ((plain, smoothed), (smoothed, plain)):
        kept = replace(RECORD, spec_hash=spec_hash(list(own)))
        assert is_of(kept, own) and not is_of(kept, other)


def test_a_value_stands_with_its_z_over_the_names_that_have_one() -> None:
    """1, 2, 6: mean 3, deviation sqrt((4 + 1 + 9) / 3); 0.5, 1.5: mean 1, deviation 0.5; a constant has no z."""
    momentum, beta, flat = RECORD.of("AAA")
    assert (momentum.name, momentum.value) == ("momentum", 1.0)
    assert momentum.z == pytest.approx(-2 / math.sqrt(14 / 3))
    assert beta == FeatureValue("beta", 0.5, -1.0)
    assert flat == FeatureValue("flat", 7.0, None)


def test_what_is_unknown_is_not_invented() -> None:
    assert RECORD.of("BBB")[1] == FeatureValue("beta", None, None)
    assert RECORD.of("ZZZ") == ()


@given(st.lists(st.floats(width=32, allow_infinity=False), min_size=6, max_size=6))
def test_every_bit_that_the_model_was_given_comes_back(values: list[float]) -> None:
    """An independent reader, numpy, finds the same float32 in the file's bytes, NaN included."""
    given_ = np.array(values, dtype="<f4")
    record = replace(RECORD, names=("a", "b"), values=given_.tobytes())
    again = FeatureRecord.from_bytes(record.to_bytes())
    assert again == record and again.to_bytes() == record.to_bytes()
    read = [r.value for symbol in again.symbols for r in again.of(symbol)]
    assert [math.nan if v is None else v for v in read] == pytest.approx(given_.tolist(), nan_ok=True, abs=0, rel=0)


def test_a_kept_record_is_read_by_the_row_that_names_it(tmp_path: Path) -> None:
    said = store_features(DurableFs(), tmp_path, RECORD)
    assert said.file == "2026-03-11_equities_xs.json"
    assert read_features(tmp_path, said) == RECORD


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path, said: path.write_bytes(path.read_bytes() + b" ") and said, "not what was recorded"),
        (lambda path, said: path.unlink() or said, "no longer kept"),
        (lambda path, said: replace(said, file="../ledger.sqlite"), "no features were recorded"),
        (lambda path, said: None, "no features were recorded"),
    ],
    ids=["changed", "gone", "elsewhere", "unnamed"],
)
def test_what_is_not_what_was_written_is_refused(tmp_path: Path, spoil: object, told: str) -> None:
    said = store_features(DurableFs(), tmp_path, RECORD)
    named = spoil(tmp_path / said.file, said)  # type: ignore[operator]
    with pytest.raises(FixInput, match=told):
        read_features(tmp_path, named)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 2}', RECORD.to_bytes().replace(b'"CCC"', b'"C", "D"')])
def test_bytes_that_are_no_record_are_one_clear_error(content: bytes) -> None:
    with pytest.raises(FixInput, match="recorded features"):
        FeatureRecord.from_bytes(content)


def test_a_record_whose_values_do_not_fill_its_axes_is_never_built() -> None:
    with pytest.raises(InvariantBroken, match="8 bytes of features, not 36"):
        replace(RECORD, values=b"\0" * 8)


def test_a_forecast_that_no_name_of_the_book_has_is_left_out() -> None:
    """BBB alone has no beta; nobody has `none`; a book without known names has no forecasts."""
    values = struct.pack("<6f", 1.0, NAN, 2.0, float("inf"), 6.0, NAN)
    record = FeatureRecord(RECORD.asof, "risk-forecasts", "b", "s", ("volatility_5", "none"), RECORD.symbols, values)
    [one] = over_book(record, {"AAA": 0.1, "BBB": -0.1, "CCC": 0.0, "ZZZ": 0.2})
    assert (one.forecast, one.names, one.median, one.highest, one.highest_name) == ("volatility_5", 2, 1.5, 2.0, "BBB")
    assert over_book(RECORD, {"BBB": 0.1})[0].forecast == "momentum" and len(over_book(RECORD, {"BBB": 0.1})) == 2
    assert over_book(record, {"ZZZ": 0.2}) == () == over_book(record, {})
