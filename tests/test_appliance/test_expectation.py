"""A model's life beside its promise, from recorded scores and reports."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from appliance.commands import ledger_queries
from appliance.commands.command_line import app
from appliance.controls.tripwires import NOT_JUDGED, NOT_YET
from appliance.ledger import Ledger, job_runs, nav, scores
from appliance.ledger.figures import (
    AttributedSession,
    DecayTest,
    DriftRow,
    DriftTable,
    MonitoringFigures,
    Observation,
    ScoreFigures,
    SleeveFigures,
)
from appliance.ledger.nav import NavRow
from appliance.ledger.scores import ScoreRow
from appliance.monitoring import session_monitoring
from appliance.monitoring.drift import document
from appliance.monitoring.expectation import GONE, STANDS, bands, broken_promise, history_of, observed, promise_of, series_of, verdict
from appliance.reports import markdown as parts
from appliance.reports.svg import FanPanel, fans
from appliance.schedule.job import JobReport, JobStatus
from appliance.tui import captions, charts
from appliance.tui.ledger_source import ScreenAnswer, ScreenQuery
from appliance.views import monitoring as views
from execution.yardstick import lived
from signals.bundle import Role
from signals.errors import BundleRefused
from signals.market.bars import Bars, opens
from signals.monitoring.drift import Drift, DriftState, TrailingDrift, read_reference, trailing_score_psi
from signals.monitoring.expectation import expected_of
from signals.text.documents import from_json, to_json
from tests.fakes.bundles import weekdays
from tests.test_signals.test_expectation import PROMISE

AT = datetime(2024, 3, 14, 21, 0, tzinfo=UTC)
DAYS = weekdays()
NAMES = tuple(f"S{i:02d}" for i in range(20))
ASOF = DAYS.days[300]
SLEEVE = "equities_xs"


def whole(sessions: int = 320) -> Bars:
    """Twenty names over the calendar's first sessions; seeded."""
    rng = np.random.default_rng(8)
    close = 50 * np.exp(np.cumsum(rng.normal(0, 0.02, (sessions, len(NAMES))), axis=0))
    overnight = rng.normal(0, 0.01, close.shape)
    previous = np.vstack([close[:1], close[:-1]])
    opened = previous * (1 + overnight)
    return Bars(
        sessions=np.array(DAYS.days[:sessions], dtype="datetime64[D]"),
        symbols=NAMES,
        open=opened,
        high=close,
        low=close,
        close=close,
        volume=close,
        total_return=close / previous - 1,
        overnight_return=overnight,
        eligible=np.ones(close.shape, dtype=bool),
    )


class Store:
    """A market store over `whole`."""

    def bars(self, asof: date, sessions: int) -> Bars:
        return whole().until(asof, sessions)


LINEAGE = f"{SLEEVE} evaluation {'1' * 12}"


def bundle(sha: str = "b" * 64, config: str = "1" * 64, promise: Any = PROMISE) -> Any:
    manifest = SimpleNamespace(
        sleeve=SLEEVE,
        role=Role.EVALUATION,
        lineage=f"{SLEEVE} evaluation {config[:12]}",
        horizon_sessions=5,
        of=lambda part: (SimpleNamespace(path="evidence.json"),),
    )
    evidence = json.dumps({"expectation": promise}).encode()
    return SimpleNamespace(manifest=manifest, sha256=sha, contents=SimpleNamespace(files={"evidence.json": evidence}))


@pytest.fixture
def deps(tmp_path: Path) -> Iterator[Any]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    nav.save(ledger, NavRow(ASOF, Decimal(1_000_000), Decimal(1_000_000), *(Decimal(0),) * 3, AT))
    yield SimpleNamespace(ledger=ledger, calendar=DAYS, market=Store(), config=SimpleNamespace(sleeves={SLEEVE: 1.0}))
    ledger.close()


def score(deps: Any, days: list[date], source: str = "b" * 64, seed: int = 1) -> np.ndarray:
    """Record scores of every name on `days`; return them."""
    values = np.random.default_rng(seed).normal(size=(len(days), len(NAMES)))
    for day, row in zip(days, values, strict=True):
        rows = [ScoreRow(day, n, SLEEVE, float(v), i + 1, 0.0, source) for i, (n, v) in enumerate(zip(NAMES, row, strict=True))]
        scores.save(deps.ledger, day, SLEEVE, rows)
    return values


def record(deps: Any, session: date, figures: MonitoringFigures) -> None:
    job_runs.begin(deps.ledger, session, "report", AT)
    job_runs.finish(deps.ledger, JobReport("report", session, JobStatus.DONE, "", figures), AT)


def live(day: date, ic: float | None, *, config: str = "1" * 64, bound: float | None = 0.4) -> Observation:
    lineage = f"{SLEEVE} evaluation {config[:12]}"
    return Observation(day, "b" * 64, lineage, ic, turnover=0.1, net=-0.01, promised=0.02, bound=bound)


def test_scores_are_judged_two_sessions_later_by_the_yardstick_of_the_promise(deps: Any) -> None:
    """Twelve scored sessions up to asof: the first five fill the cohorts, for the last two an open is still to come."""
    days = list(DAYS.days[289:301])
    values = score(deps, days)
    found = observed(ASOF, deps, bundle())
    assert [row.session for row in found] == days[5:10]
    bars = whole().until(ASOF, 12)
    expected = lived(values, opens(bars), 5)
    assert [row.ic for row in found] == expected.ic[:5].tolist()
    assert [row.turnover for row in found] == expected.turnover[:5].tolist()
    assert {(row.promised, row.bound, row.lineage) for row in found} == {(0.01, 0.4, bundle().manifest.lineage)}


def test_deciles_of_the_score_hold_the_mean_return_beyond_that_of_all_names(deps: Any) -> None:
    """Twenty names, two a decile: by hand the mean of the two best scored less the mean of all, and the ten of them sum to 0."""
    days = list(DAYS.days[289:301])
    values = score(deps, days)
    found = observed(ASOF, deps, bundle())
    bars = whole().until(ASOF, 12)
    outcome = opens(bars).outcomes()[5]
    best = np.argsort(values[5])[-2:]
    assert found[0].deciles is not None and found[0].deciles[-1] == pytest.approx(outcome[best].mean() - outcome.mean())
    assert sum(found[0].deciles) == pytest.approx(0.0, abs=1e-12)
    record(deps, DAYS.days[301], MonitoringFigures(live=found, expectation=verdict(ASOF, deps, bundle(), found, [])))
    shown = views.expectation(deps.ledger, DAYS.days[301]).facts["deciles"]
    assert shown == pytest.approx(np.mean([row.deciles for row in found], axis=0).tolist())


def test_what_a_report_has_judged_is_not_judged_again(deps: Any) -> None:
    score(deps, list(DAYS.days[289:301]))
    first = observed(ASOF, deps, bundle())
    record(deps, DAYS.days[301], MonitoringFigures(live=first))
    assert observed(ASOF, deps, bundle()) == ()
    score(deps, [DAYS.days[301]], seed=2)
    assert [row.session for row in observed(DAYS.days[301], deps, bundle())] == [DAYS.days[299]]


def test_scores_of_the_bundle_before_are_set_against_what_it_had_promised(deps: Any) -> None:
    """A new bundle came yesterday: scores of the old one are judged by the promise that was recorded for it."""
    score(deps, list(DAYS.days[289:300]), source="a" * 64)
    score(deps, [ASOF], source="b" * 64)
    old = replace(live(DAYS.days[280], 0.0), bundle="a" * 64, promised=0.033)
    record(deps, DAYS.days[283], MonitoringFigures(live=(old,)))
    found = observed(ASOF, deps, bundle())
    assert {row.promised for row in found} == {0.033}
    unknown = bundle(promise=None)
    job = [row.bound for row in observed(ASOF, deps, unknown)]
    assert job == [0.4] * len(job)


def test_a_life_goes_on_over_retraining_and_ends_with_the_configuration(deps: Any) -> None:
    days = DAYS.days[100:110]
    rows = [live(day, 0.1, config="9" * 64) for day in days[:4]] + [live(day, 0.05) for day in days[4:]]
    record(deps, days[-1], MonitoringFigures(live=tuple(rows)))
    life = history_of(bundle(), deps, [], [])
    assert [row.session for row in life.rows] == list(days[4:])
    assert history_of(bundle(config="9" * 64), deps, [], []).rows == ()


def test_a_bundle_that_was_replaced_before_it_was_judged_begins_no_new_life(deps: Any) -> None:
    """It scored one session, in a week of bad data; what it promised is not known, so that session does not count, and no other ends."""
    days = DAYS.days[100:110]
    unknown = replace(live(days[5], -0.3), bundle="c" * 64, lineage="", promised=None, bound=None)
    rows = [live(day, 0.05) for day in days[:5]] + [unknown] + [live(day, 0.05) for day in days[6:]]
    record(deps, days[-1], MonitoringFigures(live=tuple(rows)))
    assert [row.session for row in history_of(bundle(), deps, [], []).rows] == [day for day in days if day != days[5]]


def test_the_figures_are_means_so_far_the_deepest_fall_and_what_trading_cost(deps: Any) -> None:
    """Costs: (1.10 + 0.05 + 0.35) USD on 5,000 traded are 3 basis points. Falls: 0.99^2 - 1 = -1.99 %."""
    days = DAYS.days[100:102]
    costs = from_json(
        tuple[AttributedSession, ...],
        [
            {
                "session": str(days[0]),
                "traded": "5000",
                "costs": {"spread and impact": "-1.10", "fees": "-0.05", "slippage": "-0.35", "borrow": "-9"},
            },
            {"session": str(DAYS.days[99]), "traded": "10", "costs": {"spread and impact": "-9", "fees": "0", "slippage": "0"}},
            {"session": str(days[1]), "traded": "0", "costs": {}},
        ],
    )
    life = history_of(bundle(), deps, [live(days[0], 0.10), live(days[1], None)], costs)
    found = series_of(life)
    assert found["ic"] == [0.10, 0.10]
    assert found["turnover"] == [0.1, 0.1]
    assert found["cost"] == pytest.approx([3.0])
    assert found["drawdown"] == pytest.approx([0.01, 0.0199])


def test_the_life_lies_inside_below_or_above_its_band(deps: Any) -> None:
    """After one session the band of the promise is -0.2 to 0.2. Costs: 2.5 bp + impact x sqrt(1,000,000) x 10,000."""
    day = DAYS.days[100]
    for ic, word in ((0.19, "INSIDE"), (-0.21, "BELOW"), (0.21, "ABOVE")):
        found = verdict(ASOF, deps, bundle(), [live(day, ic)], [])
        assert found is not None
        assert [row.verdict for row in found.figures if row.figure == "ic"] == [word]
    costs = next(row for row in found.figures if row.figure == "cost")
    assert (costs.sessions, costs.verdict) == (0, "NOT YET")
    expected = expected_of(bundle())
    assert expected is not None
    assert bands(expected, "cost", 1, 1e6)[0][-1] == pytest.approx(2.5 + 0.2 * 1000 * 1e4)


def test_a_model_that_lost_its_skill_is_no_longer_the_one_that_was_promoted(deps: Any) -> None:
    bad = [live(day, -0.2) for day in DAYS.days[100:150]]
    found = verdict(ASOF, deps, bundle(), bad, [])
    assert found is not None
    assert found.test.says == GONE and found.test.p_value is not None and found.test.p_value <= 0.05
    assert found.test.alarmed_on in {row.session for row in bad}
    good = verdict(ASOF, deps, bundle(), [live(day, 0.05) for day in DAYS.days[100:150]], [])
    assert good is not None and good.test.says == STANDS and good.test.alarmed_on is None
    assert verdict(ASOF, deps, bundle(promise=None), bad, []) is None
    assert verdict(ASOF, deps, bundle(), [], []) is None


def test_a_bundle_that_is_replaced_every_night_is_judged_by_what_it_promised_when_it_scored(deps: Any) -> None:
    for place in range(285, 299):
        sha = f"{place:064d}"
        score(deps, [DAYS.days[place]], source=sha)
        job_runs.begin(deps.ledger, DAYS.days[place + 1], "score", AT)
        figures = ScoreFigures(asof=DAYS.days[place], bundle_sha256=sha, promise=promise_of(bundle(sha)))
        job_runs.finish(deps.ledger, JobReport("score", DAYS.days[place + 1], JobStatus.DONE, "", figures), AT)
    rows = observed(ASOF, deps, bundle("e" * 64))
    assert len(rows) == 9 and [row.bundle for row in rows] == [f"{DAYS.days.index(row.session):064d}" for row in rows]
    assert {(row.lineage, row.promised, row.bound) for row in rows} == {tuple(vars(promise_of(bundle())).values())}
    assert verdict(ASOF, deps, bundle("e" * 64), rows, []) is not None


def test_what_broke_its_promise_stays_so_over_retrainings_and_another_model_begins_with_nothing(deps: Any) -> None:
    """By the newest report that judged the sleeve. A report that judged nothing, or of before a promise, says nothing."""
    gone = verdict(ASOF, deps, bundle(), [live(day, -0.2) for day in DAYS.days[100:150]], [])
    assert gone is not None
    day = DAYS.days[310]
    assert broken_promise(day, deps, bundle()) is NOT_YET
    record(deps, DAYS.days[301], MonitoringFigures(expectation=gone))
    record(deps, DAYS.days[302], MonitoringFigures())
    assert broken_promise(day, deps, bundle(sha="c" * 64)) == gone.test.highest / 20 > 1
    assert broken_promise(day, deps, bundle(config="9" * 64)) is NOT_YET
    assert broken_promise(day, deps, bundle(promise=None)) == gone.test.highest / 20  # a retraining without one lifts nothing
    assert broken_promise(day, deps, bundle(config="9" * 64, promise=None)) is NOT_JUDGED
    assert broken_promise(DAYS.days[301], deps, bundle()) is NOT_YET  # the morning before that report
    other = verdict(ASOF, deps, bundle(config="9" * 64), [live(day, 0.05, config="9" * 64) for day in DAYS.days[100:150]], [])
    record(deps, DAYS.days[303], MonitoringFigures(expectation=other))
    assert broken_promise(day, deps, bundle()) is NOT_YET  # who goes back to it begins again
    figure = broken_promise(day, deps, bundle(config="9" * 64))
    assert isinstance(figure, float) and 0 < figure < 1
    # A wealth beyond floats is kept as none: the day of the alarm says it all the same.
    spoilt = (DecayTest(alarm_at=20.0, alarmed_on=day), replace(gone.test, highest=0.0), replace(gone.test, alarm_at=0.0))
    for place, test in enumerate(spoilt, start=304):
        record(deps, DAYS.days[place], MonitoringFigures(expectation=replace(gone, test=test)))
        assert broken_promise(day, deps, bundle()) > 1.0
    both = {"equities_xs": SleeveFigures(), SLEEVE: SleeveFigures(expectation=gone)}
    record(deps, DAYS.days[307], MonitoringFigures(by_sleeve=both))
    assert broken_promise(day, deps, bundle()) == gone.test.highest / 20


@contextmanager
def telling(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    told: list[str] = []
    monkeypatch.setattr(session_monitoring, "notify", lambda deps, severity, key, title, body: told.append(f"{title}: {body}"))
    yield told


def test_a_person_is_told_once(deps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = verdict(ASOF, deps, bundle(), [live(day, -0.2) for day in DAYS.days[100:150]], [])
    with telling(monkeypatch) as told:
        session_monitoring.notify_if_decayed(DAYS.days[301], deps, MonitoringFigures())
        session_monitoring.notify_if_decayed(DAYS.days[301], deps, MonitoringFigures(expectation=gone))
        assert len(told) == 1 and told[0].startswith(GONE)
        record(deps, DAYS.days[301], MonitoringFigures(expectation=gone))
        session_monitoring.notify_if_decayed(DAYS.days[302], deps, MonitoringFigures(expectation=gone))
        assert len(told) == 1


def test_two_sleeves_have_lives_of_their_own(deps: Any) -> None:
    """Observations of one are not the other's; of a report that knew one sleeve alone, each takes those of its model."""
    days = DAYS.days[290:293]
    record(deps, days[0], MonitoringFigures(live=(live(days[0], 0.1),)))
    other = replace(live(days[1], 0.2), lineage="other")
    both = {SLEEVE: SleeveFigures((live(days[1], 0.3),)), "other": SleeveFigures((other,))}
    record(deps, days[1], MonitoringFigures(live=(live(days[1], 0.3),), by_sleeve=both))
    deps.config.sleeves["other"] = 1.0
    mine = history_of(bundle(), deps, [], [])
    assert [(row.session, row.ic) for row in mine.rows] == [(days[0], 0.1), (days[1], 0.3)]
    second = bundle()
    second.manifest.sleeve = second.manifest.lineage = "other"
    assert [row.ic for row in history_of(second, deps, [], []).rows] == [0.2]


def test_the_views_show_the_newest_measure_up_to_the_session(deps: Any) -> None:
    days = DAYS.days[100:103]
    rows = [live(day, 0.05) for day in days]
    found = verdict(ASOF, deps, bundle(), rows, [])
    row = DriftRow("score", None, 1.0, None, "too little history yet")
    record(deps, DAYS.days[105], MonitoringFigures(live=tuple(rows), expectation=found, drift=DriftTable(60, (row,))))
    record(deps, DAYS.days[106], MonitoringFigures())
    shown = views.expectation(deps.ledger, DAYS.days[106])
    assert [row["figure"] for row in shown.rows] == ["ic", "turnover", "cost", "drawdown"]
    assert shown.facts["life"] == to_json(rows) and shown.session == DAYS.days[105]
    assert shown.facts["lived"]["ic"] == pytest.approx([0.05] * 3)
    assert shown.facts["lived"]["drawdown"] == pytest.approx([0.01, 1 - 0.99**2, 1 - 0.99**3])
    assert shown.facts["fans"]["after"] == PROMISE["after"]
    assert shown.facts["fans"]["ic"] == [[-0.2, 0.0, 0.2], [-0.1, 0.01, 0.1], [-0.05, 0.02, 0.06]]
    assert views.drift(deps.ledger, DAYS.days[106]).rows == (to_json(row),)
    assert views.expectation(deps.ledger, DAYS.days[104]).rows == ()
    assert views.drift(deps.ledger, DAYS.days[104]).rows == ()


def test_every_sleeve_s_life_is_shown_and_one_that_is_gone_is_enough(deps: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the view, the report and its pictures, and by the exit code of the command."""
    days = DAYS.days[100:150]
    lives = {name: [live(day, ic) for day in days] for name, ic in ((SLEEVE, 0.05), ("other", -0.2))}
    verdicts = {name: verdict(ASOF, deps, bundle(), rows, []) for name, rows in lives.items()}
    figures = {name: SleeveFigures(tuple(rows), verdicts[name]) for name, rows in lives.items()}
    content = MonitoringFigures(live=tuple(lives[SLEEVE]), expectation=verdicts[SLEEVE], by_sleeve=figures)
    record(deps, DAYS.days[151], content)
    shown = views.expectation(deps.ledger, DAYS.days[151])
    assert [row["sleeve"] for row in shown.rows] == [SLEEVE] * 4 + ["other"] * 4 and shown.columns[0] == "sleeve"
    facts = shown.facts["sleeves"]
    assert {name: one["lived"]["ic"][-1] for name, one in facts.items()} == {SLEEVE: pytest.approx(0.05), "other": pytest.approx(-0.2)}
    assert facts[SLEEVE]["test"]["alarmed_on"] is None is not facts["other"]["test"]["alarmed_on"]
    text = parts.expectation(content)
    assert f"## Expected and realised: {SLEEVE}" in text and "![expected and realised](expectation-other.svg)" in text
    assert parts.decay_warning(content).startswith(f"> **other: this is {GONE}**")
    monkeypatch.setattr(ledger_queries, "open_ledger", lambda _: nullcontext(deps.ledger))
    answer = ScreenAnswer(ScreenQuery(), None, AT, views={"expectation": shown})
    said = captions.life(answer, 80).plain
    assert f"{SLEEVE}: {STANDS}" in said and f"other: {GONE}" in said
    assert [chart(answer).title for chart in (charts.rank_ic, charts.cost)] == [f"mean rank IC, {SLEEVE}", "mean rank IC, other"]
    assert charts.cost(answer).lines[-1].values[-1] == pytest.approx(-0.2)
    done = CliRunner().invoke(app, ["expectation"])
    assert done.exit_code == 1 and f"{SLEEVE}: 50 sessions: {STANDS}" in done.output and f"other: 50 sessions: {GONE}" in done.output


def test_the_picture_is_the_same_twice() -> None:
    expected = expected_of(bundle())
    assert expected is not None
    panels = {name: FanPanel([0.01, 0.02], bands(expected, name, 20, 1e6)) for name in ("ic", "turnover", "cost", "drawdown")}
    picture = fans(panels)
    assert picture.startswith(b"<svg") and picture.count(b"<polygon") == 4 * (len(panels["ic"].bands[0]) // 2)
    assert fans(panels) == picture


def test_the_report_says_it_first_and_shows_the_figures_against_their_fans(deps: Any) -> None:
    gone = verdict(ASOF, deps, bundle(), [live(day, -0.2) for day in DAYS.days[100:150]], [])
    assert gone is not None
    banner = parts.decay_warning(MonitoringFigures(expectation=gone))
    assert banner == f"> **This is {GONE}**: so since {gone.test.alarmed_on}."
    text = parts.expectation(MonitoringFigures(expectation=gone))
    assert f"Lived since {DAYS.days[100]}: {GONE}." in text
    assert "| ic | 50 | -0.2000 | -0.0500 | 0.0200 | 0.0600 | BELOW |" in text
    assert "| cost | 0 | - | - | - | - | NOT YET |" in text
    assert parts.decay_warning(MonitoringFigures()) == parts.expectation(MonitoringFigures()) == ""


def test_the_report_lists_what_uses_most_of_its_limit() -> None:
    reference = {
        "format": "trademl-drift/1",
        "window_sessions": 60,
        "features": {},
        "score": {"edges": [0.0], "shares": [0.5, 0.5, 0.0], "limit": 0.5},
    }
    measured = TrailingDrift(
        (
            Drift("calm", DriftState.MEASURED, 0.1, 0.5),
            Drift("wild", DriftState.MEASURED, 1.0, 0.5),
            Drift("lost", DriftState.MEASURED, float("nan"), 0.5),
        ),
        trailing_score_psi(read_reference(reference), [np.zeros(3)]),
    )
    assert [(row.name, row.used, row.verdict) for row in document(measured).rows] == [
        ("lost", None, "DRIFTED"),
        ("score", None, "too little history yet"),
        ("wild", 2.0, "DRIFTED"),
        ("calm", 0.2, "within"),
    ]
    text = parts.drift(MonitoringFigures(drift=document(measured)))
    assert "2 of 4 figures drifted, over 60 sessions." in text
    assert "| wild | 1.000 | 0.500 | 2.000 | DRIFTED |" in text
    assert parts.drift(MonitoringFigures()) == ""
    with pytest.raises(BundleRefused, match="drift reference of format"):
        read_reference({"format": "other"})
    with pytest.raises(BundleRefused, match="cannot be read"):
        read_reference({"format": "trademl-drift/1"})
