"""A lineage: retrained inside its bounds it goes out in its role; outside them, twice a week or on RED it does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from signals.bundle import Role
from signals.errors import FixInput
from signals.text.documents import from_json
from tests.fakes.lineages import NULL, World, world
from trainer.backtest.subject import BacktestSubject
from trainer.lineage.retrain import audit, replaced
from trainer.lineage.rules import JudgedFacts, LineageConfig, judge
from trainer.promotion import champions, history, lineage_log, shadow_record
from trainer.promotion.lineage_log import LINEAGES
from trainer.publishing import keys
from trainer.publishing.rollback import grant_of
from trainer.runs.evidence import read_evidence

START = 300
INSIDE: dict[str, Any] = {
    "apart": 5,
    "age": 100,
    "red": [],
    "null": NULL,
    "recipe": {"config_hash": "1", "spec_hash": "2", "horizon": 5},
    "accepted": {"config_hash": "1", "spec_hash": "2", "horizon": 5},
    "predecessor": {"rank_correlation": 0.94},
    "ancestor": {"rank_correlation": 0.81},
}


def failed(facts: dict[str, Any], **changes: Any) -> list[str]:
    return [row.bar for row in judge(from_json(JudgedFacts, {**facts, **changes}), LineageConfig()) if not row.passed]


@pytest.fixture
def born(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A champion, trained to session 300, promoted and published."""
    made = world(tmp_path, monkeypatch, lambda name: {})
    made.train("a", START)
    assert made.promote("a", START).verdict.is_promoted
    made.publish("a", START)
    return made


@pytest.mark.parametrize(
    ("changes", "bar"),
    [
        ({}, None),
        ({"apart": 3}, "week"),
        ({"age": 504}, None),
        ({"age": 505}, "age"),
        ({"red": ["2024-01-02"]}, "data"),
        ({"recipe": {"config_hash": "9", "spec_hash": "2", "horizon": 5}}, "recipe"),
        ({"predecessor": {"rank_correlation": 0.80}}, None),
        ({"predecessor": {"rank_correlation": 0.7999}}, "predecessor"),
        ({"ancestor": {"rank_correlation": 0.80}}, None),
        ({"ancestor": {"rank_correlation": 0.7999}}, "ancestor"),
        ({"ancestor": {"rank_correlation": None}}, "ancestor"),
        ({"ancestor": {}}, "ancestor"),
    ],
)
def test_each_bound_refuses_alone(changes: dict[str, Any], bar: str | None) -> None:
    """Both are held to 0.80, the 1 % quantile of models with other seeds."""
    assert failed(INSIDE, **changes) == ([bar] if bar else [])


def test_without_a_null_of_seeds_0_95_is_asked_of_both() -> None:
    alike = {"predecessor": {"rank_correlation": 0.95}, "ancestor": {"rank_correlation": 0.95}}
    assert failed(INSIDE, null=None, **alike) == []
    assert failed(INSIDE, null=None) == ["predecessor", "ancestor"]


def test_more_likeness_than_0_95_is_never_asked() -> None:
    tight = {**NULL, "averaged": {"mean": 0.995, "low": 0.99}, "single": {"mean": 0.98, "low": 0.97}}
    assert failed(INSIDE, null=tight, predecessor={"rank_correlation": 0.95}, ancestor={"rank_correlation": 0.96}) == []


def test_a_retraining_goes_out_as_champion_with_the_promotion_of_its_ancestor(born: World) -> None:
    born.degrees = 2.0
    found = born.retrain("a1", START + 5)
    assert found.is_kept and [row.bar for row in found.rows][-3:] == ["predecessor", "ancestor", "importance"]
    assert 0.98 < found.rows[-2].value < 1.0 and 0.0 < replaced(found.record) < 0.5  # type: ignore[operator]
    done = born.publish("a1", START + 5)
    assert born.pull(START + 5).in_force == done.folder.name
    promotion = json.loads((done.folder / "manifest.json").read_bytes())["promotion"]
    assert promotion["record"]["version"] == "1.0.0" and promotion["record"]["retrained"]["of"] == 1
    record = promotion["record"]
    assert promotion["model_sha256"] == record["model_sha256"] == record["retrained"]["model_sha256"]
    assert record["promoted"]["model_sha256"] != record["model_sha256"]
    assert not list((born.registry).glob("openings*"))  # no seal
    with pytest.raises(FixInput, match="a1 was trained after this run"):
        born.publish("a", START + 6)


@pytest.mark.parametrize(
    ("spoil", "session", "bar"),
    [
        (lambda w: setattr(w, "degrees", 60.0), START + 5, "predecessor"),
        (lambda w: None, START + 3, "week"),
        (lambda w: w.red.add(w.calendar.days[START + 4]), START + 5, "data"),
        (lambda w: None, START + 505, "age"),
    ],
)
def test_outside_its_bounds_twice_a_week_or_over_red_it_is_not_published(
    born: World, spoil: Callable[[World], None], session: int, bar: str
) -> None:
    spoil(born)
    found = born.retrain("a1", session)
    assert not found.is_kept and bar in [row.bar for row in found.rows if not row.passed]
    assert bar in found.record["why"]
    if bar != "predecessor":  # known before anything is fitted
        assert not born.run("a1").exists()
        return
    for role in (Role.CHAMPION, Role.EVALUATION):
        with pytest.raises(FixInput, match="refused, or is not the newest"):
            born.publish("a1", session, role)


def test_small_steps_away_end_where_the_ancestor_s_bound_is_reached(born: World) -> None:
    """Each week is inside the bound of its predecessor; ranks of normal scores correlate 0.80 at 36 degrees."""
    kept = []
    for week in range(1, 7):
        born.degrees = 8.0 * week
        kept.append(born.retrain(f"a{week}", START + 5 * week).is_kept)
    assert kept == [True] * 4 + [False] * 2


def test_another_recipe_is_no_retraining(born: World) -> None:
    found = born.retrain("a1", START + 5, config_hash="9" * 64)
    assert [row.bar for row in found.rows if not row.passed] == ["recipe"]


def test_a_retraining_keeps_its_role_and_never_becomes_champion_by_itself(born: World) -> None:
    born.train("e", START)
    _other(born.run("e"))
    born.publish("e", START, Role.EVALUATION)
    assert born.retrain("e1", START + 5, Role.EVALUATION).is_kept
    for role in (Role.CHAMPION, Role.SHADOW):
        with pytest.raises(FixInput, match="its lineage is evaluation, not"):
            born.publish("e1", START + 5, role)
    with pytest.raises(FixInput, match="never promoted by itself"):
        born.promote("e1", START + 5)
    assert born.publish("e1", START + 5, Role.EVALUATION).role is Role.EVALUATION
    assert born.pull(START + 5, Role.CHAMPION, Role.EVALUATION).in_force.startswith("1-")


def test_a_challenger_s_shadow_is_scored_by_its_retrainings_too(born: World) -> None:
    """Both published bundles are sources of the challenger's record, each with the model that it carried."""
    _other(born.train("q", START))
    first = born.publish("q", START, Role.SHADOW)
    born.degrees = 1.0
    assert born.retrain("q1", START + 5, Role.SHADOW).is_kept
    second = born.publish("q1", START + 5, Role.SHADOW)
    evidence = read_evidence(born.run("q"))
    found = shadow_record._lineage(BacktestSubject(born.run("q"), evidence, None), born.registry)  # type: ignore[arg-type]
    assert set(found) == {first.sha256, second.sha256}
    last = [found[one.sha256].last_training_session for one in (first, second)]
    assert last == [born.calendar.days[START - 5], born.calendar.days[START]]
    (model,) = found[second.sha256].model_sha256
    assert lineage_log.kept(born.registry, model) == (born.run("q1") / "model.onnx").read_bytes()


def test_what_nobody_accepted_has_no_lineage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = world(tmp_path, monkeypatch, lambda name: {})
    for role in Role:
        with pytest.raises(FixInput, match=f"no {role} with a lineage"):
            empty.retrain("x", START, role)


def test_the_registry_gives_every_verdict_again_and_tells_what_was_changed(born: World) -> None:
    born.retrain("a1", START + 5)
    born.degrees = 60.0
    assert not born.retrain("a2", START + 10).is_kept
    assert audit(born.registry) == 4  # begun, published, retrained, refused
    kept = born.registry / "kept"
    (kept / lineage_log.newest(born.registry, "equities_xs", Role.CHAMPION).head["model_sha256"][0]).write_bytes(b"x")
    with pytest.raises(FixInput, match="removed or changed"):
        audit(born.registry)


def test_a_record_that_was_bent_breaks_the_chain(born: World) -> None:
    born.degrees = 60.0
    born.retrain("a1", START + 5)
    path = born.registry / LINEAGES
    path.write_bytes(path.read_bytes().replace(b'"event":"refused"', b'"event":"retrained"'))
    with pytest.raises(FixInput):
        born.publish("a1", START + 5)


@pytest.mark.slow
def test_two_years_of_weekly_retraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is never without a valid bundle, but when nothing was trained for longer than one lives.

    The trainer retrains the champion each week and a challenger's shadow each month. The challengers of the quarters
    are refused, but for the second. A person rolls back to 1.0.0 a month later, devices by a grant, and the lineage
    goes on. The trainer is then away for 80 sessions. 504 sessions after the first model a full promotion is asked.
    """
    poor = {"measured.paths.annual_sharpe": [-1.0]}
    made = world(tmp_path, monkeypatch, lambda name: {} if name in ("a", "q2") else poor)
    made.train("a", START)
    made.promote("a", START)
    made.publish("a", START)
    away, back, promoted_at = range(START + 290, START + 370), START + 220, 0
    rival, told, invalid = "", [], []
    for session in range(START, START + 540):
        day = session - START
        made.degrees = day * 0.02
        if day and day % 63 == 0 and session not in away:  # a challenger, after the last one's judgement
            if rival and made.promote(rival, session).verdict.is_promoted:
                promoted_at = session
                with pytest.raises(FixInput, match="was trained after this run"):
                    made.publish(rival, session)
                made.publish(lineage_log.newest(made.registry, "equities_xs", Role.CHAMPION).head["run"], session)
            rival = f"q{day // 63}"
            made.degrees += 1.0
            _other(made.train(rival, session))
            made.publish(rival, session, Role.SHADOW)
        elif rival and day % 21 == 0 and session not in away:
            made.degrees += 1.0
            if made.retrain(f"{rival}-{day}", session, Role.SHADOW).is_kept:
                made.publish(f"{rival}-{day}", session, Role.SHADOW)
        made.degrees = day * 0.02
        if session == back:
            _roll_back(made, session)
        elif day and day % 5 == 0 and session not in away:
            found = made.retrain(f"w{day}", session)
            told.append((day, found.is_kept, [row.bar for row in found.rows if not row.passed]))
            if found.is_kept:
                made.publish(f"w{day}", session)
        if day % 5 == 0 or session == back:
            made.pull(session)
        if not made.is_valid(session):
            invalid.append(session)
    assert promoted_at == START + 189
    assert invalid == list(range(away.start - 5 - 5 + 71, away.stop))
    refused = [(day, bars) for day, kept, bars in told if not kept]
    assert refused == [(day, ["age"]) for day in range(505, 540, 5)]
    assert audit(made.registry) > 200


def _roll_back(made: World, session: int) -> None:
    """By a grant to the newest bundle of the former champion's lineage, which is still young enough."""
    known = history.read(made.registry / history.CHAMPIONS)
    former = champions.former(known, "equities_xs", "1.0.0")
    granted = grant_of(made.store, lineage_log.returnable(made.registry, former), made.calendar.days[session + 5], "worse")
    champions.rollback(made.registry, "equities_xs", "1.0.0", "worse", made.at(session))
    folder = made.store / "equities_xs" / "champion" / f"{granted.seq}-{granted.bundle_id}"
    made.device.roll_back(folder, made.policy(session), keys.grant_rollback(made.root / "keys", granted))
    assert made.is_valid(session)
    found = made.retrain("back", session)
    assert found.is_kept, found.record["why"]
    made.publish("back", session)


def _other(run: Path) -> Path:
    """Another configuration than the champion's: its lineage is another."""
    path = run / "evidence.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "config_hash": run.name[0] * 64}))
    return run
