"""Each bar just inside, just outside and without its evidence; nothing but the case and the bars decides."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from signals.errors import BadConfig
from tests.fakes.promotion import ABSENT, BARS, CHAMPION, NET, SHADOW, case
from trainer.artefacts import canonical_json
from trainer.promotion.case import Case, Row, Verdict
from trainer.promotion.config import PromotionConfig, read_bars
from trainer.promotion.holdout import quantile_of
from trainer.promotion.judge import BARS as ROWS
from trainer.promotion.judge import is_worth_opening, judge
from trainer.promotion.trials import deflated_sharpe

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RIVAL = {"champion": CHAMPION, "shadow": SHADOW}
NET_PATH = "measured.walk_forward.net"

# bar, entry, just inside, just outside; every other entry clears its bar
EDGES: list[tuple[str, str, Any, Any]] = [
    ("net Sharpe", f"{NET_PATH}.annual_sharpe", 1.0, 0.9999),
    ("drawdown", f"{NET_PATH}.max_drawdown", 0.20, 0.2001),
    ("sessions", "measured.walk_forward.sessions", 504, 503),
    ("DSR", "evidence.trials.n_trials", 46, 47),
    ("PBO", "evidence.trials.pbo.value", 0.05, 0.0501),
    ("paths", "measured.paths.annual_sharpe", [0.001, 0.001, 0.001, 2.0], [-9.0, 0.0, 0.0, 2.0]),
    ("holdout", "holdout.annual_sharpe", -0.4, -0.4001),
    ("turnover", "measured.walk_forward.turnover.annual", 40.0, 40.01),
    ("costs", "measured.walk_forward.costs.annual_total", 0.08, 0.0801),
    ("reliability", "evidence.calibration.figures.platt.ece", 0.05, 0.0501),
    ("decile order", "evidence.deciles.curve", [0, 1, 2, 3, 9, 8, 7, 6, 5, 4], [9, 8, 0, 1, 2, 3, 4, 5, 6, 7][::-1]),
    ("leaks", "evidence.leak_certificate.total", 0, 1),
    ("long embargo", "evidence.ic.long_embargo.mean", 0.0150001, 0.0149),
    ("universe", "evidence.dataset.survivorship", "unknown", "survivors only"),
    ("bars", "searched_under", [BARS.fingerprint()], [BARS.fingerprint(), "0" * 64]),
]
SHADOW_EDGES: list[tuple[str, Any, Any]] = [
    ("sessions", 60, 59), ("faults", 0, 1), ("ic", -0.01, -0.0101), ("ic", 0.05, 0.0501), ("band", 0.9, 0.95),
]  # fmt: skip


def row(found: Verdict, bar: str) -> Row:
    return next(r for r in found.rows if r.bar == bar)


def failed(found: Verdict) -> list[str]:
    return [r.bar for r in found.rows if not r.passed]


def test_a_challenger_that_clears_every_bar_is_promoted() -> None:
    found = judge(case(), BARS)
    assert found.is_promoted and found.word == "promoted" and found.refusal == "" and failed(found) == []
    assert found.bars_hash == BARS.fingerprint() and len(found.rows) == len(ROWS) + 1


@pytest.mark.parametrize(("bar", "entry", "inside", "outside"), EDGES, ids=[edge[0] for edge in EDGES])
def test_a_bar_decides_at_its_edge_alone(bar: str, entry: str, inside: Any, outside: Any) -> None:
    assert judge(case({entry: inside}), BARS).is_promoted
    refused = judge(case({entry: outside}), BARS)
    assert failed(refused) == [bar] or (bar != "holdout" and failed(refused) == [bar, "holdout"])
    assert not refused.is_promoted and refused.word == "refused"
    assert refused.refusal.startswith(f"{bar}: ") and row(refused, bar).why


@pytest.mark.parametrize(
    ("bar", "entry"),
    [
        ("net Sharpe", f"{NET_PATH}.annual_sharpe"), ("net Sharpe", NET_PATH), ("drawdown", f"{NET_PATH}.max_drawdown"),
        ("sessions", "measured.walk_forward.sessions"), ("DSR", "evidence.trials.n_trials"),
        ("DSR", "evidence.trials.variance_of_sharpes"), ("DSR", f"{NET_PATH}.kurtosis"), ("P(loss)", "evidence.trials"),
        ("P(loss)", "evidence.trials.pbo"), ("paths", "measured.paths.annual_sharpe"),
        ("holdout", "measured.paths.stretch_percentiles"), ("holdout", "evidence.holdout"),
        ("turnover", "measured.walk_forward.turnover"), ("costs", "measured.walk_forward.costs.annual_total"),
        ("costs", f"{NET_PATH}.annual_return"), ("decile order", "evidence.deciles"), ("universe", "evidence.dataset"),
        ("leaks", "evidence.leak_certificate"), ("reliability", "evidence.calibration"),
    ],
)  # fmt: skip
def test_what_has_no_evidence_fails(bar: str, entry: str) -> None:
    for gone in (ABSENT, None):
        found = judge(case({entry: gone}), BARS)
        assert bar in failed(found) and "no evidence" in row(found, bar).why


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1.5", True, [2.0]])
def test_what_is_no_number_is_no_evidence(value: Any) -> None:
    assert "net Sharpe" in failed(judge(case({f"{NET_PATH}.annual_sharpe": value}), BARS))


def test_where_pbo_does_not_apply_the_probability_of_loss_takes_its_place() -> None:
    few = {"value": None, "reason": "not applicable: 3 clusters of trials, 10 are needed"}
    for loss, passes in ((0.05, True), (0.0501, False)):
        found = judge(case({"evidence.trials.pbo": {**few, "probability_of_loss": loss}}), BARS)
        assert found.is_promoted is passes
        assert row(found, "P(loss)").value == loss and "3 clusters" in row(found, "P(loss)").why


def test_the_deflated_sharpe_ratio_is_the_published_one() -> None:
    """Bailey and Lopez de Prado 2014: 0.9004 after 100 trials; 46 are the most that leave 0.95."""
    found = deflated_sharpe(case({"evidence.trials.n_trials": 100}))
    assert found == pytest.approx(0.9003968344, abs=1e-9)
    assert row(judge(case({"evidence.trials.n_trials": 100}), BARS), "DSR").value == found


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
    verdicts = [judge(case({**RIVAL, "shadow.profit": {"annual_sharpe": s}}), BARS).document() for s in (-9.0, 9.0)]
    assert verdicts[0] == verdicts[1] and verdicts[0]["verdict"] == "promoted"


def test_a_challenger_is_compared_on_the_sessions_that_both_have() -> None:
    better = judge(case({**RIVAL, "champion.series.net": [0.003, -0.001] * 250}), BARS)
    assert failed(better) == ["champion"] and "500 sessions in common" in row(better, "champion").why
    same = {**RIVAL, "champion.series.net": NET[100:]}
    assert judge(case(same), BARS).is_promoted
    few = {**RIVAL, "champion.series.sessions": [f"x{n}" for n in range(249)] + CHAMPION["series"]["sessions"][249:]}  # type: ignore[index]
    assert failed(judge(case(few), BARS)) == ["champion"]
    assert failed(judge(case({**RIVAL, "champion.series": None}), BARS)) == ["champion"]


def test_a_margin_lets_an_equal_challenger_renew_the_champion() -> None:
    stronger = {**RIVAL, "champion.series.net": [0.00201, -0.001] * 250}
    assert not judge(case(stronger), BARS).is_promoted
    wide = BARS.model_copy(update={"champion_margin": 1.0})
    assert judge(case({**stronger, "searched_under": [wide.fingerprint()]}), wide).is_promoted


def test_a_survivors_only_universe_passes_only_with_a_waiver_in_the_record() -> None:
    waived = judge(case({"evidence.dataset.survivorship": "survivors only", "waiver": "large caps, stated"}), BARS)
    assert waived.is_promoted and row(waived, "universe").why == "waived: large caps, stated"


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
    assert failed(sealed) == ["holdout"] and "still sealed" in row(sealed, "holdout").why


def test_the_verdict_is_a_pure_function_of_what_is_stored() -> None:
    """The case survives JSON, and gives the same document; the verdict can be read back."""
    whole = case(RIVAL)
    again = Case.of(json.loads(canonical_json(whole.document())))
    first, second = judge(whole, BARS), judge(again, BARS)
    assert canonical_json(first.document()) == canonical_json(second.document())
    assert Verdict.of(json.loads(canonical_json(first.document()))).document() == first.document()


def test_a_refusal_names_every_failed_bar_with_its_numbers() -> None:
    found = judge(case({f"{NET_PATH}.annual_sharpe": 0.4, f"{NET_PATH}.max_drawdown": 0.31}), BARS)
    assert "0.4 is below 1" in found.refusal and "0.31 is above 0.2" in found.refusal


def test_a_quantile_is_read_off_stored_percentiles() -> None:
    assert quantile_of([float(p) for p in range(101)], 0.05) == pytest.approx(5.0)
    assert quantile_of([float(p) for p in range(101)], 0.055) == pytest.approx(5.5)
    assert quantile_of([1.0, 2.0], 0.05) is None and quantile_of(None, 0.05) is None


def test_the_file_of_bars_holds_the_defaults_of_the_program() -> None:
    assert read_bars(CONFIGS / "trainer.yml") == PromotionConfig() == read_bars(None)
    named = yaml.safe_load((CONFIGS / "trainer.yml").read_text())["promotion"]
    assert set(named) == set(PromotionConfig.model_fields)


def test_a_changed_bar_changes_the_hash(tmp_path: Path) -> None:
    (tmp_path / "t.yml").write_text("promotion: {min_sharpe: 0.9}")
    assert read_bars(tmp_path / "t.yml").fingerprint() != PromotionConfig().fingerprint()


@pytest.mark.parametrize(
    ("content", "told"),
    [("promotion: {min_sharp: 1}", "min_sharp"), ("promotion: {max_pbo: 2}", "max_pbo"), ("a: [", "YAML")],
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
