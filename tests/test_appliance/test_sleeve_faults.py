"""What the jobs do where one of several sleeves has no scores: wait, go on with less, or refuse."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.bundles.slots import Slot
from appliance.config import ApplianceConfig, MissingSleeve
from appliance.controls.tripwires import NOT_JUDGED, NOT_YET
from appliance.jobs import score, sleeve_scores
from appliance.jobs.sleeve_scores import TradedSleeves, left_out, no_longer_valid
from appliance.safety.ramp import ramp_share
from signals.errors import BundleRefused, ScoresInvalid, StoreUnreachable, TrademlError
from tests.test_appliance.test_runner import CALENDAR, D

EARLY = datetime(2024, 3, 11, 23, 0, tzinfo=UTC)  # the evening before D, 19:00 New York
LATE = datetime(2024, 3, 12, 12, 30, tzinfo=UTC)  # 08:30: the plan is due
A, B, C = Slot("a"), Slot("b"), Slot("c")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    found: list[str] = []
    for module in (score, sleeve_scores):
        monkeypatch.setattr(module, "warn", lambda deps, key, title, body: found.append(f"{key} | {title} | {body}"))
    yield found


def deps(at: datetime, weights: dict[str, float], *, is_hosted: bool = False, **changes: Any) -> Any:
    url = "" if is_hosted else "http://127.0.0.1:1"
    settings = {"stores": {"data": "d", "bundles": "b"}, "venue": {"url": url}, "sleeves": weights, **changes}
    return SimpleNamespace(config=ApplianceConfig.model_validate(settings), calendar=CALENDAR, clock=SimpleNamespace(now=lambda: at))


def judge(faults: dict[Slot, TrademlError], given: Any) -> None:
    score._judge(D, CALENDAR.previous(D), faults, given)


@pytest.mark.parametrize("error", [StoreUnreachable("not delivered yet"), BundleRefused("its key was revoked")])
def test_what_may_still_come_is_waited_for_until_the_plan_is_due(told: list[str], error: TrademlError) -> None:
    """Before 08:00 the job stays open; then, and on an exchange whose time makes no later attempt, the rest goes on."""
    weights = {"a": 0.6, "b": 0.4}
    with pytest.raises(type(error)):
        judge({B: error}, deps(EARLY, weights))
    assert told == []
    for given in (deps(LATE, weights), deps(EARLY, weights, is_hosted=True)):
        judge({B: error}, given)
    assert [line.partition(" | ")[2] for line in told] == [
        f"no b scores at {CALENDAR.previous(D)} | {error}. Its 40% of the book stays unallocated"
    ] * 2


def test_scores_that_say_nothing_are_not_waited_for(told: list[str]) -> None:
    judge({B: ScoresInvalid("all equal")}, deps(EARLY, {"a": 0.6, "b": 0.4}))
    assert len(told) == 1


def test_the_session_is_refused_where_more_than_half_is_missing_or_every_sleeve_is_asked_for(told: list[str]) -> None:
    equal = ScoresInvalid("all equal")
    judge({B: equal, C: equal}, deps(EARLY, {"a": 0.5, "b": 0.25, "c": 0.25}))
    told.clear()
    for given in (deps(EARLY, {"a": 0.49, "b": 0.26, "c": 0.25}), deps(EARLY, {"a": 0.9, "b": 0.05, "c": 0.05}, missing_sleeve="refuse")):
        with pytest.raises(ScoresInvalid):
            judge({B: equal, C: equal}, given)
    assert told == [] and given.config.missing_sleeve is MissingSleeve.REFUSE


def test_an_expired_bundle_is_no_longer_valid() -> None:
    def bundle(age: int) -> Any:
        return SimpleNamespace(age_sessions=age, age_limit_sessions=70)

    found = no_longer_valid({"a": bundle(70), "b": bundle(71)}, {}, 1.0)
    assert found == {"b": "its bundle is 71 sessions old and expired after 70"}
    assert list(no_longer_valid({"a": bundle(90), "b": bundle(71)}, {}, 1.0)) == ["a", "b"]


def test_who_is_no_longer_valid_is_left_out_unless_that_would_refuse_the_session_for_ever() -> None:
    """A refused session closes no position: where the others have less than half the weight, or all are asked for, tripwires reduce."""
    for weights, missing, said in (
        ({"a": 0.5, "b": 0.5}, {}, ["b"]),
        ({"a": 0.4, "b": 0.6}, {}, []),
        ({"a": 0.4, "b": 0.3, "c": 0.3}, {"c": "no scores"}, []),
        ({"a": 0.6, "b": 0.2, "c": 0.2}, {"c": "no scores"}, ["b"]),
        ({"b": 1.0}, {}, []),
    ):
        assert list(left_out({"b": "old"}, missing, weights, deps(EARLY, weights).config)) == said
    assert left_out({"b": "old"}, {}, {"a": 0.9, "b": 0.1}, deps(EARLY, {"a": 0.9, "b": 0.1}, missing_sleeve="refuse").config) == {}


def test_a_model_that_broke_its_promise_is_no_longer_valid_and_the_worst_is_what_the_tripwire_sees() -> None:
    young: Any = SimpleNamespace(age_sessions=1, age_limit_sessions=70)
    said = "it is no longer the model you promoted: the evidence is 1.55 times what refutes it"
    assert no_longer_valid(dict.fromkeys("abc", young), {"a": NOT_YET, "b": 1.55, "c": 1.0}, 1.0) == {"b": said}
    for promises, worst in (({"a": NOT_YET, "c": 0.4, "b": 1.55}, 1.55), ({"a": NOT_JUDGED, "b": NOT_YET}, NOT_JUDGED)):
        traded: Any = TradedSleeves(None, {}, {}, promises=promises)  # type: ignore[arg-type]
        assert traded.broken_promise == worst


@pytest.mark.parametrize(
    ("now", "before", "is_same"),
    [
        ({"a": "A"}, {"lineage": "A"}, True),
        ({"a": "A"}, {"lineage": "B"}, False),
        ({"a": "A", "b": "B"}, {"lineage": "A"}, False),
        ({"a": "A", "b": "B"}, {"lineages": {"a": "A", "b": "B"}}, True),
        ({"a": "A", "b": ""}, {"lineages": {"a": "A", "b": "B"}}, True),
        ({"a": "A", "b": "B"}, {"lineages": {"a": "A", "b": ""}}, True),
        ({"a": "A", "b": "C"}, {"lineages": {"a": "A", "b": "B"}}, False),
        ({"a": "A", "b": ""}, {"lineages": {"a": "", "b": "B"}}, False),
        ({"a": "A"}, {"lineages": {"a": "A", "b": "B"}}, False),
    ],
)
def test_the_ramp_goes_on_over_a_sleeve_that_is_missing_and_not_over_another_model(
    monkeypatch: pytest.MonkeyPatch, now: dict[str, str], before: dict[str, Any], is_same: bool
) -> None:
    from appliance.ledger.figures import PlanFigures
    from appliance.safety import ramp

    day = CALENDAR.previous(D)
    run = SimpleNamespace(session=day, job="plan", read=lambda kind: PlanFigures(**before))
    monkeypatch.setattr(ramp, "job_runs", SimpleNamespace(since=lambda *_: [run]))
    other = SimpleNamespace(provenance=SimpleNamespace(bundle_sha256="another"))
    monkeypatch.setattr(ramp, "plans", SimpleNamespace(sessions=lambda *_: [day], require=lambda *_: other))
    armed = SimpleNamespace(read=lambda: SimpleNamespace(at=datetime(2024, 1, 2, tzinfo=UTC).isoformat()))
    limits = SimpleNamespace(tripwires=SimpleNamespace(ramp_sessions=5))
    given: Any = SimpleNamespace(latch=armed, ledger=None, calendar=CALENDAR, config=limits)
    assert ramp_share(given, D, now, {"mine"}) == pytest.approx(0.4 if is_same else 0.2)
