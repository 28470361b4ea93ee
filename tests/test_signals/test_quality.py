"""The audit: what each defect is, what it costs a row, and what it costs a session."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signals.audit.defects import DEFECTS, QUARANTINES, DefectConfig, Reason, Rows, find_defects, missing_sessions
from signals.audit.session_audit import Coverage, CoverageConfig, audit_sessions, expected
from signals.errors import InvariantBroken
from signals.market.bars import days_array
from signals.market.sessions import SessionStatus

MONDAY_TO_FRIDAY = days_array([date(2024, 3, day) for day in (4, 5, 6, 7, 8)])
WEEKS = np.arange(np.datetime64("2024-01-01"), np.datetime64("2024-12-31"), dtype="datetime64[D]")


def rows_of(figures: list[tuple[float, ...]], days=None, security=None, adjusted=None) -> Rows:
    """Rows from (open, high, low, close, volume) tuples, one security, consecutive days unless told."""
    table = np.array(figures, dtype=np.float64)
    count = len(table)
    return Rows(
        day=WEEKS[:count] if days is None else days,
        security=np.zeros(count, dtype=np.int64) if security is None else np.array(security, dtype=np.int64),
        open=table[:, 0],
        high=table[:, 1],
        low=table[:, 2],
        close=table[:, 3],
        volume=table[:, 4],
        adj_close=np.full(count, np.nan) if adjusted is None else np.array(adjusted, dtype=np.float64),
        has_adjusted=adjusted is not None,
    )


def found(rows: Rows, ratio=None, sessions=WEEKS, config: DefectConfig | None = None) -> list[set[Reason]]:
    """Reasons of each row."""
    splits = np.ones(len(rows)) if ratio is None else np.array(ratio, dtype=np.float64)
    flags = find_defects(rows, sessions, splits, config or DefectConfig()).flags
    return [{reason for reason in Reason if flags[reason][i]} for i in range(len(rows))]


GOOD = (10.0, 11.0, 9.0, 10.5, 1000.0)
NAN = float("nan")


@pytest.mark.parametrize(
    ("bar", "reasons"),
    [
        (GOOD, set()),
        ((NAN, 11.0, 9.0, 10.5, 1000.0), {Reason.NULL_PRICE}),
        ((10.0, 11.0, 9.0, float("inf"), 1000.0), {Reason.NULL_PRICE}),
        ((10.0, 11.0, 9.0, 10.5, NAN), {Reason.NULL_VOLUME}),
        ((0.0, 11.0, 9.0, 10.5, 1000.0), {Reason.NON_POSITIVE_PRICE}),
        ((10.0, 11.0, -9.0, 10.5, 1000.0), {Reason.NON_POSITIVE_PRICE}),
        ((10.0, 10.4, 9.0, 10.5, 1000.0), {Reason.HIGH_BELOW_BODY}),
        ((10.0, 11.0, 10.1, 10.5, 1000.0), {Reason.LOW_ABOVE_BODY}),
        ((10.0, 11.0, 9.0, 10.5, -1.0), {Reason.NEGATIVE_VOLUME}),
        ((10.0, 11.0, 9.0, 10.5, 0.0), {Reason.ZERO_VOLUME}),
    ],
)
def test_each_defect_of_a_bar_is_named_alone(bar, reasons) -> None:
    assert found(rows_of([bar])) == [reasons]


def test_zero_volume_stale_runs_and_price_moves_only_warn() -> None:
    warnings = {defect.reason for defect in DEFECTS} - QUARANTINES
    assert warnings == {
        Reason.ZERO_VOLUME,
        Reason.STALE_RUN,
        Reason.EXTREME_RETURN,
        Reason.SUSPECTED_SPLIT,
        Reason.NULL_ADJUSTED,
        Reason.MISSING_SESSION,
        Reason.EXPECTED_ABSENT,
        Reason.REVISED,
        Reason.NO_RETURN,
        Reason.UNDECIDED_RETURN,
        Reason.STITCHED,
    }
    assert len(DEFECTS) == len(Reason)


def test_a_high_inside_float32_noise_is_no_defect_and_a_cent_below_is() -> None:
    close = float(np.float32(301.57))
    noisy = float(np.nextafter(np.float32(close), np.float32(0)))
    assert noisy < close
    assert found(rows_of([(300.0, noisy, 299.0, close, 1.0)])) == [set()]
    assert found(rows_of([(300.0, close - 0.01, 299.0, close, 1.0)])) == [{Reason.HIGH_BELOW_BODY}]


def test_a_copy_is_quarantined_and_the_first_row_kept_but_conflicting_rows_are_all_quarantined() -> None:
    day = WEEKS[[0, 0, 1, 1, 1]]
    other = (*GOOD[:4], 2000.0)
    reasons = found(rows_of([GOOD, GOOD, GOOD, GOOD, other], days=day))
    assert reasons == [set(), {Reason.DUPLICATE}, *[{Reason.DUPLICATE_CONFLICT}] * 3]


def test_copies_with_the_same_gaps_are_copies() -> None:
    bar = (*GOOD[:4], NAN)
    assert found(rows_of([bar, bar], days=WEEKS[[0, 0]])) == [{Reason.NULL_VOLUME}, {Reason.NULL_VOLUME, Reason.DUPLICATE}]


def test_a_date_without_trading_is_a_non_session() -> None:
    saturday = days_array([date(2024, 3, 8), date(2024, 3, 9)])
    assert found(rows_of([GOOD, GOOD], days=saturday), sessions=MONDAY_TO_FRIDAY) == [set(), {Reason.NON_SESSION}]


def test_a_stale_run_needs_five_idle_rows_at_one_close_of_one_security() -> None:
    idle = (10.5, 10.5, 10.5, 10.5, 0.0)
    five, four = found(rows_of([GOOD, *[idle] * 5])), found(rows_of([GOOD, *[idle] * 4]))
    assert [Reason.STALE_RUN in reasons for reasons in five] == [False, *[True] * 5]
    assert not any(Reason.STALE_RUN in reasons for reasons in four)
    two_names = rows_of([idle] * 6, days=WEEKS[[0, 1, 2, 0, 1, 2]], security=[0, 0, 0, 1, 1, 1])
    assert not any(Reason.STALE_RUN in reasons for reasons in found(two_names))


def history(last: tuple[float, ...], sessions: int = 25) -> Rows:
    return rows_of([(100.0, 101.0, 99.0, 100.0, 1000.0)] * sessions + [last])


def test_a_halved_price_on_usual_dollar_volume_is_a_suspected_split() -> None:
    assert found(history((50.0, 51.0, 49.0, 50.0, 2100.0)))[-1] == {Reason.SUSPECTED_SPLIT}


def test_a_recorded_split_explains_the_move() -> None:
    rows = history((50.0, 51.0, 49.0, 50.0, 2100.0))
    assert found(rows, ratio=[*[1.0] * 25, 2.0])[-1] == set()


def test_a_halved_price_on_a_rush_of_volume_is_news_and_not_a_split() -> None:
    """A real fall trades many times the usual dollars: this is AAPL on 2000-09-29."""
    assert found(history((52.0, 54.0, 47.0, 48.4, 25000.0)))[-1] == {Reason.EXTREME_RETURN}


def test_a_recorded_split_on_a_quarantined_row_still_explains_the_next_one() -> None:
    rows = rows_of([(100.0, 101.0, 99.0, 100.0, 1000.0), (NAN, 51.0, 49.0, 50.0, 9.0), (50.0, 51.0, 49.0, 50.0, 2000.0)])
    assert found(rows, ratio=[1.0, 2.0, 1.0])[-1] == set()


def test_a_vendor_whose_adjusted_close_does_not_split_has_explained_the_move() -> None:
    figures = [(100.0, 101.0, 99.0, 100.0, 1000.0)] * 25 + [(50.0, 51.0, 49.0, 50.0, 2100.0)]
    assert Reason.SUSPECTED_SPLIT in found(rows_of(figures, adjusted=[100.0] * 25 + [50.0]))[-1]
    assert Reason.SUSPECTED_SPLIT not in found(rows_of(figures, adjusted=[50.0] * 25 + [50.0]))[-1]


def test_missing_sessions_are_those_between_a_security_s_rows() -> None:
    days = MONDAY_TO_FRIDAY[[0, 3, 1, 2]]
    rows = rows_of([GOOD] * 4, days=days, security=[0, 0, 1, 1])
    row, session = missing_sessions(rows, MONDAY_TO_FRIDAY)
    assert row.tolist() == [1, 1]
    assert session.tolist() == [1, 2]


def test_unsorted_rows_are_refused() -> None:
    with pytest.raises(InvariantBroken, match="sorted"):
        rows_of([GOOD, GOOD], days=WEEKS[[1, 0]])


def columns(*texts: str) -> np.ndarray:
    """One text a name, one letter a session: # for true."""
    return np.array([[letter == "#" for letter in text] for text in texts]).T


def test_a_name_that_stops_appearing_is_expected_for_five_sessions() -> None:
    has_bar = columns("##.......", "#########")
    wanted = expected(has_bar, has_bar, np.zeros_like(has_bar), 5)
    assert "".join(".#"[int(x)] for x in wanted[:, 0]) == ".######.."
    assert "".join(".#"[int(x)] for x in wanted[:, 1]) == ".########"


def test_a_recorded_delisting_ends_the_expectation_at_once() -> None:
    has_bar, ended = columns("##......."), columns("..#######")
    assert expected(has_bar, has_bar, ended, 5)[:, 0].tolist() == [False, True, *[False] * 7]


def test_a_name_outside_the_universe_at_its_last_bar_is_not_expected() -> None:
    has_bar, eligible = columns("####."), columns("##...")
    assert expected(has_bar, eligible, np.zeros_like(has_bar), 5)[:, 0].tolist() == [False, True, True, False, False]


@settings(max_examples=60)
@given(st.integers(0, 2**31), st.integers(1, 11))
def test_cutting_the_future_changes_no_expectation(seed: int, cut: int) -> None:
    rng = np.random.default_rng(seed)
    has_bar = rng.random((12, 4)) < 0.7
    eligible, ended = has_bar & (rng.random((12, 4)) < 0.8), rng.random((12, 4)) < 0.05
    whole = expected(has_bar, eligible, ended, 3)
    assert np.array_equal(whole[:cut], expected(has_bar[:cut], eligible[:cut], ended[:cut], 3))


def status_of(expected_names: int, absent: int, usable: int, rows: int, counts: dict[Reason, int] | None = None):
    coverage = Coverage(*(np.array([n]) for n in (rows, usable, usable, expected_names, absent)))
    per_reason = {reason: np.array([(counts or {}).get(reason, 0)]) for reason in Reason}
    return audit_sessions(MONDAY_TO_FRIDAY[:1], coverage, per_reason, CoverageConfig())[0]


@pytest.mark.parametrize(
    ("reason", "count", "usable", "status"),
    [
        (Reason.ZERO_VOLUME, 5, 100, SessionStatus.GREEN),
        (Reason.ZERO_VOLUME, 6, 100, SessionStatus.AMBER),
        (Reason.ZERO_VOLUME, 4, 10, SessionStatus.GREEN),
        (Reason.ZERO_VOLUME, 5, 10, SessionStatus.AMBER),
        (Reason.SUSPECTED_SPLIT, 6, 100, SessionStatus.AMBER),
        (Reason.NULL_ADJUSTED, 6, 100, SessionStatus.AMBER),
        (Reason.REVISED, 100, 100, SessionStatus.GREEN),
        (Reason.NO_RETURN, 1, 1000, SessionStatus.AMBER),
    ],
)
def test_a_warning_on_more_than_a_share_of_the_rows_costs_the_green(reason: Reason, count: int, usable: int, status: SessionStatus) -> None:
    """Over 5 % of the rows, and five at least; a revision corrects; a missing return is one too many."""
    audit = status_of(usable, 0, usable, usable, {reason: count})
    assert (audit.status, audit.reasons) == (status, (f"{reason}: {count}",))


@pytest.mark.parametrize(
    ("expected_names", "absent", "usable", "rows", "status"),
    [
        (100, 0, 100, 100, SessionStatus.GREEN),
        (100, 0, 100, 101, SessionStatus.AMBER),
        (100, 1, 99, 99, SessionStatus.AMBER),
        (100, 2, 98, 100, SessionStatus.AMBER),
        (100, 3, 97, 100, SessionStatus.RED),
        (0, 0, 100, 100, SessionStatus.GREEN),
        (0, 0, 0, 0, SessionStatus.RED),
    ],
)
def test_a_session_is_red_under_98_percent_amber_when_not_clean_green_otherwise(expected_names, absent, usable, rows, status) -> None:
    assert status_of(expected_names, absent, usable, rows).status is status


def test_warnings_are_named_and_leave_a_session_green() -> None:
    audit = status_of(100, 0, 100, 100, {Reason.ZERO_VOLUME: 3})
    assert audit.status is SessionStatus.GREEN
    assert audit.reasons == ("zero_volume: 3",)


def test_a_red_session_says_why_first() -> None:
    audit = status_of(100, 4, 96, 100, {Reason.NULL_PRICE: 4})
    assert audit.reasons == ("only 96.0% of expected names usable", "expected names without a usable bar: 4 of 100", "null_price: 4")
    assert (audit.rows, audit.usable, audit.quarantined) == (100, 96, 4)
