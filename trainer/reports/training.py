"""Writes the report of a training: Markdown, HTML and plots."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from portfolio.risk.evidence import evidence_share
from signals.market.bars import Days, Floats
from signals.scoring.evidence import Mean
from trainer.reports import page, plots
from trainer.reports.page import number
from trainer.runs.evidence import Evidence, ImportanceFigures
from trainer.runs.trials import SearchFigures, Trials
from trainer.validation.deciles import SESSIONS_PER_YEAR, BookReturns

PLOTS = {
    "ic_by_path.png": "Rank IC by path. The paths share their data: their spread is not an error bar.",
    "cumulative_ic.png": "Cumulative rank IC. A steady slope is skill; one step is one episode.",
    "deciles.png": "Return by score decile, in excess of the session's mean, before costs.",
    "importance.png": "What the published model splits on.",
    "coverage.png": "Names per session and the sealed holdout.",
    "drawdown.png": "Wealth of the walk-forward decile book below its peak, after the spread.",
    "capacity.png": "What the book's own impact leaves of the return, by equity.",
}
RELIABILITY, TRIALS, LOGITS, EMBARGOES = "reliability.png", "trials.png", "pbo_logits.png", "embargoes.png"
WHERE_KNOWN = {
    RELIABILITY: "Calibrated on the earlier half, judged on the later: on the line, what was said is what came.",
    TRIALS: "Everything that was tried. The dashed line is what the best of so many would reach by luck alone.",
    LOGITS: "Orange: splits in which the best trial in sample was no better than the median out of sample.",
    EMBARGOES: "The same IC when nothing within the longest look-back of a test was learned from.",
}

SHAP = "importance_shap.png"
FEATURES_SHOWN = 5
EXPLAINED = {
    "importance_permuted.png": "IC lost when a feature is permuted within its sessions, out of fold.",
    "importance_clusters.png": "IC lost when features that rank alike are permuted together.",
    SHAP: "Mean absolute SHAP value, out of fold.",
}


Lines = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class ReportSubject:
    """Contents of the report beyond the evidence `known`.

    `series`, `forward`, float64 (T,): per-session IC on `sessions`, cross-validated and walking forward. `eligible`,
    int (T,). `labelled`, float64 (T, N): the labels of the cross-validation. `importance`, float64 (F,), of `names`.
    `book`: the walk-forward decile book. `trial_sharpes`, float64, per session, NaN for a trial without one. `extra_lines`: lines
    that come before the others.
    """

    known: Evidence
    sessions: Days
    names: tuple[str, ...]
    importance: Floats
    series: Floats
    forward: Floats
    eligible: np.ndarray
    labelled: Floats
    book: BookReturns
    trial_sharpes: Floats
    extra_lines: Lines = ()


def report_files(subject: ReportSubject) -> Mapping[str, bytes]:
    """Render everything: relative path -> content."""
    return page.files(_page(subject.known, subject.extra_lines), _pictures(subject))


def rows_of(known: Evidence) -> list[tuple[str, str]]:
    """(what, figure) lines of the report, which the command prints too."""
    return [*_skill(known), *_worth(known), *deflation(known.trials), *_calibration(known), *_regimes(known), *provenance(known)]


def _page(known: Evidence, extra_lines: Lines) -> page.Page:
    return page.Page(f"Training of {known.sleeve}", (*extra_lines, *rows_of(known)), known.warnings, dict(captions(known)))


def captions(known: Evidence) -> Mapping[str, str]:
    """Name and caption of every picture that this evidence has."""
    shown = {**PLOTS, **{name: text for name, text in WHERE_KNOWN.items() if _is_known(name, known)}}
    asked = known.importance
    more = {} if asked is None else {name: text for name, text in EXPLAINED.items() if name != SHAP or asked.shap}
    return {**shown, **more}


def _is_known(name: str, known: Evidence) -> bool:
    trials = known.trials
    return {
        RELIABILITY: known.calibration is not None,
        TRIALS: trials.sharpe is not None,
        LOGITS: trials.pbo is not None and trials.pbo.logits is not None,
        EMBARGOES: known.ic.long_embargo is not None,
    }[name]


def _skill(known: Evidence) -> list[tuple[str, str]]:
    ic, forward = known.ic, known.forward_ic
    by_path = [path.mean for path in ic.by_path]
    lines = [
        ("Out-of-fold rank IC", _with_error(ic.whole, f"lag {ic.lag}, {ic.sessions} sessions")),
        ("t of the non-overlapping offsets", ", ".join(number(offset.t, "+.2f") for offset in ic.by_offset)),
        ("IC by path", f"{number(min(by_path), '+.4f')} to {number(max(by_path), '+.4f')}"),
        ("Walk-forward rank IC", _with_error(forward, f"{forward.sessions} sessions")),
    ]
    if ic.long_embargo and known.cpcv:
        what = f"IC with an embargo of {known.cpcv.long_embargo_sessions} sessions"
        lines.append((what, _with_error(ic.long_embargo, "")))
    return lines


def _worth(known: Evidence) -> list[tuple[str, str]]:
    spread, capacity = known.deciles.spread, known.capacity
    gross, net = capacity.gross_annual, capacity.net_of_spread_annual
    traded = known.turnover.annual if known.turnover else None
    return [
        (f"Decile spread over {known.horizon} sessions", f"{1e4 * spread.mean:+.1f} bps (t {number(spread.t, '+.2f')})"),
        ("Turnover, one way", f"{number(traded, '.1f')} times equity a year"),
        ("Decile book before and after the spread", f"{gross:+.2%} and {net:+.2%} of equity a year"),
        *_book(known),
        ("Break-even quoted spread", f"{capacity.break_even_spread_bps:.1f} bps"),
        (
            "Capacity (impact halves the rest)",
            f"${capacity.equity_usd:,.0f}, 95 % interval ${capacity.equity_low_usd:,.0f} to ${capacity.equity_high_usd:,.0f}",
        ),
    ]


def _book(known: Evidence) -> list[tuple[str, str]]:
    """What the policy's own book earned walking forward, and how large a book that supports."""
    if (book := known.policy_book) is None:
        return []
    share = evidence_share(book.t)
    size = f"{share:.2f} of the book that Kelly and the caps allow" if share else "no book: a device stays flat"
    if not book.sessions:
        return [("Policy's own walk-forward book", "never traded: its IC asks for none"), ("Its evidence supports", size)]
    return [
        (
            "Policy's own walk-forward book, after all costs",
            f"{book.annual_return:+.2%} of equity a year at a mean gross of {book.gross:.0%} (t {book.t:+.2f}, {book.sessions} sessions)",
        ),
        ("Its Sharpe ratio", _interval(book.annual_sharpe, book.sharpe_low, book.sharpe_high, "+.2f")),
        (
            "Its log growth a year at the policy's share of Kelly, uncapped",
            _interval(book.growth, book.growth_low, book.growth_high, "+.1%"),
        ),
        ("Its evidence supports", size),
    ]


def _interval(value: float, low: float, high: float, form: str) -> str:
    return f"{value:{form}}, 95 % interval {low:{form}} to {high:{form}}"


def deflation(trials: Trials) -> list[tuple[str, str]]:
    """Lines about the Sharpe ratio and what the number of trials leaves of it."""
    states = ", ".join(f"{count} {state}" for state, count in trials.states.items() if count)
    lines = [("Trials that count", f"{trials.n_trials}{f' ({states})' if states else ''}")]
    if bins := trials.bins:
        shared, own, gap = (number(ratio, "+.2f") for ratio in (bins.shared, bins.per_split, bins.gap))
        lines.append(("Sharpe ratio in the search's shared bins", f"{shared}; in each split's own {own}: gap {gap}"))
    sharpe, pbo, hurdles, max_t = trials.sharpe, trials.pbo, trials.hurdles, trials.max_t
    if sharpe is None or pbo is None or hurdles is None or max_t is None:
        return [*lines, ("Sharpe ratio of the decile book", "n/a: it never moved")]
    overfit = number(pbo.value, ".1%") if pbo.applicable else pbo.reason
    return [
        *lines,
        ("Sharpe ratio of the walk-forward decile book", f"{sharpe.annual:+.2f} a year, net of the spread"),
        ("Deflated Sharpe ratio (2014, 2025)", f"{number(trials.dsr, '.3f')}, {number(trials.dsr_2025, '.3f')}"),
        ("Trials that differ (correlation 0.9)", str(hurdles.effective.trials)),
        ("Probability of backtest overfitting", f"{overfit}; loss out of sample {number(pbo.probability_of_loss, '.1%')}"),
        ("p-value as the best of all (max-t)", number(max_t.p, ".3f")),
        ("Track record needed and had", f"{number(trials.min_trl_sessions, ',.0f')} and {sharpe.sessions:,} sessions"),
    ]


def search_lines(found: SearchFigures) -> list[tuple[str, str]]:
    """Lines about a search by a task's own metric; the gain in pairs takes the place of a deflated Sharpe ratio."""
    states = ", ".join(f"{count} {state}" for state, count in found.states.items() if count)
    gain = "none: the best trial scores as the recipe does"
    if found.gain is not None:
        bound = f"lower bound {number(found.low, '+.4f')}, p {number(found.p, '.3f')} as the largest of {found.n_trials} (max-t)"
        gain = f"{found.gain:+.4f}, {bound if found.low is not None else 'on too few sessions for a bound'}"
    verdict = "better than the recipe as configured" if found.is_better else "none is shown to be better than the recipe as configured"
    return [
        ("Searched by", f"{found.metric}; no deflated Sharpe ratio is asked of it, but the gain in pairs"),
        ("Trials that count", f"{found.n_trials}{f' ({states})' if states else ''}"),
        ("Of the best trial, and of the recipe as configured", f"{number(found.value, '+.4f')} and {number(found.configured, '+.4f')}"),
        ("Gain in pairs, by session", gain),
        ("Verdict of the search", verdict),
        ("Probability of overfitting, by means", number(found.pbo.value, ".1%") if found.pbo.applicable else found.pbo.reason),
    ]


def _regimes(known: Evidence) -> list[tuple[str, str]]:
    return [
        (
            f"Market {row.regime} ({row.sessions} sessions): IC, walk-forward IC",
            f"{_with_error(row.ic, '')}; {_with_error(row.walk_forward_ic, '')}",
        )
        for row in known.regimes
    ]


def _calibration(known: Evidence) -> list[tuple[str, str]]:
    found = known.calibration
    if found is None or found.judged is None:
        return []
    cells = [f"{name} {one.brier:.4f} / {one.log_loss:.4f} / {one.ece:.4f}" for name, one in found.figures.items()]
    judged, z = found.judged, NormalDist().inv_cdf(0.95)
    low, high = (judged.slope + sign * z * judged.slope_error for sign in (-1, 1))
    return [
        (f"Probability that {found.event}: Brier, log loss, ECE", "; ".join(cells)),
        ("Calibration's slope (90 % interval), base rate", f"{judged.slope:.2f} ({low:.2f} to {high:.2f}), {judged.base_rate:.3f}"),
    ]


def explained(known: Evidence) -> list[tuple[str, str]]:
    """Lines about the features that a training was asked to explain: those of the largest SHAP, and those of the largest loss."""
    found = known.importance
    if found is None:
        return []
    large = sorted((found.shap or {}).items(), key=lambda row: -row[1])[:FEATURES_SHOWN]
    lost = sorted(found.by_feature, key=lambda row: -row.mean)[:FEATURES_SHOWN]
    lines = [("Features of the largest mean |SHAP|", ", ".join(f"{name} {value:.3g}" for name, value in large))] if large else []
    return [*lines, ("Features without which most IC is lost", ", ".join(f"{one.feature} {one.mean:+.4f}" for one in lost))]


def provenance(known: Evidence) -> list[tuple[str, str]]:
    """Lines about rows, folds, seal, data and program, which every training has."""
    parity, cpcv, holdout, data, training = known.parity, known.cpcv, known.holdout, known.dataset, known.training
    first, last = known.first_training_session, known.last_training_session
    if parity is None or cpcv is None:
        return []
    worst, with_nan = number(parity.max_difference, ".1e"), parity.rows_with_nan
    searched = known.part("search", SearchFigures)
    return [
        *(search_lines(searched) if searched.study else ()),
        ("Leak certificate", f"{known.leak_certificate.total} training rows over {cpcv.splits} splits"),
        ("ONNX against native", f"at most {worst} apart on {parity.rows:,} rows, {with_nan:,} of them with NaN"),
        ("Training rows", f"{training.rows:,} of {training.symbols} names, {first} to {last}"),
        (
            "Cross-validation",
            f"{cpcv.groups} groups, {cpcv.test_groups} tested: {cpcv.splits} splits, {cpcv.paths} paths, "
            f"embargo {cpcv.embargo_sessions} sessions, {cpcv.first} to {cpcv.last}",
        ),
        ("Sealed holdout", f"{holdout.first} to {holdout.last}, unopened" if holdout else "none"),
        ("Data", f"{data.name} version {data.version} ({data.vendor}), {known.snapshot_id[:12]}"),
        ("Universe", data.survivorship),
        ("Eligible names have", data.eligibility),
        ("Learner", f"{known.learner.kind} on {known.learner.device}"),
        ("Program and seed", f"{known.code_version}, seed {known.seed}"),
    ]


def _pictures(subject: ReportSubject) -> Mapping[str, bytes]:
    known, ic = subject.known, subject.known.ic
    holdout = (known.holdout.first, known.holdout.last) if known.holdout else None
    used = np.isfinite(subject.labelled).sum(axis=1)
    return {
        **_explained(known.importance),
        **_where_known(subject),
        "drawdown.png": plots.drawdown(subject.sessions[subject.book.rows], subject.book.net),
        "capacity.png": plots.capacity(known.capacity),
        "ic_by_path.png": plots.ic_by_path([path.mean for path in ic.by_path], ic.mean, ic.standard_error),
        "cumulative_ic.png": plots.cumulative_ic(subject.sessions, subject.series, subject.forward),
        "deciles.png": plots.decile_curve(known.deciles.curve, known.horizon),
        "importance.png": plots.importance(subject.names, subject.importance),
        "coverage.png": plots.coverage(subject.sessions, subject.eligible, used, holdout),
    }


def _where_known(subject: ReportSubject) -> Mapping[str, bytes]:
    """The pictures of what only some trainings have (`_is_known`)."""
    known, year = subject.known, float(np.sqrt(SESSIONS_PER_YEAR))
    trials, drawn = known.trials, {}
    if known.calibration:
        drawn[RELIABILITY] = plots.reliability(known.calibration.groups)
    if trials.sharpe and trials.benchmark_sharpe is not None and trials.n_trials:
        benchmark = trials.benchmark_sharpe * year
        drawn[TRIALS] = plots.trials(subject.trial_sharpes * year, trials.sharpe.annual, benchmark, trials.n_trials)
    if trials.pbo and trials.pbo.logits is not None and trials.pbo.value is not None:
        drawn[LOGITS] = plots.logits(trials.pbo.logits, trials.pbo.value)
    if known.ic.long_embargo and known.cpcv:
        lengths = (known.cpcv.embargo_sessions, known.cpcv.long_embargo_sessions)
        drawn[EMBARGOES] = plots.embargoes(known.ic.whole, known.ic.long_embargo, lengths)
    return drawn


def _explained(found: ImportanceFigures | None) -> Mapping[str, bytes]:
    if found is None:
        return {}
    single, joined = found.by_feature, found.by_cluster
    clusters = tuple(" ".join(loss.features[:3]) for loss in joined)
    drawn = {
        "importance_permuted.png": plots.losses(tuple(loss.feature for loss in single), np.array([loss.mean for loss in single])),
        "importance_clusters.png": plots.losses(clusters, np.array([loss.mean for loss in joined])),
    }
    if found.shap:
        drawn[SHAP] = plots.shap(tuple(found.shap), np.array(list(found.shap.values())))
    return drawn


def _with_error(figure: Mean, detail: str) -> str:
    known = f"{number(figure.mean, '+.4f')} ± {number(figure.standard_error, '.4f')}"
    t = figure.t
    return f"{known} (t {number(t, '+.2f')}{', ' + detail if detail else ''})"
