"""Each rule of the rehearsed sessions can be broken: a judge that never objects proves nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from appliance.ledger import alerts
from appliance.system.ports import Alert, Severity
from execution.orders import TimeInForce
from tests.fakes.rehearsal import Rehearsal, at, broken_rules, rehearse

SEED = 2


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Rehearsal]:
    """A calm session that has ended well."""
    yield rehearse(tmp_path, SEED, is_calm=True)


def test_the_session_itself_breaks_no_rule(life: Rehearsal) -> None:
    assert broken_rules(life) == []
    assert len(life.broker.posts) >= 3


def order_twice(life: Rehearsal) -> None:
    life.broker.accepted.append(life.broker.accepted[0])


def book_beyond_gross(life: Rehearsal) -> None:
    life.broker.books.append((at("09:31"), {"S0": Decimal(10**6), "S1": Decimal(-(10**6))}))


def book_beyond_name(life: Rehearsal) -> None:
    shares = Decimal("0.0601") * 10**6 // life.broker.prices["S1"] + 1000
    life.broker.books.append((at("09:31"), {"S1": shares}))


def short_a_fraction(life: Rehearsal) -> None:
    life.broker.books.append((at("09:31"), {"S0": Decimal("-0.5")}))


def close_differently(life: Rehearsal) -> None:
    life.broker.cash += Decimal("0.01")


def order_of_nobody(life: Rehearsal) -> None:
    life.broker.accepted.append((at("09:31"), "tm1-nobody"))


def post_after_a_halt(life: Rehearsal) -> None:
    life.posts_at_halt = len(life.broker.posts) - 1


def post_too_late(life: Rehearsal) -> None:
    when, intent = next((w, i) for w, i in life.broker.posts if i.time_in_force is TimeInForce.OPG)
    life.broker.posts[life.broker.posts.index((when, intent))] = (at("09:27"), intent)


def post_on_another_day(life: Rehearsal) -> None:
    when, intent = life.broker.posts[0]
    life.broker.posts[0] = (when + timedelta(days=1), intent)


def fill_in_secret(life: Rehearsal) -> None:
    told = next(item for item in life.broker.news if item.kind == "FILL")
    life.broker.news.append(replace(told, id="f999999"))


def open_by_itself(life: Rehearsal) -> None:
    for state in ("halted", "armed"):
        life.fs.written.append(("latch.json", json.dumps({"state": state}).encode()))


def end_twice(life: Rehearsal) -> None:
    life.ended.append(("trade", "halted"))


def halt_unheard(life: Rehearsal) -> None:
    life.latch.halt("MANUAL", "test", at("16:30"))


def claim_to_be_heard(life: Rehearsal) -> None:
    halt_unheard(life)
    deps = life.open()
    key = f"halt-{life.latch.read().halt_id}"
    alerts.add(deps.ledger, Alert(Severity.PAGE, key, "HALTED", "why", at("16:30")), delivered=True)
    deps.close()


def fill_beyond_the_plan(life: Rehearsal) -> None:
    number, row = next(iter(life.broker.rows.items()))
    life.broker.rows[number] = replace(row, filled_quantity=row.quantity + 10**6)


BREAKS: dict[str, tuple[Callable[[Rehearsal], None], str]] = {
    "two orders": (order_twice, "I1: 2 orders"),
    "gross": (book_beyond_gross, "I2: gross is"),
    "name": (book_beyond_name, "I2: S1 is"),
    "fraction short": (short_a_fraction, "are short at"),
    "close": (close_differently, "I3: the close"),
    "provenance": (order_of_nobody, "I4: "),
    "post after a halt": (post_after_a_halt, "I5: "),
    "post too late": (post_too_late, "I6: "),
    "post on another day": (post_on_another_day, "I6: "),
    "secret fill": (fill_in_secret, "I8: the ledger's fills"),
    "latch": (open_by_itself, "I9: "),
    "job": (end_twice, "I11: trade"),
    "nobody told": (halt_unheard, "I13: nobody was told"),
    "told nobody": (claim_to_be_heard, "I13: the alert"),
    "plan": (fill_beyond_the_plan, "shares of"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_rule_is_named(life: Rehearsal, name: str) -> None:
    spoil, sentence = BREAKS[name]
    spoil(life)
    found = broken_rules(life)
    assert any(sentence in told for told in found), found
