"""Each bar just inside, just outside and without its evidence; nothing but the case and the bars decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from signals.errors import BadConfig, FixInput
from signals.text.documents import to_json
from tests.fakes.promotion import ABSENT, BARS, CHAMPION, NET, NET_PATH, RIVAL, SEALED, WORD, case, failed, row
from trainer.promotion.bars.config import Case, PromotionConfig, PromotionVerdict, read_bars
from trainer.promotion.bars.holdout import RECORD
from trainer.promotion.bars.judge import BARS as ROWS
from trainer.promotion.bars.judge import is_worth_opening, judge
from trainer.promotion.bars.trials import deflated_sharpe
from trainer.runs.run_folder import canonical_json

CONFIGS = Path(__file__).resolve().parents[2] / "configs"

# bar, entry, just inside, just outside; every other entry clears its bar
EDGES: list[tuple[str, str, Any, Any]] = [
    ("net Sharpe", f"{NET_PATH}.annual_sharpe", 1.0, 0.9999),
    ("drawdown", f"{NET_PATH}.max_drawdown", 0.20, 0.2001),
    ("sessions", "measured.walk_forward.sessions", 504, 503),
    ("DSR", "trials.n_trials", 46, 47),
    ("PBO", "trials.pbo.value", 0.05, 0.0501),
    ("best of all", "trials.max_t.p", 0.05, 0.0501),
    ("paths", "measured.paths.annual_sharpe", [0.001, 0.001, 0.001, 2.0], [-9.0, 0.0, 0.0, 2.0]),
    ("holdout", "holdout.annual_sharpe", 0.0001, 0.0),
    ("turnover", "measured.walk_forward.turnover.annual", 40.0, 40.01),
    ("costs", "measured.walk_forward.costs.annual_total", 0.08, 0.0801),
    ("reliability", "evidence.calibration.judged.slope", 0.5889, 0.5887),  # 1 - 1.6449 x 0.25
    ("reliability", "evidence.calibration.judged.slope", 1.4112, 1.4113),
    ("reliability", "evidence.calibration.judged.excess_brier", 0.00032, 0.00033),
    ("reliability", "evidence.calibration.isotonic.levels", [0.001, 0.999], [0.4, 1.0]),
    ("reliability", "evidence.calibration.isotonic.levels", [0.001, 0.999], [0.0, 0.6]),
    ("reliability", "evidence.calibration.platt.slope", 0.001, -0.001),
    ("reliability", "evidence.calibration.fitted_for.model_sha256", ["m" * 64], ["n" * 64]),
    ("reliability", "evidence.calibration.fitted_for.score_deviation", 2.0, 2.01),
    ("reliability", "evidence.calibration.fitted_for.score_deviation", 0.5, 0.49),
    ("decile order", "evidence.deciles.curve", [0, 1, 2, 3, 9, 8, 7, 6, 5, 4], [9, 8, 0, 1, 2, 3, 4, 5, 6, 7][::-1]),
    ("leaks", "evidence.leak_certificate.total", 0, 1),
    ("long embargo", "evidence.ic.long_embargo.mean", 0.0150001, 0.0149),
    ("long embargo", "evidence.ic.embargoes.long", 253, 252),
    ("universe", "evidence.dataset.survivorship", "point-in-time", "unknown"),
    ("leak", "evidence.walk_forward.ic.mean", 0.0619, 0.0621),
    ("leak", "evidence.walk_forward.ic.mean", -0.0619, -0.0621),
    ("leak", f"{NET_PATH}.annual_sharpe", 3.0, 3.01),
    ("leak", "evidence.leaks.checks", [{"check": "a", "passed": True}], [{"check": "a", "passed": False, "why": "x"}]),
    ("bars", "searched_under", [BARS.fingerprint()], [BARS.fingerprint(), "0" * 64]),
]
SHADOW_EDGES: list[tuple[str, Any, Any]] = [
    ("sessions", 60, 59),
    ("faults", 0, 1),
    ("ic", -0.01, -0.0101),
    ("band", 0.9, 0.95),
    ("profit.turnover_annual", 30.0, 30.1),
    ("profit.turnover_annual", 13.34, 13.3),  # 20 promised
    ("profit.cost_annual", 0.03, 0.0301),  # 2 % promised
]


def test_a_challenger_that_clears_every_bar_is_promoted() -> None:
    found = judge(case(), BARS)
    assert found.is_promoted and found.word == "promoted" and found.refusal == "" and failed(found) == []
    assert found.bars_hash == BARS.fingerprint() and len(found.rows) == len(ROWS) + 2


@pytest.mark.parametrize(("bar", "entry", "inside", "outside"), EDGES)
def test_a_bar_decides_at_its_edge_alone(bar: str, entry: str, inside: Any, outside: Any) -> None:
    assert judge(case({entry: inside}), BARS).is_promoted
    refused = judge(case({entry: outside}), BARS)
    assert failed(refused) == [bar] or (bar == "DSR" and failed(refused) == [bar, "DSR with the seal"])
    assert not refused.is_promoted and refused.word == "refused"
    assert refused.refusal.startswith(f"{bar}: ") and row(refused, bar).why


@pytest.mark.parametrize(
    ("bar", "entry"),
    [
        ("net Sharpe", f"{NET_PATH}.annual_sharpe"),
        ("net Sharpe", NET_PATH),
        ("drawdown", f"{NET_PATH}.max_drawdown"),
        ("sessions", "measured.walk_forward.sessions"),
        ("DSR", "trials.n_trials"),
        ("DSR", "trials.variance_of_sharpes"),
        ("DSR", f"{NET_PATH}.kurtosis"),
        ("P(loss)", "trials"),
        ("DSR", "trials"),
        ("best of all", "trials.max_t"),
        ("P(loss)", "trials.pbo"),
        ("paths", "measured.paths.annual_sharpe"),
        ("holdout", "seen"),
        ("holdout", "evidence.holdout"),
        ("holdout", "holdout.series"),
        ("turnover", "measured.walk_forward.turnover"),
        ("costs", "measured.walk_forward.costs.annual_total"),
        ("costs", f"{NET_PATH}.annual_return"),
        ("decile order", "evidence.deciles"),
        ("universe", "evidence.dataset"),
        ("leaks", "evidence.leak_certificate"),
        ("reliability", "evidence.calibration"),
        ("leak", "evidence.walk_forward.ic"),
        ("leak", "evidence.ic.standard_error"),
        ("leak", "evidence.leaks.checks"),
        ("long embargo", "evidence.ic.embargoes"),
        ("reliability", "evidence.calibration.judged.slope_error"),
    ],
)
def test_what_has_no_evidence_fails(bar: str, entry: str) -> None:
    for gone in (ABSENT, None):
        found = judge(case({entry: gone}), BARS)
        assert bar in failed(found) and "no evidence" in row(found, bar).why


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_evidence(value: Any) -> None:
    assert "net Sharpe" in failed(judge(case({f"{NET_PATH}.annual_sharpe": value}), BARS))


@pytest.mark.parametrize("value", ["1.5", True, [2.0]])
def test_a_case_with_a_figure_of_another_type_is_refused(value: Any) -> None:
    with pytest.raises(FixInput, match=r"measured.walk_forward.net.annual_sharpe: .* is no number"):
        case({f"{NET_PATH}.annual_sharpe": value})


def test_where_pbo_does_not_apply_the_probability_of_loss_takes_its_place() -> None:
    few = {"value": None, "reason": "not applicable: 3 clusters of trials, 10 are needed"}
    for loss, passes in ((0.05, True), (0.0501, False)):
        found = judge(case({"trials.pbo": {**few, "probability_of_loss": loss}}), BARS)
        assert found.is_promoted is passes
        assert row(found, "P(loss)").value == loss and "3 clusters" in row(found, "P(loss)").why


def test_the_deflated_sharpe_ratio_is_the_published_one() -> None:
    """Bailey and Lopez de Prado 2014: 0.9004 after 100 trials; 46 are the most that leave 0.95."""
    found = deflated_sharpe(case({"trials.n_trials": 100}))
    assert found == pytest.approx(0.9003968344, abs=1e-9)
    assert row(judge(case({"trials.n_trials": 100}), BARS), "DSR").value == found


def test_the_stricter_of_raw_and_effective_trials_decides() -> None:
    """46 trials of a small variance clear the bar; 8 that lie far apart do not."""
    rows = {"raw": {"trials": 46, "variance": 0.002}, "effective": {"trials": 8, "variance": 0.01}}
    found = judge(case({"trials.hurdles": rows}), BARS)
    alone = case({"trials.n_trials": 8, "trials.variance_of_sharpes": 0.01})
    assert row(found, "DSR").value == deflated_sharpe(alone) and not row(found, "DSR").passed
    assert "46 trials, 8 of them different" in row(found, "DSR").why


def test_a_refusal_says_how_many_more_sessions_this_sharpe_ratio_would_need() -> None:
    """An annual 2.5 of 250 sessions with the paper's tails, 60 trials: by hand MinTRL over sqrt(0.002) E[max_60].

    E[max_60] = 2.34534, hurdle 0.10489; variance factor 1 + 3 x 0.15811 + 9/4 x 0.025 = 1.53059; 1 + 1.53059 x
    (1.64485 / 0.05323)^2 = 1,462.7, so 213 sessions more than the 1,250 that there are.
    """
    why = row(judge(case({"trials.n_trials": 60}), BARS), "DSR").why
    assert "would need 213 more sessions (0.8 years)" in why
    never = row(judge(case({"trials.n_trials": 10**6, "trials.variance_of_sharpes": 0.01}), BARS), "DSR").why
    assert "no record of this Sharpe ratio is long enough" in never


def test_a_first_champion_meets_the_absolute_bars_and_needs_no_shadow() -> None:
    found = judge(case(), BARS)
    assert "none yet" in row(found, "champion").why and "first champion" in row(found, "shadow").why


def test_a_challenger_of_a_champion_needs_its_shadow() -> None:
    assert judge(case(RIVAL), BARS).is_promoted
    refused = judge(case({"champion": CHAMPION}), BARS)
    assert failed(refused) == ["shadow"] and "trainer shadow" in row(refused, "shadow").why


def test_a_shadow_that_no_device_recorded_does_not_count() -> None:
    for absent in (None, ABSENT):
        refused = judge(case({**RIVAL, "shadow.recorded": absent}), BARS)
        assert failed(refused) == ["shadow"] and "appliance shadow --to" in row(refused, "shadow").why


@pytest.mark.parametrize("told", [True, ABSENT])
def test_a_shadow_of_a_rehearsal_does_not_count(told: object) -> None:
    """A replay goes through as many evenings as one likes, after the fact."""
    refused = judge(case({**RIVAL, "shadow.recorded.is_rehearsal": told, "shadow.recorded.venues": []}), BARS)
    assert failed(refused) == ["shadow"] and "rehearsal" in row(refused, "shadow").why


@pytest.mark.parametrize(("entry", "inside", "outside"), SHADOW_EDGES)
def test_the_shadow_decides_at_its_edges(entry: str, inside: Any, outside: Any) -> None:
    assert judge(case({**RIVAL, f"shadow.{entry}": inside}), BARS).is_promoted
    assert failed(judge(case({**RIVAL, f"shadow.{entry}": outside}), BARS)) == ["shadow"]
    assert failed(judge(case({**RIVAL, f"shadow.{entry}": ABSENT}), BARS)) == ["shadow"]


def test_the_shadow_s_profit_decides_nothing() -> None:
    earned = [{**RIVAL, "shadow.profit.annual_sharpe": s, "shadow.profit.net_return": s / 100} for s in (-9.0, 9.0)]
    verdicts = [judge(case(told), BARS).document() for told in earned]
    assert verdicts[0] == verdicts[1] and verdicts[0]["verdict"] == "promoted"


def test_a_shadow_that_lost_money_is_refused_where_that_was_asked_for() -> None:
    """And the row says what such a bar is worth: over 60 sessions half of the dead pass, 31 % of the good fail."""
    asked = BARS.model_copy(update={"shadow_profit": True})
    for earned, passes in ((0.0, True), (-0.0001, False), (None, False)):
        changes = {**RIVAL, "shadow.profit.net_return": earned, "searched_under": [asked.fingerprint()]}
        found = judge(case(changes), asked)
        assert failed(found) == [] if passes else failed(found) == ["shadow"]
    told = row(judge(case({**RIVAL, "searched_under": [asked.fingerprint()]}), asked), "shadow").power
    assert "ratio of 0 passes with 50%" in told and "of 1.0 is refused with 31%" in told


def test_a_challenger_is_compared_on_the_sessions_that_both_have() -> None:
    """NET lies 0.0005 above the champion on every other session: better beyond doubt. Turned round: worse."""
    better = judge(case({**RIVAL, "word": None}), BARS)
    assert better.is_promoted and "on 500 common sessions" in row(better, "champion").why
    assert row(better, "champion").limit == "lower bound above 0"
    worse = judge(case({**RIVAL, "champion.series.net": [0.003, -0.001] * 250}), BARS)
    assert failed(worse) == ["champion"] and (row(worse, "champion").value or 0.0) < -1.0  # type: ignore[operator]
    few = {**RIVAL, "champion.series.sessions": [f"x{n}" for n in range(249)] + CHAMPION["series"]["sessions"][249:]}  # type: ignore[index]
    for absent in (few, {**RIVAL, "champion.series": None}, {**RIVAL, "champion.challengers": ABSENT}):
        found = judge(case(absent), BARS)
        assert failed(found) == ["champion"] and "no evidence" in row(found, "champion").why
    still = judge(case({**RIVAL, "champion.series.net": [0.0] * 500}), BARS)
    assert failed(still) == ["champion"] and "never moved" in row(still, "champion").why


@pytest.mark.parametrize("measure", ["books under the settings of a dearer broker", "gains by the label event_gate over 30 sessions"])
def test_a_champion_of_another_measure_is_compared_with_nobody(measure: str) -> None:
    """Better by its returns beyond doubt, under costs that the champion never had: nothing is known, and a person may answer for that."""
    other = {**RIVAL, "champion.measure": measure, "measured.settings": "cheap"}
    found = judge(case(other), BARS)
    assert failed(found) == ["champion"] and measure in row(found, "champion").why
    assert judge(case({**other, "champion.measure": "books under the settings cheap"}), BARS).is_promoted
    assert judge(case({**other, "waivers": [{"bar": "champion", "by": "Ada", "reason": "its run is lost"}]}), BARS).is_promoted
    worse = {**other, "champion.measure": "books under the settings cheap", "champion.series.net": [0.003, -0.001] * 250}
    assert failed(judge(case({**worse, "waivers": [{"bar": "champion", "by": "Ada", "reason": "x"}]}), BARS)) == ["champion"]


def test_an_equal_challenger_replaces_the_champion_by_a_person_s_word_alone() -> None:
    """The same returns: no difference, no error. Not better, not worse: a name, a reason and a sentence decide."""
    same = {**RIVAL, "champion.series.net": NET[100:]}
    assert judge(case(same), BARS).is_promoted
    assert "A. Person: trained on the newest year" in row(judge(case(same), BARS), "champion").why
    silent: list[Any] = [None, {}, {**WORD, "reason": "taste"}, {**WORD, "by": " "}, {**WORD, "text": ""}]
    for word in silent:
        refused = judge(case({**same, "word": word}), BARS)
        assert failed(refused) == ["champion"] and "--replace-for" in row(refused, "champion").why


def test_the_opened_sessions_join_the_record_that_is_deflated() -> None:
    """A seal that barely earns and a record that no longer carries the trials: refused by the whole record only."""
    lean = {"sessions": SEALED, "net": [0.0101, -0.01] * 126}
    weak = {"measured.walk_forward.series.net": [0.0106, -0.01] * 300, "holdout.series": lean}
    found = judge(case({**weak, "holdout.annual_sharpe": 0.1}), BARS)
    assert failed(found) == [RECORD] and "852 sessions" in row(found, RECORD).why
    assert judge(case({"holdout.annual_sharpe": 0.1}), BARS).is_promoted


SUSPECT = {
    "universe": {"evidence.dataset.survivorship": "survivors only"},
    "leak": {"evidence.walk_forward.ic.mean": 0.07},
    "long embargo": {"evidence.ic.long_embargo": None, "evidence.ic.embargoes": {"needed": 253, "long": 0, "is_possible": False}},
}


@pytest.mark.parametrize("bar", SUSPECT)
def test_a_suspect_bar_passes_only_where_a_person_answers_for_it_by_name_with_a_reason(bar: str) -> None:
    assert failed(judge(case(SUSPECT[bar]), BARS)) == [bar, "holdout"] or failed(judge(case(SUSPECT[bar]), BARS)) == [bar]
    for by, reason, passes in (("Ada", "large caps", True), ("", "large caps", False), ("Ada", " ", False)):
        found = judge(case({**SUSPECT[bar], "waivers": [{"bar": bar, "by": by, "reason": reason}]}), BARS)
        assert found.is_promoted is passes
        assert row(found, bar).why.startswith("waived by Ada: large caps (it would fail: ") is passes
    other = judge(case({**SUSPECT[bar], "waivers": [{"bar": "DSR", "by": "Ada", "reason": "x"}]}), BARS)
    assert bar in failed(other)


def test_nobody_answers_for_a_bar_that_is_not_waivable() -> None:
    found = judge(case({f"{NET_PATH}.annual_sharpe": 0.4, "waivers": [{"bar": "net Sharpe", "by": "Ada", "reason": "x"}]}), BARS)
    assert "net Sharpe" in failed(found)


def test_a_long_embargo_that_the_history_has_room_for_is_nobody_s_to_waive() -> None:
    unmeasured = {
        "evidence.ic.long_embargo": None,
        "evidence.ic.embargoes.long": 0,
        "waivers": [{"bar": "long embargo", "by": "Ada", "reason": "x"}],
    }
    found = judge(case(unmeasured), BARS)
    assert "long embargo" in failed(found) and "the history suffices" in row(found, "long embargo").why
    strict = BARS.model_copy(update={"require_long_embargo": True})
    short = {**unmeasured, "evidence.ic.embargoes.is_possible": False, "searched_under": [strict.fingerprint()]}
    assert judge(case({**short, "searched_under": [BARS.fingerprint()]}), BARS).is_promoted
    assert "long embargo" in failed(judge(case(short), strict))


def stressed(sharpe: float, cost: float = 0.3) -> dict[str, Any]:
    book = to_json(case().measured)
    net = {**book["walk_forward"]["net"], "annual_sharpe": sharpe}
    return {"cost": cost, "walk_forward": {**book["walk_forward"], "net": net}, "paths": book["paths"]}


def test_a_reconstructed_universe_needs_a_plausible_rate_of_ends_and_a_book_that_bears_them() -> None:
    """2 % of the names end in a year at least, and every bar is met where an unpriced end costs a long 30 %."""
    base = {"evidence.dataset.survivorship": "reconstructed", "measured.unpriced_ends": stressed(1.01)}
    assert judge(case({**base, "evidence.dataset.ends.yearly_end_rate": 0.02}), BARS).is_promoted
    rare = judge(case({**base, "evidence.dataset.ends.yearly_end_rate": 0.0199}), BARS)
    assert "universe" in failed(rare) and "too few" in row(rare, "universe").why
    ruined = judge(case({**base, "measured.unpriced_ends": stressed(0.99)}), BARS)
    assert "universe" in failed(ruined) and "net Sharpe: 0.99 is below 1" in row(ruined, "universe").why
    for absent in (ABSENT, stressed(2.0, cost=0.1)):
        changes = {**base, "measured.unpriced_ends": absent} if absent is not ABSENT else {"evidence.dataset.survivorship": "reconstructed"}
        assert "no evidence of the book" in row(judge(case(changes), BARS), "universe").why


def test_an_old_waiver_that_nobody_gave_a_name_to_waives_nothing() -> None:
    document = to_json(case({"evidence.dataset.survivorship": "survivors only"}))
    del document["waivers"]
    old = Case.of({**document, "waiver": "large caps, stated"})
    assert old.waivers[0].reason == "large caps, stated" and "universe" in failed(judge(old, BARS))
    assert judge(Case.of({**to_json(case()), "waiver": ""}), BARS).is_promoted


def test_other_bars_than_those_of_the_search_are_refused() -> None:
    looser = BARS.model_copy(update={"min_sharpe": 0.1})
    found = judge(case(), looser)
    assert failed(found) == ["bars"] and row(found, "bars").value == BARS.fingerprint()[:12]
    assert failed(judge(case({"searched_under": []}), BARS)) == ["bars"]
    assert failed(judge(case({"searched_under": [""]}), BARS)) == ["bars"]


def test_the_seal_is_worth_opening_only_when_everything_else_passes() -> None:
    assert is_worth_opening(case({"holdout": None}), BARS)
    assert not is_worth_opening(case({"holdout": None, f"{NET_PATH}.annual_sharpe": 0.9}), BARS)
    assert not is_worth_opening(case({"evidence.holdout": None}), BARS)
    sealed = judge(case({"holdout": None}), BARS)
    assert failed(sealed) == ["holdout", RECORD] and "still sealed" in row(sealed, "holdout").why


def test_the_verdict_is_a_pure_function_of_what_is_stored() -> None:
    """The case survives JSON, and gives the same document; the verdict can be read back."""
    whole = case(RIVAL)
    again = Case.of(json.loads(canonical_json(whole)))
    first, second = judge(whole, BARS), judge(again, BARS)
    assert canonical_json(first.document()) == canonical_json(second.document())
    assert PromotionVerdict.of(json.loads(canonical_json(first.document()))).document() == first.document()


def test_a_refusal_names_every_failed_bar_with_its_numbers() -> None:
    found = judge(case({f"{NET_PATH}.annual_sharpe": 0.4, f"{NET_PATH}.max_drawdown": 0.31}), BARS)
    assert "0.4 is below 1" in found.refusal and "0.31 is above 0.2" in found.refusal


def test_the_file_of_bars_holds_the_defaults_of_the_program() -> None:
    assert read_bars(CONFIGS / "trainer.yml") == PromotionConfig() == read_bars(None)
    named = yaml.safe_load((CONFIGS / "trainer.yml").read_text())["promotion"]
    assert set(named) == set(PromotionConfig.model_fields)


def test_a_changed_bar_changes_the_hash(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_text("promotion: {min_sharpe: 0.9}")
    assert read_bars(tmp_path / "t.yml").fingerprint() != PromotionConfig().fingerprint()


@pytest.mark.parametrize(
    ("content", "told"), [("promotion: {min_sharp: 1}", "min_sharp"), ("promotion: {max_pbo: 2}", "max_pbo"), ("a: [", "YAML")]
)
def test_bad_bars_are_refused(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "t.yml").write_text(content)
    with pytest.raises(BadConfig, match=told):
        read_bars(tmp_path / "t.yml")
    with pytest.raises(BadConfig, match="no such"):
        read_bars(tmp_path / "none.yml")


def test_a_ruined_book_is_refused_whatever_it_earned_before() -> None:
    """On the walk-forward scores, on a path, and on the sealed sessions: each in words, none by a missing figure."""
    ruined = judge(case({f"{NET_PATH}.is_ruined": True, f"{NET_PATH}.annual_sharpe": 3.0}), BARS)
    assert "the book was ruined" in ruined.refusal
    path = judge(case({"measured.paths.annual_sharpe": [2.0, None, 1.5]}), BARS)
    assert "paths: the book of 1 of 3 paths was ruined" in path.refusal
    assert "the book of the sealed sessions was ruined" in judge(case({"holdout.is_ruined": True}), BARS).refusal
