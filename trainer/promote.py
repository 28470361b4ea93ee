"""Champion or not: a pure function of stored evidence and of bars that were fixed before.

Entry point: `judge`. Every bar is a row of `BARS`: a name and a function of the case. What has no evidence fails; what
does not apply says why. The sealed holdout is judged last, because opening it is only worth it when everything else
passes (`is_worth_opening`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from trainer.backtest.figures import annual_sharpe
from trainer.promotion_bars import PromotionConfig
from trainer.validation import dsr

SURVIVORS_ONLY = "survivors only"
PERCENTILES = 101  # 0, 1 ... 100


@dataclass(frozen=True, eq=False)
class Case:
    """Everything that a verdict may look at, all of it stored.

    Attributes
    ----------
    evidence : mapping
        `evidence.json` of the run.
    measured : mapping
        `promotion/measured.json`: the weight-level book walking forward and on the paths.
    holdout : mapping or None
        What opening the seal for this challenger showed; None while it is sealed.
    shadow : mapping or None
        `promotion/shadow.json`.
    champion : mapping or None
        `version` and net walk-forward `series` of the sleeve's champion; None before the first.
    searched_under : tuple of str
        Hashes of the bars that the training and its searches recorded when they started; empty where none was.
    waiver : str
        Why a survivors-only universe is accepted; empty for no waiver.
    """

    evidence: Mapping[str, Any]
    measured: Mapping[str, Any]
    holdout: Mapping[str, Any] | None = None
    shadow: Mapping[str, Any] | None = None
    champion: Mapping[str, Any] | None = None
    searched_under: tuple[str, ...] = ()
    waiver: str = ""

    def document(self) -> dict[str, Any]:
        """Return the case as it is stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Case:
        """Return the case that `document` stored."""
        return cls(**{**document, "searched_under": tuple(document["searched_under"])})


@dataclass(frozen=True)
class Row:
    """One bar: what was found, what is asked, whether it passes, and why."""

    bar: str
    value: float | str | None
    limit: float | str
    passed: bool
    why: str


@dataclass(frozen=True)
class Verdict:
    """Promoted when every row passes."""

    rows: tuple[Row, ...]
    bars_hash: str

    @property
    def is_promoted(self) -> bool:
        """Whether every bar is met."""
        return all(row.passed for row in self.rows)

    @property
    def word(self) -> str:
        """`promoted` or `refused`."""
        return "promoted" if self.is_promoted else "refused"

    @property
    def refusal(self) -> str:
        """Every failed bar in one sentence each; empty when promoted."""
        return "; ".join(f"{row.bar}: {row.why}" for row in self.rows if not row.passed)

    def document(self) -> dict[str, Any]:
        """Return the verdict as it is stored."""
        return {"verdict": self.word, "bars_hash": self.bars_hash, "rows": [asdict(row) for row in self.rows]}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Verdict:
        """Return the verdict that `document`, or a record that holds one, stored."""
        return cls(tuple(Row(**row) for row in document["rows"]), str(document["bars_hash"]))


Judge = Callable[[Case, PromotionConfig], Row]


def judge(case: Case, bars: PromotionConfig) -> Verdict:
    """Return the verdict: the same case and bars, the same rows."""
    return Verdict(tuple(row(case, bars) for row in (*BARS, _holdout)), bars.fingerprint())


def is_worth_opening(case: Case, bars: PromotionConfig) -> bool:
    """Whether every bar but the holdout's passes and there is a holdout to open."""
    return case.evidence.get("holdout") is not None and all(row(case, bars).passed for row in BARS)


def deflated_sharpe(case: Case) -> float | None:
    """DSR of the net walk-forward returns over every trial of the evidence; None where a part of it is missing."""
    net, trials = _get(case.measured, "walk_forward", "net"), case.evidence.get("trials")
    count, variance = _number(trials, "n_trials"), _number(trials, "variance_of_sharpes")
    moments = [_number(net, name) for name in ("sharpe", "sessions", "skewness", "kurtosis")]
    if count is None or variance is None or any(value is None for value in moments):
        return None
    sharpe, sessions, skewness, kurtosis = (float(value) for value in moments if value is not None)
    return dsr.deflated_sharpe_ratio(
        sharpe, int(sessions), skewness=skewness, kurtosis=kurtosis, trials=int(count), variance_of_trials=variance
    )


def quantile_of(percentiles: object, quantile: float) -> float | None:
    """Quantile of a distribution that is stored as its percentiles 0 to 100; None where it is not."""
    known = _floats(percentiles)
    if len(known) != PERCENTILES:
        return None
    return float(np.interp(quantile, np.linspace(0.0, 1.0, PERCENTILES), known))


# -- the rows --------------------------------------------------------------------------------------------------------


def _bars_first(case: Case, bars: PromotionConfig) -> Row:
    now, limit = bars.fingerprint(), "known before the search"
    others = [known for known in case.searched_under if known != now]
    if not case.searched_under or others:
        found = others[0][:12] if others and others[0] else None
        why = "the training or a search of it began under other bars, or none: train again under these (--bars)"
        return Row("bars", found, limit, False, why)
    return Row("bars", now[:12], limit, True, "recorded before the training and the first trial of its searches")


def _leaks(case: Case, bars: PromotionConfig) -> Row:
    return _at_most("leaks", _number(case.evidence.get("leak_certificate"), "total"), 0, "training rows that leak")


def _long_embargo(case: Case, bars: PromotionConfig) -> Row:
    ic = case.evidence.get("ic")
    distant, mean = _number(_get(ic, "long_embargo"), "mean"), _number(ic, "mean")
    if distant is None or mean is None:
        passed = not bars.require_long_embargo
        why = "not measured: the recipe has no long embargo" if passed else "no evidence"
        return Row("long embargo", None, bars.max_long_embargo_loss, passed, why)
    lost = 1.0 - distant / mean if mean > 0 else 1.0
    return _at_most("long embargo", lost, bars.max_long_embargo_loss, "share of the IC that vanishes")


def _universe(case: Case, bars: PromotionConfig) -> Row:
    universe = _get(case.evidence, "dataset", "survivorship")
    limit = f"not {SURVIVORS_ONLY!r}"
    if not isinstance(universe, str):
        return Row("universe", None, limit, False, "no evidence")
    if universe != SURVIVORS_ONLY:
        return Row("universe", universe, limit, True, f"the universe is {universe}")
    why = f"waived: {case.waiver}" if case.waiver else "names that died are missing, which flatters every figure"
    return Row("universe", universe, limit, bool(case.waiver), why)


def _sessions(case: Case, bars: PromotionConfig) -> Row:
    found = _number(_get(case.measured, "walk_forward"), "sessions")
    return _at_least("sessions", found, bars.min_sessions, "sessions of the walk-forward book")


def _sharpe(case: Case, bars: PromotionConfig) -> Row:
    net = _get(case.measured, "walk_forward", "net")
    found = _number(net, "annual_sharpe")
    if found is None and _number(net, "annual_volatility") == 0.0:
        return Row(
            "net Sharpe", None, bars.min_sharpe, False, "no evidence: the book never traded, its IC asks for none"
        )
    return _at_least("net Sharpe", found, bars.min_sharpe, "annual, walking forward, after all costs")


def _drawdown(case: Case, bars: PromotionConfig) -> Row:
    found = _number(_get(case.measured, "walk_forward", "net"), "max_drawdown")
    return _at_most("drawdown", found, bars.max_drawdown, "deepest fall of the net value")


def _dsr(case: Case, bars: PromotionConfig) -> Row:
    count = _number(case.evidence.get("trials"), "n_trials")
    tried = f"over {count:.0f} trial{'s' * (count != 1)}" if count is not None else ""
    return _at_least("DSR", deflated_sharpe(case), bars.min_dsr, f"deflated Sharpe ratio {tried}".strip())


def _pbo(case: Case, bars: PromotionConfig) -> Row:
    pbo = _get(case.evidence, "trials", "pbo")
    value = _number(pbo, "value")
    if value is not None:
        return _at_most("PBO", value, bars.max_pbo, "probability of backtest overfitting")
    reason = _get(pbo, "reason") or "PBO does not apply"
    return _at_most(
        "P(loss)", _number(pbo, "probability_of_loss"), bars.max_probability_of_loss,
        f"out of sample, in place of PBO ({reason})",
    )  # fmt: skip


def _paths(case: Case, bars: PromotionConfig) -> Row:
    found = _floats(_get(case.measured, "paths", "annual_sharpe"))
    value = float(np.quantile(found, bars.path_quantile)) if found else None
    why = f"net Sharpe ratio at the {bars.path_quantile:.0%} quantile of the cross-validation's paths"
    if value is None:
        return Row("paths", None, bars.min_path_sharpe, False, "no evidence")
    passed = value > bars.min_path_sharpe
    told = why if passed else f"{value:.4g} does not exceed {bars.min_path_sharpe:.4g}, {why}"
    return Row("paths", value, bars.min_path_sharpe, passed, told)


def _turnover(case: Case, bars: PromotionConfig) -> Row:
    found = _number(_get(case.measured, "walk_forward", "turnover"), "annual")
    return _at_most("turnover", found, bars.max_annual_turnover, "one-way a year, times equity")


def _costs(case: Case, bars: PromotionConfig) -> Row:
    cost = _number(_get(case.measured, "walk_forward", "costs"), "annual_total")
    net = _number(_get(case.measured, "walk_forward", "net"), "annual_return")
    if cost is None or net is None:
        return Row("costs", None, bars.max_cost_share, False, "no evidence")
    gross = net + cost
    share = cost / gross if gross > 0 else 1.0
    return _at_most("costs", share, bars.max_cost_share, "of the profit before costs")


def _reliability(case: Case, bars: PromotionConfig) -> Row:
    found = _number(_get(case.evidence, "calibration", "figures", "platt"), "ece")
    why = "expected calibration error of the scores' probabilities, out of fold and after the half that taught them"
    return _at_most("reliability", found, bars.max_calibration_error, why)


def _decile_order(case: Case, bars: PromotionConfig) -> Row:
    curve = _floats(_get(case.evidence, "deciles", "curve"))
    order = float(spearmanr(range(len(curve)), curve).statistic) if len(curve) > 2 and np.ptp(curve) > 0 else None
    return _at_least(
        "decile order", order, bars.min_decile_order, "rank correlation of score decile and mean label, out of fold"
    )


def _champion(case: Case, bars: PromotionConfig) -> Row:
    if case.champion is None:
        return Row("champion", None, "not below the champion", True, "there is none yet: the absolute bars decide")
    theirs, ours = _series(case.champion), _series(_get(case.measured, "walk_forward"))
    common = sorted(theirs.keys() & ours.keys())
    if len(common) < bars.champion_sessions:
        why = f"{len(common)} sessions in common with champion {case.champion.get('version')}"
        return Row("champion", None, f"{bars.champion_sessions} common sessions", False, f"no evidence: {why}")
    beaten = annual_sharpe(np.array([theirs[day] for day in common]))
    reached = annual_sharpe(np.array([ours[day] for day in common]))
    why = f"net Sharpe ratio on {len(common)} sessions in common with champion {case.champion.get('version')}"
    return _at_least("champion", reached, beaten - bars.champion_margin, why)


def _shadow(case: Case, bars: PromotionConfig) -> Row:
    limit = f"{bars.shadow_sessions} sessions, IC inside its {bars.shadow_band:.0%} band, no fault"
    if case.champion is None:
        return Row("shadow", None, limit, True, "does not apply to a first champion")
    if case.shadow is None:
        return Row("shadow", None, limit, False, "no evidence: run `trainer shadow --recorded FILE` first")
    if not case.shadow.get("recorded"):
        why = "no device recorded it: `appliance shadow --to FILE` there, `trainer shadow --recorded FILE` here"
        return Row("shadow", None, limit, False, why)
    if _get(case.shadow, "recorded", "is_rehearsal") is not False:
        return Row(
            "shadow", None, limit, False, "recorded in a rehearsal: the device made its own time, as a replay does"
        )
    count, faults = _number(case.shadow, "sessions"), _number(case.shadow, "faults")
    ic, low, high = (_number(case.shadow, name) for name in ("ic", "band_low", "band_high"))
    if count is None or faults is None or ic is None or low is None or high is None:
        return Row("shadow", None, limit, False, "no evidence")
    if _number(case.shadow, "band") != bars.shadow_band:
        return Row("shadow", None, limit, False, "measured with another band: run `trainer shadow` again")
    told = f"{count:.0f} sessions, {faults:.0f} faults, IC {ic:+.4f} in {low:+.4f} to {high:+.4f}"
    return Row("shadow", told, limit, count >= bars.shadow_sessions and faults == 0 and low <= ic <= high, told)


def _holdout(case: Case, bars: PromotionConfig) -> Row:
    bound = quantile_of(_get(case.measured, "paths", "stretch_percentiles"), bars.holdout_quantile)
    name = "holdout"
    if case.evidence.get("holdout") is None:
        return Row(name, None, "sealed before the search", False, "no evidence: the run has no sealed holdout")
    if bound is None:
        return Row(name, None, "a quantile of the paths", False, "no evidence of the paths")
    if case.holdout is None:
        return Row(name, None, bound, False, "still sealed: another bar fails")
    why = f"net Sharpe ratio of the sealed sessions; the paths' {bars.holdout_quantile:.0%} quantile for such a stretch"
    return _at_least(name, _number(case.holdout, "annual_sharpe"), bound, why)


BARS: tuple[Judge, ...] = (
    _bars_first, _leaks, _long_embargo, _universe, _sessions, _sharpe, _drawdown, _dsr, _pbo, _paths, _turnover, _costs,
    _reliability, _decile_order, _champion, _shadow,
)  # fmt: skip


def _at_least(bar: str, value: float | None, limit: float, why: str) -> Row:
    if value is None or not np.isfinite(value):
        return Row(bar, None, limit, False, "no evidence")
    return Row(bar, value, limit, value >= limit, why if value >= limit else f"{value:.4g} is below {limit:.4g}, {why}")


def _at_most(bar: str, value: float | None, limit: float, why: str) -> Row:
    if value is None or not np.isfinite(value):
        return Row(bar, None, limit, False, "no evidence")
    return Row(bar, value, limit, value <= limit, why if value <= limit else f"{value:.4g} is above {limit:.4g}, {why}")


def _get(document: object, *keys: str) -> Any:  # Any: a JSON value of any shape
    for key in keys:
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document


def _series(document: object) -> dict[str, float]:
    """Net return by session, as stored; empty where there is none."""
    sessions, net = _get(document, "series", "sessions"), _floats(_get(document, "series", "net"))
    return dict(zip(sessions, net, strict=True)) if isinstance(sessions, list) and len(sessions) == len(net) else {}


def _floats(value: object) -> list[float]:
    """Return a list of finite numbers; empty for anything else."""
    return [float(v) for v in value] if isinstance(value, list) and all(map(_is_number, value)) else []


def _number(document: object, key: str) -> float | None:
    value = _get(document, key)
    return float(value) if _is_number(value) else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
