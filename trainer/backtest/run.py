"""One backtest from a run folder to a folder of files: orders, fills, daily values, figures and a report.

Invariants
----------
1. No session is traded on scores of a model that had seen it; the files say who scored each session.
2. The same run, dataset, range and settings give the same bytes.
3. The folder is whole or absent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from signals.errors import FixInput
from trainer import artefacts
from trainer.backtest.archive import Archive, open_archive
from trainer.backtest.benchmark import benchmark_of
from trainer.backtest.engine import Progress
from trainer.backtest.scored import Origin, Scored, scored, tradable
from trainer.backtest.subject import Settings, Subject, subject_of, trade
from trainer.backtest.summary import summary
from trainer.backtest.tables import Context, fills_table, nav_table, orders_table, parquet
from trainer.validation import dsr

ORDERS, FILLS, NAV, FIGURES = "orders.parquet", "fills.parquet", "nav.parquet", "backtest.json"


@dataclass(frozen=True)
class Request:
    """What is backtested.

    Attributes
    ----------
    first, last : date
        Ends of the range; sessions at them without unseen scores are left out.
    benchmark : str
        A symbol, or empty for the equal-weight universe.
    """

    run: Path
    data: Path
    first: date
    last: date
    settings: Settings
    code_version: str
    benchmark: str = ""


@dataclass(frozen=True, eq=False)
class Result:
    """What came of it: the figures, the daily table and the files but for the report's."""

    figures: dict[str, Any]
    nav: pa.Table
    files: Mapping[str, bytes]


def backtest(request: Request, step: Progress = lambda day: None) -> Result:
    """Trade the range and return every figure and file of it.

    Raises
    ------
    FixInput
        The run, dataset or benchmark cannot be used, or the entry is not one that daily bars show.
    NotASession
        The range lacks unseen scores.
    TooLittleHistory
        No session of it could be traded.
    """
    if request.first > request.last:
        raise FixInput(f"{request.first} is after {request.last}", where="--start, --end", mend="Swap them")
    subject = _reaching(subject_of(request.run, request.data), request)
    archive = subject.archive
    benchmark = benchmark_of(archive, request.benchmark)
    unseen = scored(subject)
    days = tradable(unseen, request.first, request.last, int(subject.evidence["horizon"]))
    policy = subject.policy(request.settings, request.code_version)
    course = trade(archive, policy, request.settings, list(days), unseen.on, step)
    nav = nav_table(course, Context(archive, unseen, benchmark))
    told = summary(course, archive, benchmark)
    figures = {
        **told,
        "certainty": certainty(told["net"], subject.evidence.get("trials")),
        "scores": origins(unseen, days),
        "left_out": _left_out(archive, request, days),
        "provenance": _provenance(subject, request),
        "warnings": [],
    }
    figures["warnings"] = warnings_of(figures)
    files = {
        ORDERS: parquet(orders_table(course)), FILLS: parquet(fills_table(course)), NAV: parquet(nav),
        FIGURES: artefacts.canonical_json(figures),
    }  # fmt: skip
    return Result(figures, nav, files)


def certainty(net: Mapping[str, Any], trials: Mapping[str, Any] | None) -> dict[str, float | int | None]:
    """PSR of the net returns, and their DSR over the trials of the run where those were counted."""
    if net["sharpe"] is None:
        return {"psr": None, "dsr": None, "trials": None}
    moments = {"skewness": net["skewness"], "kurtosis": net["kurtosis"]}
    psr = dsr.probabilistic_sharpe_ratio(net["sharpe"], net["sessions"], **moments)
    if not trials or trials.get("n_trials") is None or trials.get("variance_of_sharpes") is None:
        return {"psr": psr, "dsr": None, "trials": None}
    count = int(trials["n_trials"])
    deflated = dsr.deflated_sharpe_ratio(
        net["sharpe"], net["sessions"], trials=count, variance_of_trials=float(trials["variance_of_sharpes"]), **moments
    )
    return {"psr": psr, "dsr": deflated, "trials": count}


def origins(unseen: Scored, days: Sequence[date]) -> list[dict[str, Any]]:
    """Stretches of trade sessions by who scored them, oldest first."""
    calendar = unseen.archive.manifest.calendar
    found: list[dict[str, Any]] = []
    for day in days:
        origin = unseen.origin(calendar.previous(day)).value
        if not found or found[-1]["origin"] != origin:
            found.append({"origin": origin, "first": str(day), "last": str(day), "sessions": 0})
        found[-1]["last"] = str(day)
        found[-1]["sessions"] += 1
    return found


def warnings_of(figures: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the figures."""
    known = figures["provenance"]
    found = []
    if known["fixed_ic"] is not None:
        found.append(
            f"The book is sized by a fixed IC of {known['fixed_ic']:g}, a rehearsal: no evidence stands behind it."
        )
    else:
        found.append("Sized by the IC of the whole cross-validation: the book's size knows the range, its ranking not.")
    if figures["left_out"]:
        found.append(
            f"{figures['left_out']} sessions of the range asked for have no unseen scores and were not traded."
        )
    held = sum(row["sessions"] for row in figures["scores"] if row["origin"] == Origin.NONE)
    if held:
        found.append(f"In {held} sessions inside the range the book was held: they have no unseen scores.")
    if known["survivorship"] != "point-in-time":
        found.append(f"Universe: {known['survivorship']}; names that died may be missing, which flatters every figure.")
    if figures["costs"]["unpriced"]:
        names = figures["costs"]["unpriced"]
        found.append(f"Impact or borrow of {len(names)} names is not known and not charged: {', '.join(names[:8])}.")
    for reason, count in Counter(figures["skipped"]).most_common(3):
        found.append(f"{count} sessions without a plan: {reason}.")
    return found


def _reaching(subject: Subject, request: Request) -> Subject:
    """Return the subject on its dataset's newest version where the range goes on after what the run was given."""
    kept = subject.archive
    if request.last <= kept.manifest.last:
        return subject
    newest = open_archive(request.data)
    same = (newest.manifest.name, newest.manifest.vendor) == (kept.manifest.name, kept.manifest.vendor)
    return replace(subject, archive=newest) if same and newest.manifest.last > kept.manifest.last else subject


def _left_out(archive: Archive, request: Request, days: Sequence[date]) -> int:
    calendar = archive.manifest.calendar
    asked = calendar.between(max(request.first, archive.manifest.first), min(request.last, archive.manifest.last))
    return len(asked) - len(days)


def _provenance(subject: Subject, request: Request) -> dict[str, Any]:
    evidence, settings = subject.evidence, request.settings
    return {
        "run": subject.run.name, "sleeve": evidence["sleeve"], "horizon": evidence["horizon"],
        "last_training_session": evidence.get("last_training_session"), "trained_by": evidence.get("code_version"),
        "snapshot_id": subject.archive.manifest.snapshot_id, "dataset": subject.archive.manifest.name,
        "vendor": subject.archive.manifest.vendor, "survivorship": subject.archive.manifest.survivorship,
        "settings": settings.fingerprint(), "fixed_ic": settings.portfolio.fixed_ic,
        "ic": {"mean": subject.ic.mean, "t": subject.ic.t}, "seed": settings.seed, "code_version": request.code_version,
        "asked": {"first": str(request.first), "last": str(request.last)}, "mode": settings.portfolio.mode,
    }  # fmt: skip
