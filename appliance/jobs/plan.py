"""Morning job of D: builds the target weights and freezes the orders that lead to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import numpy as np

from appliance.bundles.accepted_roles import bundle_policy, is_rehearsal
from appliance.bundles.store import BundleStore
from appliance.context import Deps
from appliance.controls.measures import planned_book, turnover, turnover_jump
from appliance.controls.tripwires import Evaluation, Stage, TripwireFigures
from appliance.jobs.preconditions import held_snapshot, require_closed
from appliance.ledger import choices, plans
from appliance.ledger import scores as score_rows
from appliance.ledger import targets as target_rows
from appliance.ledger.figures import PlanFigures, RoundingFigures
from appliance.market.snapshot import DataSnapshot
from appliance.safety import broker_cross_check, reductions
from appliance.safety.account_measures import account_figures, machine_figures
from appliance.safety.broker_cross_check import CrossCheck
from appliance.safety.enforce import asks_to_reduce, enforce
from appliance.safety.halt import notify
from appliance.safety.ramp import plan_turnovers, ramp_share
from appliance.schedule.job import JobReport, JobStatus
from appliance.system.ports import Severity
from execution import morning
from execution.morning import ADV_SESSIONS, AccountReport, Evening, Morning, MorningTargets
from execution.orders import Plan, Provenance
from portfolio.policy.target import NOT_BY_EVIDENCE, SIZED_BY
from portfolio.risk.kelly import SizingCoefficient
from portfolio.risk.model import WINDOW_SESSIONS
from portfolio.weights import TargetWeights
from signals.bundle import Bundle
from signals.errors import DataNotUsable
from signals.monitoring.expectation import policy_book_of
from signals.scoring.scores import Scores, blend, z_scores
from signals.sleeves.risk import RISK


def plan(session: date, deps: Deps) -> JobReport:
    """Build the targets of D and freeze its orders; a plan that is frozen already is loaded.

    Raises
    ------
    SkipSession
        A tripwire, or no feasible book.
    TripwireHalt
        Losses, the account or the machine.
    """
    existing = plans.load(deps.ledger, session)
    if existing is not None:
        return _report(existing, PlanFigures())
    asof = require_closed(session, deps)
    enforce(deps, session, Stage.MACHINE, machine_figures(deps))
    reported = AccountReport(deps.broker.account(), deps.broker.positions())
    found = enforce(deps, session, Stage.ACCOUNT, account_figures(deps, session, reported.account, reported.positions))
    held_back = reductions.in_force(deps.ledger)
    bundle = BundleStore(deps.folder.bundles, deps.fs).load(bundle_policy(asof, deps.config, deps.calendar))
    snapshot = held_snapshot(asof, deps)
    ramp = ramp_share(deps, session, bundle)
    book = _decide(session, bundle, snapshot, reported, ramp, deps)
    opinion, targets = book.opinion, book.decided.targets
    _save_targets(deps, targets, book.decided.current, book.seen)  # before anything skips: what was wanted is known then all the same
    moved = _turnover(targets, book.decided.path)
    figures = TripwireFigures(
        bundle_age=bundle.age_sessions / bundle.manifest.expiry_sessions,
        turnover=moved,
        turnover_jump=turnover_jump(moved, plan_turnovers(deps, session)),
    )
    found = (*found, *book.checks, *enforce(deps, session, Stage.TARGETS, figures))
    reduce_only = asks_to_reduce(found) or bool(held_back)
    frozen = _freeze(book, reported, _provenance(bundle, book.seen, deps), deps, reduce_only=reduce_only)
    return _report(
        frozen,
        PlanFigures(
            decisions=targets.decisions,
            sized_by=dict(targets.decisions)[SIZED_BY],
            ramp=ramp,
            turnover=moved,
            gross=targets.gross,
            net=targets.net,
            reduce_only=reduce_only,
            lineage=bundle.manifest.lineage,
            sleeves=_shares(asof, deps),
            completed=len(snapshot.completed),
            others={
                "reductions": [reductions.sentence(row) for row in held_back],
                "role": bundle.manifest.role.value,
                "refusal": bundle.manifest.refusal,
                "compared": opinion.compared,
                "left_out": opinion.reasons,
                "manifest_id": snapshot.manifest_id,
            },
        ),
    )


@dataclass(frozen=True, eq=False)
class DecidedBook:
    """The targets, what they were decided on, the broker's word on it, and the checks of that word."""

    seen: Morning
    decided: MorningTargets
    opinion: CrossCheck
    checks: tuple[Evaluation, ...]


def _decide(session: date, bundle: Bundle, snapshot: DataSnapshot, reported: AccountReport, ramp: float, deps: Deps) -> DecidedBook:
    """Decide the targets, and again without the names that the broker does not confirm."""
    asof = deps.calendar.previous(session)
    seen = broker_cross_check.without_disputed(_morning(session, asof, bundle, snapshot, deps), _kept(deps))
    path = morning.path_since(
        plans.before(deps.ledger, session), reported.account, session, deps.calendar, lambda day: deps.market.actions(day, asof)
    )
    decided = morning.wanted(seen, reported, deps.config.portfolio, session, path=path, ramp=ramp)
    opinion = broker_cross_check.cross_check(deps, session, seen, snapshot.basis, decided, reported)
    if opinion.reasons:
        notify(deps, Severity.WARN, f"opinion-{session}", "names that the broker does not confirm", opinion.sentence())
    checks = enforce(deps, session, Stage.OPINION, opinion.figures)
    if opinion.reasons:
        seen = broker_cross_check.without_disputed(seen, opinion.reasons)
        decided = morning.wanted(seen, reported, deps.config.portfolio, session, path=path, ramp=ramp)
    return DecidedBook(seen, decided, opinion, checks)


def _freeze(book: DecidedBook, reported: AccountReport, provenance: Provenance, deps: Deps, *, reduce_only: bool) -> Plan:
    """Plan the orders, check the book that they lead to, and commit the plan."""
    config, targets = deps.config.execution, book.decided.targets
    frozen = morning.orders(book.seen, targets, reported, deps.broker.assets(), provenance, config, reduce_only=reduce_only)
    frozen = broker_cross_check.with_refusals(frozen, book.opinion.reasons)
    priced, equity = reported.priced(book.seen.prices), reported.account.equity
    gross, net, name = planned_book(frozen.intents, reported.shares, priced, equity)
    figures = TripwireFigures(
        planned_gross=gross, planned_net=abs(net) if isinstance(net, float) else None, planned_name=name, rounding=frozen.rounding.share
    )
    enforce(deps, targets.session, Stage.PLAN, figures)
    return plans.save(deps.ledger, frozen, deps.clock.now())


def _kept(deps: Deps) -> dict[str, str]:
    """The names that are no part of the book, so that none is aimed at."""
    return dict.fromkeys(choices.chosen(deps.ledger, choices.Choice.KEPT), "kept by a person")


def _morning(session: date, asof: date, bundle: Bundle, snapshot: DataSnapshot, deps: Deps) -> Morning:
    book, known = policy_book_of(bundle), bundle.manifest.ic
    ic = SizingCoefficient(known.mean, known.t, book.t if book else None, is_rehearsal(bundle.manifest.role, deps.config))
    evening = Evening(
        deps.market.bars(asof, WINDOW_SESSIONS),
        deps.market.closes(asof),
        deps.market.dollar_volumes(asof, ADV_SESSIONS),
        deps.market.actions(session, asof),
        snapshot.basis,
        snapshot.id,
        _volatility(asof, deps),
    )
    return morning.known(_blended(asof, deps), evening, bundle.manifest.horizon_sessions, ic)


def _volatility(asof: date, deps: Deps) -> dict[str, float]:
    """Annualised volatility forecasts recorded at asof; none where no risk bundle scored."""
    rows = score_rows.load(deps.ledger, asof, RISK.name)
    return {row.symbol: float(np.exp(row.score)) for row in rows}


def _blended(asof: date, deps: Deps) -> Scores:
    """Scores of every routed sleeve that has any at asof, as they were recorded; one sleeve is taken as it is."""
    found, weights = [], []
    for sleeve, weight in deps.config.router.weights.items():
        rows = sorted(score_rows.load(deps.ledger, asof, sleeve), key=lambda row: row.symbol)
        if rows:
            values = np.array([row.score for row in rows])
            found.append(Scores(asof, sleeve, tuple(row.symbol for row in rows), values, rows[0].source))
            weights.append(weight)
    if not found:
        raise DataNotUsable(f"there are no scores of {asof}", fix="Run `appliance score`")
    return found[0] if len(found) == 1 else blend(found, weights)


def _shares(asof: date, deps: Deps) -> dict[str, float]:
    """How much each sleeve with scores at asof counts in the blend; they sum to 1."""
    counted = {sleeve: weight for sleeve, weight in deps.config.router.weights.items() if score_rows.load(deps.ledger, asof, sleeve)}
    return {sleeve: weight / sum(counted.values()) for sleeve, weight in counted.items()}


def _provenance(bundle: Bundle, seen: Morning, deps: Deps) -> Provenance:
    return Provenance(seen.scores.source, seen.snapshot_id, deps.config.decision_hash(), deps.code_version)


def _turnover(targets: TargetWeights, current: Mapping[str, float]) -> float:
    names = sorted({*targets.symbols, *current})
    wanted = dict(zip(targets.symbols, targets.weights.tolist(), strict=True))
    return turnover(np.array([wanted.get(name, 0.0) for name in names]), np.array([current.get(name, 0.0) for name in names]))


def _save_targets(deps: Deps, targets: TargetWeights, current: Mapping[str, float], seen: Morning) -> None:
    scores = seen.scores
    z = dict(zip(scores.symbols, np.nan_to_num(z_scores(scores.values)).tolist(), strict=True))
    sectors = dict(zip(seen.risk.symbols, seen.risk.sectors, strict=False))
    rows = [
        target_rows.TargetRow(targets.session, symbol, float(weight), current.get(symbol, 0.0), z.get(symbol), sectors.get(symbol, ""))
        for symbol, weight in zip(targets.symbols, targets.weights, strict=True)
    ]
    target_rows.save(deps.ledger, targets.session, rows)


def _report(frozen: Plan, figures: PlanFigures) -> JobReport:
    notional = sum((abs(intent.notional) for intent in frozen.intents), start=Decimal(0))
    return JobReport(
        "plan",
        frozen.session,
        JobStatus.DONE,
        f"{len(frozen.intents)} orders for {notional:,.0f} USD, {len(frozen.refusals)} refused{_why(frozen, figures)}",
        replace(
            figures,
            others={
                **figures.others,
                "orders": len(frozen.intents),
                "refused": len(frozen.refusals),
                "notional_usd": notional,
                "equity": frozen.equity,
                "digest": frozen.digest,
                "rounding_l1": frozen.rounding.nearest_l1,
                "rounding": RoundingFigures.of(frozen.rounding),
            },
        ),
    )


def _why(frozen: Plan, figures: PlanFigures) -> str:
    """Say what sized the book, where that was no evidence, and why it is flat or stays."""
    sized, flat = figures.sized_by or "", figures.by_name.get("flat", "")
    parts = [sized] if sized.startswith(NOT_BY_EVIDENCE) else []
    if flat:
        parts.append(f"flat: {flat}")
    elif not frozen.intents:
        parts.append(_standstill(frozen))
    return "".join(f"; {part}" for part in parts)


def _standstill(frozen: Plan) -> str:
    """Say why there is no order: targets that no whole share expresses yet, or a book that stays."""
    rounding = frozen.rounding
    if rounding.target_gross > 0 and rounding.planned_gross == 0:
        return f"no trade: {rounding.target_gross * float(frozen.equity):,.0f} USD of targets"
    return "the book stays as it is"
