"""Steps through the day at a broker that fills in parts, loses nothing and is asked again after every kill."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import time
from decimal import Decimal
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from appliance.context import Deps
from appliance.jobs.confirm import confirm
from appliance.jobs.reconcile import reconcile
from appliance.jobs.trade import trade
from appliance.ledger import intents, plans
from appliance.ledger.intents import IntentState
from appliance.system.clock import VirtualClock
from execution.brokers.base import Submission
from execution.orders import Intent
from execution.planning.config import EntryConfig, EntryStyle
from execution.planning.plan import PlanInputs, plan
from portfolio.weights import TargetWeights
from tests.fakes.broker import Crash, FakeBroker
from tests.fakes.rehearsal import CALENDAR, PROVENANCE, D, Rehearsal, at, broken_rules

ZERO = Decimal(0)
STEPS = ("09:45", "12:00", "15:20")
PRICES = {"A": Decimal(100), "B": Decimal(20)}


RENEWING = 20  # commits of a step's job: what it cancels and attempts again, and the first post


class Stepped(Rehearsal):
    """A device whose settings ask for steps through the day."""

    entry: EntryConfig

    def open(self, crash_at: int | None = None, *, is_after: bool = False) -> Deps:
        deps = super().open(crash_at, is_after=is_after)
        execution = deps.config.execution.model_copy(update={"entry": self.entry})
        return replace(deps, config=deps.config.model_copy(update={"execution": execution}))


def prepared(root: Path, adv: Decimal = Decimal(10**9), participation: float = 0.05, held_b: Decimal = ZERO) -> Rehearsal:
    """A device at 08:00 with a frozen plan in three steps: A goes from 40 to -20, B from 0 to 150 shares.

    Where B is held it is sold instead, in steps too.
    """
    clock = VirtualClock(at("08:00"))
    entry = EntryConfig(kind=EntryStyle.TWAP, steps=3, participation=participation)
    life = Stepped(root, FakeBroker(clock, CALENDAR, PRICES), clock)
    life.entry = entry
    life.broker.held = {"A": Decimal(40), **({"B": held_b} if held_b else {})}
    life.start()
    deps = life.open()
    account = life.broker.account()
    equity, wanted = float(account.equity), 0.0 if held_b else 3000.5
    targets = TargetWeights(D, CALENDAR.previous(D), ("A", "B"), np.array([-2000.5 / equity, wanted / equity]))
    frozen = plan(
        targets,
        PlanInputs(account, dict(life.broker.held), PRICES, life.broker.assets(), dict.fromkeys(PRICES, adv)),
        PROVENANCE,
        deps.config.execution.planning,
        deps.config.execution.pretrade,
        entry=entry,
    )
    plans.save(deps.ledger, frozen, clock.now())
    deps.close()
    return life


Kills = dict[int, list[tuple[int, bool]]]


def drawn(rng: random.Random) -> Kills:
    return {n: [(rng.randint(1, 14), rng.random() < 0.5) for _ in range(rng.randint(0, 2))] for n in (1, 2, 3)}


def day(life: Rehearsal, deadly: Kills | None = None, first: int = 1) -> None:
    """Run the three steps, or those from `first` on, and the close; killed and restarted as told."""
    for number, hour in list(enumerate(STEPS, start=1))[first - 1 :]:
        life.to(hour)
        crashes = list((deadly or {}).get(number, []))
        until = CALENDAR.session(D).at(time(15, 40))
        life.run(partial(trade, step=number), crashes, until)
    life.to("15:45")
    life.run(confirm, [], at("15:50"))
    life.to("16:00")
    life.broker.close()
    life.to("16:20")
    life.run(reconcile, [], at("23:00"))


def filled(life: Rehearsal) -> Counter[str]:
    found: Counter[str] = Counter()
    for row in life.broker.rows.values():
        found[row.symbol] += row.side.sign * int(row.filled_quantity)
    return found


def test_every_step_leaves_once_and_the_plan_is_filled(tmp_path: Path) -> None:
    life = prepared(tmp_path)
    day(life)
    assert broken_rules(life) == []
    assert filled(life) == {"A": -60, "B": 150}
    assert [i.key.slice - 9 for _, i in life.broker.posts if i.key.symbol == "B"] == [1, 2, 3]
    assert max(Counter(i.key.client_order_id for _, i in life.broker.posts).values()) == 1


def test_a_new_attempt_follows_only_what_was_cancelled_and_confirmed(tmp_path: Path) -> None:
    """Half of each first attempt fills; its rest is cancelled before the next step, then attempted with it."""
    life = prepared(tmp_path)
    life.broker.day_fill = lambda i: (i.quantity / 2) // 1 if i.key.attempt == 0 else i.quantity
    day(life)
    assert broken_rules(life) == []
    later = [(when, i) for when, i in life.broker.posts if i.key.attempt == 1]
    assert later and all(when >= at("12:00") for when, _ in later)
    deps = life.open()
    entries = {e.intent.key: e for e in intents.of_session(deps.ledger, D)}
    deps.close()
    for _, intent in later:
        before = next(e for k, e in entries.items() if (k.symbol, k.slice, k.attempt) == (intent.key.symbol, intent.key.slice, 0))
        assert before.state is IntentState.CANCELED and intent.quantity == before.residual


def blotter(life: Rehearsal) -> dict[tuple[str, int, int], tuple[str, int, str]]:
    """State, unfilled shares and reason of every order of D, by symbol, step and attempt."""
    deps = life.open()
    entries = intents.of_session(deps.ledger, D)
    deps.close()
    return {(e.intent.key.symbol, e.intent.step, e.intent.key.attempt): (e.state.value, int(e.residual), e.reason) for e in entries}


def halves(life: Rehearsal) -> None:
    """Half of each first attempt fills, and all of the second."""
    life.broker.day_fill = lambda i: (i.quantity / 2) // 1 if i.key.attempt == 0 else i.quantity


def posted(life: Rehearsal) -> list[tuple[str, Decimal]]:
    return [(intent.key.client_order_id, intent.quantity) for _, intent in life.broker.posts]


def test_a_crash_anywhere_around_a_cancellation_loses_no_rest_and_sends_none_twice(tmp_path: Path) -> None:
    """Killed before and after each commit until a new attempt is at the broker: the orders of the calm session."""
    calm = prepared(tmp_path / "calm")
    halves(calm)
    day(calm)
    assert sum(intent.key.attempt == 1 for _, intent in calm.broker.posts) == 4
    for number in range(1, RENEWING + 1):
        for is_after in (False, True):
            life = prepared(tmp_path / f"{number} {is_after}")
            halves(life)
            day(life, {2: [(number, is_after)]})
            assert life.seen["crash"] == 1 and broken_rules(life) == []
            assert posted(life) == posted(calm), (number, is_after)


@pytest.mark.parametrize("nth", [1, 2])
def test_killed_with_a_cancellation_confirmed_the_rest_leaves_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    """F10: the broker has cancelled, the process is gone before it writes anything down."""
    life, calm = prepared(tmp_path / "life"), prepared(tmp_path / "calm")
    for each in (life, calm):
        halves(each)
    cancel, asked = life.broker.cancel, list[str]()

    def deadly(order_id: str) -> bool | None:
        done = cancel(order_id)
        asked.append(order_id)
        if len(asked) == nth:
            raise Crash
        return done

    monkeypatch.setattr(life.broker, "cancel", deadly)
    day(life)
    day(calm)
    assert life.seen["crash"] == 1 and broken_rules(life) == []
    assert posted(life) == posted(calm)


def test_a_rest_whose_window_closed_before_it_could_leave_has_a_denied_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dead from the cancellations of the last step until after the close: nothing is sent, and nothing is silent."""
    life = prepared(tmp_path)
    halves(life)
    life.to("09:45")
    life.run(partial(trade, step=1), [], at("15:40"))
    life.to("12:00")
    life.run(partial(trade, step=2), [], at("15:40"))
    life.to("15:20")
    cancel = life.broker.cancel

    def deadly(order_id: str) -> bool | None:
        cancel(order_id)
        raise Crash

    monkeypatch.setattr(life.broker, "cancel", deadly)
    assert life.run(partial(trade, step=3), [], at("15:20")) is None
    sent = len(life.broker.posts)
    monkeypatch.undo()
    life.to("16:00")
    life.broker.close()
    life.to("16:20")
    report = life.run(reconcile, [], at("23:00"))
    assert report is not None and broken_rules(life) == []
    assert len(life.broker.posts) == sent
    rows = blotter(life)
    lost = {place: row for place, row in rows.items() if "what step" in row[2]}
    # the one cancelled order of step 2 had 10 of 20 A (or 25 of 50 B) unfilled
    assert list(lost.values()) == [("denied", 10, "what step 2 left unfilled: its window closed before it could be sent")]
    before = {"A": -60, "B": 150}
    unfilled = Counter({s: abs(before[s] - n) for s, n in filled(life).items()})
    told: Counter[str] = Counter()
    for (symbol, step, attempt), (_, shares, _) in rows.items():
        if (symbol, step, attempt + 1) not in rows:
            told[symbol] += shares
    assert told == unfilled, "the last row of every step tells what it lacks"


def test_what_a_person_cancelled_is_followed_by_nothing(tmp_path: Path) -> None:
    life = prepared(tmp_path)
    halves(life)
    life.to("09:45")
    life.run(partial(trade, step=1), [], at("15:40"))
    for order in list(life.broker.rows.values()):
        life.broker.cancel(order.id)
    day(life, first=2)
    assert broken_rules(life) == []
    assert not [key for key in blotter(life) if key[1:] == (1, 1)]


def test_rests_of_two_steps_together_stay_below_the_participation_cap(tmp_path: Path) -> None:
    """Room for 60 shares of B a step, 50 of them the step's own: 10 leave with the second and 10 with the third.

    One share of each order fills. At the close step 1 lacks 50 - 3 shares, 9 of which its last attempt of 10 asked for
    in vain: 38 never found room. Neither did the 49 of step 2.
    """
    life = prepared(tmp_path, adv=Decimal(18_000), participation=0.2, held_b=Decimal(150))
    life.broker.day_fill = lambda i: Decimal(1)
    day(life)
    assert broken_rules(life) == []
    by_hour: Counter[str] = Counter()
    for when, intent in life.broker.posts:
        by_hour[f"{when:%H}"] += int(intent.quantity) if intent.key.symbol == "B" else 0
    assert [by_hour[hour] for hour in sorted(by_hour)] == [50, 60, 60]
    rows = blotter(life)
    lost = {place: row[1] for place, row in rows.items() if row[0] == "denied" and place[0] == "B"}
    assert lost == {("B", 1, 3): 38, ("B", 2, 1): 49}
    assert rows["B", 1, 2][:2] == ("expired", 9)


def test_an_unconfirmed_cancellation_is_followed_by_no_new_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = prepared(tmp_path)
    life.broker.day_fill = lambda i: (i.quantity / 2) // 1
    monkeypatch.setattr(life.broker, "cancel", lambda order_id: True)  # it says so and does nothing
    day(life)
    assert all(intent.key.attempt == 0 for _, intent in life.broker.posts)


def test_a_rest_below_the_least_notional_is_left_alone(tmp_path: Path) -> None:
    """min_residual_usd is 25: one share of A at 100 USD left over is worth an order, one of B at 20 is not."""
    life = prepared(tmp_path)
    life.broker.day_fill = lambda i: i.quantity - 1 if i.key.attempt == 0 else i.quantity
    day(life)
    assert {intent.key.symbol for _, intent in life.broker.posts if intent.key.attempt == 1} == {"A"}
    assert filled(life)["B"] == 147


@pytest.mark.parametrize("seed", range(12))
def test_kills_between_and_within_steps_repeat_and_change_none(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    life = prepared(tmp_path)
    share = rng.choice((Decimal(1), Decimal("0.5"), Decimal(0)))
    life.broker.day_fill = lambda i: (i.quantity * share) // 1
    day(life, drawn(rng))
    assert broken_rules(life) == []
    assert max(Counter(i.key.client_order_id for _, i in life.broker.posts).values()) == 1
    found = filled(life)
    assert -60 <= found["A"] <= 0 <= found["B"] <= 150


def test_new_attempts_and_the_steps_own_orders_stay_below_the_participation_cap_together(tmp_path: Path) -> None:
    """20 % of 37,500 USD of A over three steps are 25 shares a step: beside 20 of its own, 5 of the rest may leave."""
    life = prepared(tmp_path, adv=Decimal(37_500), participation=0.2)
    life.broker.day_fill = lambda i: Decimal(1) if i.key.attempt == 0 else i.quantity
    day(life)
    assert broken_rules(life) == []
    sent: Counter[tuple[str, str]] = Counter()
    for when, intent in life.broker.posts:
        sent[intent.key.symbol, f"{when:%H}"] += int(intent.quantity)
    assert [sent["A", hour] for hour in sorted({hour for _, hour in sent})][:2] == [20, 25]
    assert max(shares for (symbol, _), shares in sent.items() if symbol == "A") == 25


def test_sells_are_filled_before_the_buys_that_need_what_they_free(tmp_path: Path) -> None:
    """A is sold and B bought in the same step: the order for B leaves after the one for A has ended at the broker."""
    life = prepared(tmp_path)
    ended: list[bool] = []
    post = life.broker.submit

    def watched(intent: Intent) -> Submission:
        if intent.key.symbol == "B":
            ended.append(all(r.status.is_terminal for r in life.broker.rows.values() if r.symbol == "A"))
        return post(intent)

    life.broker.submit = watched  # type: ignore[method-assign]
    day(life)
    assert ended and all(ended)
