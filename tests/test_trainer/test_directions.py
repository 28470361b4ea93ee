"""Direction is judged by session; the clock alone, noise, and learners judged on other rows are told apart from skill."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from signals.errors import FixInput, InvariantBroken
from signals.models.heads import ClassesHead
from trainer.__main__ import app
from trainer.learners.base import FitDevice, Numbered
from trainer.learners.parameters import LightGbmConfig
from trainer.learners.table import Parameters, learner_named
from trainer.search.counting import Counted
from trainer.search.trial_log import Series
from trainer.tasks.barrier_classes.comparison import (
    CLOCK,
    ORACLE,
    TWIN,
    Comparison,
    ComparisonRecord,
    HorizonRows,
    compare_learners,
    exchanged,
)
from trainer.tasks.barrier_classes.comparison_files import files, summary
from trainer.tasks.barrier_classes.decisions import Decisions, DirectionOutputs, direction_figures, ic_gap, macro_f1, shifts
from trainer.training import compare
from trainer.validation.significance.max_t import max_t, max_t_each

SESSIONS, BARS = 240, 16
CLASSES = ClassesHead(("short", "neutral", "long"))
PARAMETERS = Parameters(lightgbm=LightGbmConfig(trees=20, num_leaves=7, min_data_in_leaf=60, learning_rate=0.1))


def learner(kind: str, seed: int = 1):
    return Numbered(learner_named(kind, PARAMETERS, seed, FitDevice.CPU, head=CLASSES))


def market(strength: float, seed: int = 3, horizon: int = 5) -> HorizonRows:
    """Trades whose direction is `strength` parts in a feature; the later in the session, the more of them end nowhere."""
    rng = np.random.default_rng(seed)
    count = SESSIONS * BARS
    place = np.tile(np.arange(BARS), SESSIONS) / BARS
    x = rng.normal(size=(count, 6)).astype(np.float32)
    x[:, 5] = place
    way = strength * x[:, 0] + rng.normal(size=count)
    neutral = rng.random(count) < 0.1 + 0.8 * place
    side = np.where(neutral, 0, np.sign(way)).astype(np.int8)
    sigma = 1e-3 * np.exp(0.2 * rng.normal(size=count))
    ret = sigma * np.where(neutral, 0.2 * way, side)
    session = np.arange(count) // BARS
    decisions = Decisions(np.arange(count), session, session, side, ret, sigma, np.where(session % 2, "calm", "wild"))
    ends = [np.flatnonzero((session >= a) & (session < b)) for a, b in ((0, 140), (142, 190), (192, 240))]
    return HorizonRows(
        horizon, x, tuple(f"x{n}" for n in range(6)), x[:, 5:], way[:, None].astype(np.float32), np.ones(count), decisions, *ends
    )


NOTHING = Counted(())
DAYS = np.busday_offset(np.datetime64("2022-01-03"), np.arange(SESSIONS), roll="forward")


def on_record(before: Counted = NOTHING, looks: int = 0, opened: list[str] | None = None) -> ComparisonRecord:
    """The record of a dataset on which `before` was compared and the test part seen `looks` times; it notes what is opened."""
    names = [] if opened is None else opened

    def note(name: str) -> int:
        names.append(name)
        return looks

    return ComparisonRecord(DAYS, lambda: before, note)


@cache
def compared(strength: float) -> tuple[Comparison, tuple[str, ...]]:
    opened: list[str] = []
    horizons = (market(strength), market(strength, seed=4, horizon=10))
    kinds = {kind: learner(kind) for kind in ("lightgbm", "logistic")}
    found = compare_learners(
        horizons, kinds, reference=learner("lightgbm"), cost_bps=0.5, seed=7, step=lambda _: None, record=on_record(opened=opened)
    )
    return found, tuple(opened)


def test_figures_of_four_decisions_by_hand() -> None:
    """Two sessions of two decisions: products of what is standardised, losses of the touched ones, and returns after cost."""
    what = Decisions(
        np.arange(4),
        np.array([0, 0, 1, 1]),
        np.array([0, 0, 1, 1]),
        np.array([1, -1, 0, 1], np.int8),
        np.array([2.0, -2.0, 0.0, 4.0]) / 100,
        np.full(4, 0.01),
        np.array(["calm"] * 4),
    )
    p = np.array([[0.2, 0.2, 0.6], [0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.4, 0.2, 0.4]])
    said = DirectionOutputs(p, np.array([0.02, -0.02, 0.0, 0.02]))
    found = direction_figures(what, said, cost_bps=100.0)
    # e / s = 2 -2 0 2 (mean 1/2, deviation sqrt 11/4), r / s = 2 -2 0 4 (mean 1, deviation sqrt 5)
    scale = np.sqrt(2.75) * np.sqrt(5.0)
    first, second = (1.5 * 1.0 + -2.5 * -3.0) / 2 / scale, (-0.5 * -1.0 + 1.5 * 3.0) / 2 / scale
    assert found.by_session == pytest.approx([first, second])
    assert found.ic.mean == pytest.approx((first + second) / 2)
    saved = [np.log(2) + np.log(0.75), np.log(2) + np.log(0.5)]  # 0.6 / 0.8 twice; then even odds
    assert found.loss_saved.mean == pytest.approx(np.mean(saved))
    assert found.trades == 3 and found.win_rate == 1.0
    assert found.net_bps.mean == pytest.approx((100.0 + 300.0) / 2)  # 2 % - 1 % twice; 4 % - 1 %
    assert found.log_loss == pytest.approx(-np.mean(np.log([0.6, 0.6, 0.6, 0.4])))
    assert macro_f1(what.side, p) == pytest.approx((2 / 3 + 1 + 2 / 3) / 3)  # the last one's tie is called short


def test_planted_direction_is_skill_and_the_clock_is_not() -> None:
    found, opened = compared(0.5)
    assert found.is_skilled and opened == (found.cells[0].name,)
    assert found.test.ic.t > 6 > 3 > found.test_beside[CLOCK].ic.t and found.over_clock.t > 4
    assert abs(found.test_beside[TWIN].ic.t) < 2.5 and found.test_beside[ORACLE].ic.mean > found.test.ic.mean
    assert found.test_beside[CLOCK].log_loss < np.log(3)  # what three classes give away without any direction


def test_noise_is_refused_with_its_reasons() -> None:
    """Although its log loss of three classes beats the shares by as much."""
    found, _ = compared(0.0)
    assert not found.is_skilled and any("on test" in reason for reason in found.reasons)
    assert found.test.log_loss < np.log(3)


def test_the_clock_alone_is_refused_where_direction_is_planted() -> None:
    rows = market(0.5)
    blind = replace(rows, inputs=rows.clock, names=("place",))
    found = compare_learners(
        (blind,),
        {"lightgbm": learner("lightgbm")},
        reference=learner("lightgbm"),
        cost_bps=0.5,
        seed=1,
        step=lambda _: None,
        record=on_record(),
    )
    assert not found.is_skilled


def test_learners_judged_on_different_decisions_are_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """One learner that is given fewer validation rows than the other, as a library that drops the last batch would."""
    from trainer.tasks.barrier_classes import comparison

    true = comparison._judged

    def dropped(model, inputs, means, rows, numbers, *rest):
        return true(model, inputs, means, rows, numbers[:-5] if "Linear" in type(model).__name__ else numbers, *rest)

    monkeypatch.setattr(comparison, "_judged", dropped)
    kinds = {kind: learner(kind) for kind in ("lightgbm", "logistic")}
    with pytest.raises(InvariantBroken, match="different decisions"):
        compare_learners(
            (market(0.5),), kinds, reference=learner("lightgbm"), cost_bps=0.5, seed=1, step=lambda _: None, record=on_record()
        )


def test_exchanged_sessions_keep_the_clock_and_lose_the_direction() -> None:
    """Each decision gets what came at the same place of another session of its own part."""
    rows = market(0.5)
    twin = exchanged(rows.decisions, (rows.train, rows.validation, rows.test), 5)
    place = rows.decisions.moment % BARS
    for one in range(BARS):
        at = rows.train[place[rows.train] == one]
        assert sorted(twin.side[at].tolist()) == sorted(rows.decisions.side[at].tolist())
    assert (twin.side != rows.decisions.side).mean() > 0.2
    assert np.allclose(np.sort(twin.ret / twin.sigma), np.sort(rows.decisions.ret / rows.decisions.sigma))


def test_the_page_has_a_row_for_each_and_the_picture_is_the_same_bytes() -> None:
    found, _ = compared(0.5)
    first, second = files(found, "Learners"), files(found, "Learners")
    assert first == second
    page = first["compare.html"].decode()
    assert all(name in page for name in ("lightgbm H5", "logistic H10", CLOCK, TWIN, ORACLE, found.cells[0].figures.rows))
    known = json.loads(first["compare.json"])
    assert known["skilled"] is True and len(known["rows"]) == 4 + 4 + 3
    assert known["pbo"] is None and "clusters" in page  # four learners are no ten: what takes PBO's place is named


def test_a_gap_is_a_failure_only_where_its_interval_excludes_the_limit() -> None:
    rng = np.random.default_rng(1)
    large, noisy = rng.normal(1.0, 0.5, 100), rng.normal(1.0, 5.0, 100)
    assert ic_gap(large, large - 0.8).is_failure and not ic_gap(large, large.copy()).is_failure
    assert ic_gap(noisy, noisy - 0.8).value > 0.15 and not ic_gap(noisy, noisy - 0.8).is_failure


def test_an_ic_that_needs_what_was_learned_from_nearby_is_refused_and_too_few_sessions_are_waived() -> None:
    """Of 48 sessions of validation those within 320 bars of training are 18: their labels are turned around beyond that."""
    rows = market(2.0)
    late = rows.decisions.moment >= rows.decisions.moment[rows.train].max() + 320
    turned = replace(rows.decisions, side=np.where(late, -rows.decisions.side, rows.decisions.side).astype(np.int8))
    turned = replace(turned, ret=np.where(late, -rows.decisions.ret, rows.decisions.ret))

    def of(rows: HorizonRows) -> Comparison:
        kinds = {"lightgbm": learner("lightgbm")}
        return compare_learners(
            (rows,), kinds, reference=learner("lightgbm"), cost_bps=0.5, seed=7, step=lambda _: None, record=on_record()
        )

    refused, plain, waived = of(replace(rows, decisions=turned, reach=320)), of(replace(rows, reach=320)), of(replace(rows, reach=5000))
    assert any("320 bars and more from what was learned from" in reason for reason in refused.reasons)
    assert plain.is_skilled and plain.embargoed.further.sessions == 30 and plain.embargoed.nearer.sessions == 18
    assert waived.is_skilled and "waived, only 0 sessions" in files(waived, "Learners")["compare.html"].decode()


def test_a_feature_that_moved_is_above_what_training_shows_of_itself() -> None:
    rng = np.random.default_rng(2)
    train, test = (rng.normal(size=(n, 2)).astype(np.float32) for n in (3000, 500))
    test[:, 1] += 1.0
    first, second = shifts(train, test, ("still", "moved"))
    assert first.name == "moved" and first.psi > 0.2 > second.psi and first.psi > first.limit


def test_max_t_of_each_is_that_of_the_chosen() -> None:
    series = np.random.default_rng(3).normal(0.05, 1.0, (80, 4))
    each = max_t_each(series, block=5)
    assert each[0] == max_t(series[:, 0], series[:, 1:], block=5)
    assert max(one.t for one in each) == min(each, key=lambda one: one.p).t


def alone(before: Counted = NOTHING, looks: int = 0) -> Comparison:
    """One learner that knows nothing, the luckiest of a few, in a comparison of its own."""
    kinds = {"logistic": learner("logistic")}
    words = {"reference": learner("logistic"), "cost_bps": 0.5, "seed": 7, "step": lambda _: None}
    return compare_learners((market(0.0),), kinds, record=on_record(before, looks), **words)  # type: ignore[arg-type]


def test_a_learner_that_is_compared_by_itself_answers_for_those_that_were_compared_before() -> None:
    """Its t is the same, its p that of the largest of all: of series by max-t over the days that any has, of others as if independent."""
    first, rng = alone(), np.random.default_rng(11)
    own = first.cells[0].figures.by_session
    earlier = tuple(Series(DAYS[100:190], rng.normal(size=90)) for _ in range(9))
    second, third = alone(Counted(earlier)), alone(Counted(earlier[:4], blind=5))
    family = np.full((90, 10), np.nan)
    family[42:, 0] = own  # sessions 142 to 189
    family[:, 1:] = np.column_stack([one.net for one in earlier])
    assert second.cells[0].adjusted == max_t_each(family, block=5)[0]
    assert third.cells[0].adjusted == max_t_each(family[:, :5], blind=5, block=5)[0]
    chances = [found.cells[0].adjusted.p for found in (first, second, third) if found.cells[0].adjusted]
    assert chances[0] < min(chances[1:]), "one of ten is easier to be lucky than one"
    assert (first.charge.cells, second.charge.cells, third.charge.cells, third.charge.blind) == (0, 9, 9, 5)
    said = dict(summary(third))["counted with them"]
    assert said.startswith("9 earlier cells on record, 5 without a series, taken for independent")


def test_the_same_comparison_again_adds_nothing() -> None:
    first = alone()
    again = alone(Counted((Series(DAYS[142:190], first.cells[0].figures.by_session),)))
    assert again.cells[0].adjusted == first.cells[0].adjusted and again.charge == first.charge and again.charge.cells == 0


def test_each_look_at_the_test_part_before_raises_what_it_asks_for() -> None:
    """Of three looks each passes 1.645 with 5 %; three that share that ask for Phi^-1(0.95^(1/3)) = 2.121."""
    assert (alone().charge.test_t, alone(looks=2).charge.test_t) == (pytest.approx(1.645), pytest.approx(2.1212, abs=5e-4))
    refused = [reason for reason in alone(looks=2).reasons if "on test" in reason]
    assert len(refused) == 2 and all(reason.endswith("under 2.121: it was seen 2 times before, which is charged") for reason in refused)


def died(*given: object, **named: object) -> None:
    raise FixInput("the power went", fix="Start again")


def test_one_command_compares_learners_on_minutes_and_records_whose_seal_it_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From invented minutes to the page: two learners, two horizons, a feature set chosen inside the training part.

    Each of the four cells is a trial that counts, from before it is fitted on, and once, however often it is asked.
    """
    run = CliRunner()

    def done(*words: str) -> str:
        result = run.invoke(app, list(words))
        assert result.exit_code == 0, result.output
        return result.output

    data, recipe = tmp_path / "data", tmp_path / "recipe.yml"
    recipe.write_text(
        "sleeve: bars\nlearner: lightgbm\nlabel: {kind: barrier_classes, k: 4}\nminutes: {timeframe: 15, features: transformer_raw}\n"
        "lightgbm: {trees: 10, num_leaves: 7, min_data_in_leaf: 40}\n"
    )
    done("generate-minutes", "--sessions", "90", "--timeframe", "15", "--strength", "3", "--to", str(tmp_path / "m.parquet"))
    done("ingest", "--minutes", str(tmp_path / "m.parquet"), "--calendar", "XNYS", "--to", str(data))
    asked = ["--learners", "lightgbm,logistic", "--horizons", "2,4", "--config", str(recipe), "--data", str(data)]

    def counted() -> tuple[int, int]:
        row = json.loads(done("trials", "--data", str(data), "--json"))["sleeves"]["bars"]
        return row["trials"], row["blind"]

    with monkeypatch.context() as patched:
        patched.setattr(compare, "compare_learners", died)
        assert run.invoke(app, ["compare", "--sleeve", "bars", *asked, "--to", str(tmp_path / "died")]).exit_code
    assert counted() == (4, 4)
    shown = done("compare", "--sleeve", "bars", *asked, "--to", str(tmp_path / "zoo"))
    assert counted() == (4, 0)
    known = json.loads((tmp_path / "zoo" / "compare.json").read_text())
    best = known["rows"][0]["what"]
    assert best in shown and len(known["rows"]) == 3 + 4 + 2 and known["rows"][0]["part"] == "test"
    assert (tmp_path / "zoo" / "plots" / "directions.png").read_bytes().startswith(b"\x89PNG")
    looks = [json.loads(line) for line in (data / "looks.jsonl").read_text().splitlines()]
    assert [look["command"] for look in looks] == ["compare"] and looks[0]["model"].startswith(best)

    def charged(*more: str) -> dict[str, float]:
        """What a comparison of one learner by itself answers for."""
        to = tmp_path / "-".join(more)
        done("compare", "--sleeve", "bars", *asked, "--learners", more[0], "--seed", more[1], "--to", str(to))
        charge: dict[str, float] = json.loads((to / "compare.json").read_text())["charge"]
        return charge

    assert known["charge"] == {"cells": 0, "blind": 0, "looks": 0, "test_t": pytest.approx(1.645)}
    assert charged("lightgbm,logistic", "1") == known["charge"], "the same again"
    assert charged("lightgbm", "2") == {"cells": 4, "blind": 0, "looks": 1, "test_t": pytest.approx(1.9545, abs=5e-4)}
    assert "the clock alone" in (tmp_path / "zoo" / "compare.html").read_text()
