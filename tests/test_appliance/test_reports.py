"""The daily report for a person, from a hand-written day."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from math import nan
from typing import Any
from xml.etree import ElementTree

import pytest

from appliance.ledger.figures import RoundingFigures
from appliance.ledger.nav import NavRow
from appliance.reports import markdown
from appliance.reports.markdown import money, table
from appliance.reports.session_data import SessionReport
from appliance.reports.svg import Box, Chart, Line, draw, drawdowns, drawn
from execution.orders import Rounding
from signals.text.documents import from_json, to_json

DAY: dict[str, Any] = {
    "session": "2024-03-12", "asof": "2024-03-11", "venue": "exchange", "latch": "ARMED since yesterday by me",
    "jobs": [{"job": "trade", "status": "done", "summary": "1 of 1 auction orders are at the broker"},
             {"job": "confirm", "status": "halted", "summary": "it | broke"}],
    "bundle": {"role": "champion", "refusal": None, "bundle_id": "abc", "bundle_sha256": "f" * 64,
               "bundle_age_sessions": 3},
    "value": {"paper_nav": "1000123.40", "real_nav": "1000100.00", "cash": "999000.00", "gross_usd": "1123.40",
              "net_usd": "-1123.40", "gross": 0.0011, "net": -0.0011, "paper_pnl": "123.40", "real_pnl": "-0.05",
              "dividends": "0", "borrow": "-0.01", "fees": "-0.02", "impact": "-23.37"},
    "decisions": {"decisions": [["kelly scalar", "0.41"]], "ramp": 1.0, "turnover": 0.1, "gross": 0.1, "net": 0.0,
                  "reduce_only": False},
    "targets": [{"symbol": "AAA", "weight": 0.01, "current": 0.0, "z": 1.25, "sector": "Energy"},
                {"symbol": "BBB", "weight": 0.0, "current": -0.05, "z": None, "sector": ""}],
    "plan": {"digest": "d" * 64, "equity": "1000000", "orders": 1, "rounding_l1": 0.001,
             "refusals": [{"symbol": "CCC", "check": "NO_PRICE", "reason": "it has no reference price"}],
             "provenance": {"config_hash": "c" * 64, "code_version": "0.1.0"}},
    "orders": [{"client_order_id": "one", "symbol": "AAA", "side": "buy", "quantity": "100", "time_in_force": "opg",
                "reference_price": "10.0000", "state": "filled", "filled": "100", "reason": ""}],
    "fills": [{"client_order_id": "one", "symbol": "AAA", "side": "buy", "quantity": "60", "price": "10.1000",
               "cash": "-606.00"},
              {"client_order_id": "one", "symbol": "AAA", "side": "buy", "quantity": "40", "price": "10.2000",
               "cash": "-408.00"}],
    "tripwires": [
        {"name": "GROSS", "value": "0.1", "limit": "1.02", "action": "refuse", "tripped": False, "detail": "g"},
        {"name": "DRAWDOWN", "value": None, "limit": "0.1", "action": "reduce", "tripped": True, "detail": "d"},
    ],
    "alerts": [], "controls": "36 of 36 controls fire past their limit and on a missing figure",
    "machine": "read from this machine",
    "data": {"status": "AMBER", "reasons": ["nulls: 2"], "eligible": 300, "dataset": "tests", "version": 4,
             "snapshot_id": "s" * 64, "survivorship": "unknown"},
}  # fmt: skip


def render(document: dict[str, Any]) -> str:
    """The report of a day that is written as JSON, as `report_<D>.json` is."""
    return markdown.render(from_json(SessionReport, document))


def test_the_stored_report_is_read_back_as_it_was_written() -> None:
    read = from_json(SessionReport, DAY)
    assert from_json(SessionReport, to_json(read)) == read
    assert to_json(read)["value"]["paper_nav"] == "1000123.40" and to_json(read)["orders"] == DAY["orders"]


def test_a_person_reads_what_happened_before_why() -> None:
    text = render(DAY)
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Session 2024-03-12",
        "## Value",
        "## Targets",
        "## Orders",
        "## Tripwires",
        "## Where it came from",
    ]
    assert "| paper NAV | 1,000,123.40 | +123.40 |" in text
    assert "| impact | -23.37 |" in text
    assert "1 orders: 1 filled. 2 fills, 1,014.00 USD traded." in text
    assert r"| confirm | HALTED | it \| broke |" in text


def test_the_average_fill_price_weighs_by_shares() -> None:
    """(60 x 10.10 + 40 x 10.20) / 100 = 10.14."""
    assert "| AAA | buy | 100 | opg | 10.0000 | 10.1400 | filled |" in render(DAY)


def test_what_tripped_stands_first_and_a_missing_value_is_a_dash() -> None:
    lines = [line for line in render(DAY).splitlines() if line.startswith(("| DRAWDOWN", "| GROSS"))]
    assert lines == ["| DRAWDOWN | TRIPPED | - | 0.1 | reduce | d |", "| GROSS | ok | 0.1 | 1.02 | refuse | g |"]


def test_the_largest_changes_of_the_book_come_first() -> None:
    lines = [line for line in render(DAY).splitlines() if line.startswith(("| AAA | +", "| BBB"))]
    assert lines == ["| BBB | -5.00% | +0.00% |  |  |", "| AAA | +0.00% | +1.00% | +1.25 | Energy |"]


def rounding_of(rounding: Rounding) -> dict[str, Any]:
    found: dict[str, Any] = to_json(RoundingFigures.of(rounding))
    return found


def test_the_report_says_how_far_whole_shares_are_from_the_target_book() -> None:
    """Nothing of it before there was a plan, under a flat target, or in a plan of an earlier release."""
    figures = rounding_of(Rounding(0.95, 0.05, 0.06, 0.93, ("AAA", "BBB")))
    assert (figures["share"], figures["ratio"]) == (pytest.approx(0.05 / 0.95), pytest.approx(1.2))
    text = render({**DAY, "plan": {**DAY["plan"], "rounding": figures}})
    assert (
        "The nearest whole shares are 5.00% of equity from the target book (5.3% of its gross). With every planned"
        " order filled the book is 6.00% from it, 1.20 times as far, its gross 93.00% of 95.00%. 2 names"
        " round to no share and are not held: AAA, BBB." in text
    )
    exact = rounding_of(Rounding(0.95, 0.0, 0.06, 0.93))
    assert "the book is 6.00% from it, its gross" in render({**DAY, "plan": {**DAY["plan"], "rounding": exact}})
    flat = rounding_of(Rounding())
    for plan in (None, DAY["plan"], {**DAY["plan"], "rounding": flat}):
        assert "whole shares" not in render({**DAY, "plan": plan})


def test_an_unproven_bundle_is_a_banner() -> None:
    unproven = {**DAY, "bundle": {**DAY["bundle"], "role": "evaluation", "refusal": "no promotion judged it"}}
    assert "> **Unproven bundle** (role `evaluation`): no promotion judged it" in render(unproven)
    assert "Unproven" not in render(DAY)


NASTY = "=1+1 \x1b[2J\u202e[/x]<script>`x`|*y*\n# Fake\n| a | b |"
SHOWN = r"=1+1 \\x1b\[2J\\u202e\[/x\]\<script\>\`x\`\|\*y\* # Fake \| a \| b \|"


def test_text_from_outside_changes_nothing_of_the_report_s_form() -> None:
    """A person's reason, a bundle's words, symbols and verdicts, in a table or beside it, show as their characters."""
    rounding = rounding_of(Rounding(0.95, 0.05, 0.06, 0.93, (NASTY,)))
    test = {"says": NASTY, "wealth": 1.0, "highest": 2.0, "alarm_at": 20.0, "alarmed_on": "2024-03-01"}
    drift = [{"name": NASTY, "psi": 0.1, "limit": 0.2, "used": 0.5, "verdict": NASTY}]
    part = {
        "session": "2024-03-11",
        "parts": {"market": "1.00"},
        "total": "1.00",
        "costs": {"fees": "0"},
        "data": "GREEN",
        "best": [[NASTY, "2.00"]],
        "worst": [[NASTY, "-1.00"]],
    }

    def told(outside: str) -> str:
        def said(text: object) -> object:
            return outside if text == NASTY else text

        return render(
            {
                **DAY,
                "latch": outside,
                "bundle": {**DAY["bundle"], "role": "evaluation", "refusal": outside},
                "plan": {**DAY["plan"], "rounding": {**rounding, "never_held": [outside]}},
                "controls": outside,
                "alerts": [{"severity": "page", "title": outside, "body": outside}],
                "expectation": {"lineage": "m", "since": "2024-02-01", "until": "2024-03-01", "test": {**test, "says": outside}},
                "drift": {"window_sessions": 60, "rows": [{key: said(value) for key, value in drift[0].items()}]},
                "attribution": [{**part, "best": [[outside, "2.00"]], "worst": [[outside, "-1.00"]]}],
            }
        )

    text = told(NASTY)
    assert text.count(SHOWN) == 12 and text.replace(SHOWN, "plain") == told("plain")
    assert "| sum | +1.00 |" in text


def test_a_day_without_anything_still_says_so() -> None:
    empty = {
        **DAY,
        "value": None,
        "orders": [],
        "fills": [],
        "targets": [],
        "tripwires": [],
        "plan": None,
        "decisions": {**DAY["decisions"], "decisions": None},
    }
    text = render(empty)
    for sentence in ("No value was agreed", "No targets: the book stays as it is", "## Orders\n\nNone.", "None was evaluated"):
        assert sentence in text


def test_the_same_day_gives_the_same_text() -> None:
    assert render(DAY) == render(dict(reversed(DAY.items())))


def test_money_and_tables() -> None:
    assert (money(Decimal("-1234.5")), money(Decimal("1234.5"), signed=True)) == ("-1,234.50", "+1,234.50")
    assert table(["a", "b"], [["x", "1"]], numbers=(1,)) == "| a | b |\n| --- | ---: |\n| x | 1 |"


def test_drawdowns_are_falls_below_the_highest_so_far() -> None:
    assert drawdowns([100.0, 110.0, 99.0, 121.0]) == [0.0, 0.0, -0.1, 0.0]


@pytest.mark.parametrize("count", [1, 3, 40])
def test_the_curve_is_a_picture_and_the_same_one_twice(count: int) -> None:
    at = datetime(2024, 3, 12, 21, tzinfo=UTC)
    rows = [
        NavRow(date(2024, 3, 1 + i % 28), Decimal(1000 + i), Decimal(1000 - i), Decimal(0), Decimal(0), Decimal(0), at)
        for i in range(count)
    ]
    picture = draw(rows)
    shapes = [shape for shape in ElementTree.fromstring(picture).iter() if shape.tag.endswith(("polyline", "circle"))]
    assert len(shapes) == 3, "paper, real and drawdown"
    assert draw(rows) == picture


def test_a_value_is_drawn_at_its_height_and_a_gap_stays_open() -> None:
    """A plot of 100 by 100 pixels from (78, 28): 0 at its floor, 10 at its top, nothing over the missing value."""
    chart = Chart("a < b", (Line([0.0, 10.0, nan, 5.0], "red"),))
    text = drawn(((chart, Box(0, 0, 214, 152)),), 214, 152).decode()
    assert "points='78.00,128.00 111.33,28.00'" in text
    assert "<circle cx='178.00' cy='78.00'" in text and "a &lt; b" in text


@pytest.mark.parametrize("values", [[], [nan], [3.0], [2.0, 2.0], [1e9, -1e-9], [-5.0, -5.0]])
def test_any_figures_make_a_document(values: list[float]) -> None:
    ElementTree.fromstring(drawn(((Chart("", (Line(values, "red", "x"),)), Box(0, 0, 300, 200)),), 300, 200))
