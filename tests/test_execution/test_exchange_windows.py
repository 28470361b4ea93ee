"""When each time in force is accepted, to the second, on normal, early-close, clock-change and holiday dates (A4)."""

from __future__ import annotations

from datetime import date

import pytest

from execution.exchange.market.market import MarketData
from execution.exchange.orders.windows import due_session
from execution.exchange.protocol.refusals import RefusedByVenue
from execution.orders import TimeInForce
from tests.fakes.exchange import bars, calendar, new_york

OPG, CLS, DAY, GTC, IOC = (TimeInForce(word) for word in ("opg", "cls", "day", "gtc", "ioc"))
FIRST_BARS_ONLY = MarketData(bars(), calendar())  # windows ask the calendar only, which spans two years
REFUSED = None


@pytest.mark.parametrize(
    ("time_in_force", "at", "session"),
    [
        # a normal Monday
        (OPG, "2021-11-22 09:27:59", date(2021, 11, 22)),
        (OPG, "2021-11-22 09:28:00", REFUSED),
        (OPG, "2021-11-22 18:59:59", REFUSED),
        (OPG, "2021-11-22 19:00:00", date(2021, 11, 23)),
        (OPG, "2021-11-22 00:00:00", date(2021, 11, 22)),
        (CLS, "2021-11-22 15:49:59", date(2021, 11, 22)),
        (CLS, "2021-11-22 15:50:00", REFUSED),
        (CLS, "2021-11-22 18:59:59", REFUSED),
        (CLS, "2021-11-22 19:00:00", date(2021, 11, 23)),
        (DAY, "2021-11-22 15:59:59", date(2021, 11, 22)),
        (DAY, "2021-11-22 16:00:00", date(2021, 11, 23)),
        (GTC, "2021-11-22 16:00:00", date(2021, 11, 23)),
        (IOC, "2021-11-22 09:29:59", REFUSED),
        (IOC, "2021-11-22 09:30:00", date(2021, 11, 22)),
        (IOC, "2021-11-22 16:00:00", REFUSED),
        # the evening before Thanksgiving, the holiday itself, and the early close after it
        (OPG, "2021-11-24 19:00:00", date(2021, 11, 26)),
        (OPG, "2021-11-25 09:27:59", date(2021, 11, 26)),
        (OPG, "2021-11-25 12:00:00", REFUSED),
        (CLS, "2021-11-25 15:49:59", date(2021, 11, 26)),
        (DAY, "2021-11-25 12:00:00", date(2021, 11, 26)),
        (CLS, "2021-11-26 12:49:59", date(2021, 11, 26)),
        (CLS, "2021-11-26 12:50:00", REFUSED),
        (CLS, "2021-11-26 15:49:59", REFUSED),
        (DAY, "2021-11-26 12:59:59", date(2021, 11, 26)),
        (DAY, "2021-11-26 13:00:00", date(2021, 11, 29)),
        # a weekend
        (OPG, "2021-11-27 09:27:59", date(2021, 11, 29)),
        (OPG, "2021-11-27 19:00:00", date(2021, 11, 29)),
        (CLS, "2021-11-28 19:00:00", date(2021, 11, 29)),
        # clocks go forward on 2021-03-14 and back on 2021-11-07: New York's time of day decides
        (OPG, "2021-03-12 09:27:59", date(2021, 3, 12)),
        (OPG, "2021-03-15 09:27:59", date(2021, 3, 15)),
        (OPG, "2021-03-15 09:28:00", REFUSED),
        (OPG, "2021-03-14 19:00:00", date(2021, 3, 15)),
        (CLS, "2021-03-15 15:49:59", date(2021, 3, 15)),
        (CLS, "2021-03-15 15:50:00", REFUSED),
        (OPG, "2021-11-07 18:59:59", REFUSED),
        (OPG, "2021-11-07 19:00:00", date(2021, 11, 8)),
        (OPG, "2021-11-08 09:27:59", date(2021, 11, 8)),
        (CLS, "2021-11-08 15:49:59", date(2021, 11, 8)),
        (CLS, "2021-11-08 15:50:00", REFUSED),
    ],
)
def test_an_order_is_for_its_session_inside_its_window_and_refused_outside(
    time_in_force: TimeInForce, at: str, session: date | None
) -> None:
    if session is REFUSED:
        with pytest.raises(RefusedByVenue) as refused:
            due_session(time_in_force, new_york(at), FIRST_BARS_ONLY)
        assert refused.value.refusal.status == 422
    else:
        assert due_session(time_in_force, new_york(at), FIRST_BARS_ONLY) == session


def test_the_refusal_of_an_early_cut_off_names_it() -> None:
    with pytest.raises(RefusedByVenue) as refused:
        due_session(CLS, new_york("2021-11-26 12:50"), FIRST_BARS_ONLY)
    assert "before 12:50" in str(refused.value.content["message"])
