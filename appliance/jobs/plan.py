"""Morning job of D: builds the target weights and freezes the orders that lead to them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal

import numpy as np

from appliance.bundles.former_layout import move_former
from appliance.context import Deps
from appliance.controls import pause
from appliance.controls.measures import planned_book, turnover, turnover_jump
from appliance.controls.tripwires import Evaluation, Stage, TripwireFigures
from appliance.jobs.preconditions import held_snapshot, require_closed
from appliance.jobs.sizing import drawn_size, sizing_in_force
from appliance.jobs.sleeve_scores import gather_sleeves
from appliance.ledger import choices, plans
from appliance.ledger import scores as score_rows
from appliance.ledger import targets as target_rows
from appliance.ledger.figures import PlanFigures, RoundingFigures
from appliance.market.snapshot import DataSnapshot
from appliance.safety import broker_cross_check, reductions
from appliance.safety.broker_cross_check import CrossCheck, ExtremeReturns
from appliance.safety.enforce import asks_to_reduce, enforce
from appliance.safety.halt import warn
from appliance.safety.ramp import plan_turnovers, ramp_share
from appliance.safety.tripwire_figures import account_figures, machine_figures
from appliance.schedule.job import JobReport, JobStatus
from appliance.storage.published_sources import PublishedSources
from execution import morning
from execution.morning import ADV_SESSIONS, AccountReport, Evening, Morning, MorningTargets
from execution.orders import Plan, Provenance
from execution.planning.plan import no_curve
from execution.planning.volume_curve import StepSharesOf, step_shares
from portfolio.policy.blend import Blend
from portfolio.policy.sizing import Sizing
from portfolio.policy.target import NOT_BY_EVIDENCE, SIZED_BY, said_by_sleeve
from portfolio.risk.model import WINDOW_SESSIONS
from portfolio.weights import TargetWeights
from signals.market.bars import Bars
from signals.scoring.scores import z_scores
from signals.sleeves.risk import RISK


def plan(session: date, deps: Deps) -> JobReport:
    """Build the targets of D and freeze its orders; a plan that is frozen already is loaded.

    Raises
    ------
    SkipSession
        A person's pause, a tripwire, no feasible book, or sleeves without scores: more than half of the weight, or any that
        the settings refuse.
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
    pause.require_none(deps.fs, deps.folder, session)  # after what halts: a pause hides no loss
    held_back = reductions.in_force(deps.ledger)
    move_former(deps.folder, deps.fs)
    traded = gather_sleeves(session, asof, deps)
    snapshot = held_snapshot(asof, deps)
    ramp = ramp_share(deps, session, traded.lineages, {bundle.sha256 for bundle in traded.bundles.values()})
    book = _decide(session, traded.blend, snapshot, reported, ramp, deps)
    opinion, targets = book.opinion, book.decided.targets
    _save_targets(deps, targets, book.decided.current, book.seen)  # before anything skips: what was wanted is known then all the same
    moved, whole_moved = _turnover(targets, book.decided.path), _whole_turnover(book, ramp)
    figures = TripwireFigures(
        bundle_age=max(bundle.age_sessions / bundle.manifest.expiry_sessions for bundle in traded.bundles.values()),
        broken_promise=traded.broken_promise,
        turnover=moved,
        turnover_jump=turnover_jump(whole_moved if deps.config.sizing else moved, plan_turnovers(deps, session)),
    )
    reduce_only = asks_to_reduce((*found, *book.checks, *enforce(deps, session, Stage.TARGETS, figures))) or bool(held_back)
    provenance = Provenance(traded.blend.source, book.seen.snapshot_id, deps.config.decision_hash(), deps.code_version)
    drawn = drawn_size(session, targets, deps)  # before the plan is frozen: a run after that takes up the plan alone
    frozen = _freeze(book, reported, provenance, deps, reduce_only=reduce_only)
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
            **traded.figures(),
            parts=_parts(book.seen, targets, deps),
            completed=len(snapshot.completed),
            multiplier=targets.multiplier if deps.config.sizing else None,
            drawn=drawn,
            whole=targets.whole,
            whole_turnover=whole_moved,
            others={
                "reductions": [reductions.sentence(row) for row in held_back],
                "role": traded.weakest.role.value,
                "refusal": traded.weakest.refusal,
                "compared": opinion.compared,
                "left_out": opinion.reasons,
                "extreme_returns": {"traded_again": dict(book.extremes.confirmed), "waiting": dict(book.extremes.waiting)},
                "manifest_id": snapshot.manifest_id,
            },
        ),
    )


@dataclass(frozen=True, eq=False)
class DecidedBook:
    """The targets, what they were decided on, the broker's word on it, the checks of that word, its word on extreme returns, and sizing."""

    seen: Morning
    decided: MorningTargets
    opinion: CrossCheck
    checks: tuple[Evaluation, ...]
    extremes: ExtremeReturns
    sizing: Sizing | None


def _decide(session: date, blend: Blend, snapshot: DataSnapshot, reported: AccountReport, ramp: float, deps: Deps) -> DecidedBook:
    """Decide the targets, and again without the names that the broker does not confirm."""
    asof = deps.calendar.previous(session)
    bars = deps.market.bars(asof, WINDOW_SESSIONS)
    extremes = broker_cross_check.extreme_returns(deps, session, bars, snapshot, reported.positions)
    if words := extremes.sentence():
        warn(deps, f"extreme-{session}", "extreme returns of held names", words)
    evening = _evening(session, bars, snapshot, extremes.confirmed, deps)
    seen = broker_cross_check.without_disputed(morning.known(blend, evening), _kept(deps))
    path = morning.path_since(
        plans.before(deps.ledger, session), reported.account, session, deps.calendar, lambda day: deps.market.actions(day, asof)
    )
    sizing = sizing_in_force(session, asof, deps)
    decided = morning.wanted(seen, reported, deps.config.portfolio, session, path=path, ramp=ramp, sizing=sizing)
    opinion = broker_cross_check.cross_check(deps, session, seen, snapshot.basis, decided, reported)
    if opinion.reasons:
        warn(deps, f"opinion-{session}", "names that the broker does not confirm", opinion.sentence())
    checks = enforce(deps, session, Stage.OPINION, opinion.figures)
    if opinion.reasons:
        seen = broker_cross_check.without_disputed(seen, opinion.reasons)
        decided = morning.wanted(seen, reported, deps.config.portfolio, session, path=path, ramp=ramp, sizing=sizing)
    return DecidedBook(seen, decided, opinion, checks, extremes, sizing)


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


def _evening(session: date, bars: Bars, snapshot: DataSnapshot, confirmed: Collection[str], deps: Deps) -> Evening:
    asof = deps.calendar.previous(session)
    return Evening(
        bars,
        deps.market.closes(asof),
        deps.market.dollar_volumes(asof, ADV_SESSIONS),
        deps.market.actions(session, asof),
        snapshot.basis,
        snapshot.id,
        _volatility(asof, deps),
        confirmed,
        _step_shares(asof, deps),
    )


def _step_shares(asof: date, deps: Deps) -> StepSharesOf:
    """Return the volume curve of a name's minutes, where the hosted exchange trades in them."""
    config, entry = deps.config, deps.config.execution.entry
    if not (config.venue.is_hosted and config.venue.exchange.minutes and entry.is_stepped):
        return no_curve
    from signals.market.dataset import FOLDER, MinuteRows

    rows = MinuteRows.of(PublishedSources(config.stores).require_folder() / FOLDER)
    return lambda symbol: step_shares(rows.trailing_volumes(symbol, asof, deps.calendar), entry)


def _parts(seen: Morning, targets: TargetWeights, deps: Deps) -> dict[str, dict[str, float]] | None:
    """What each sleeve said of the names of the book, where there are several sleeves."""
    if len(deps.config.sleeves) == 1:
        return None
    said = said_by_sleeve(seen.scores, seen.risk, deps.config.portfolio.fixed_ic)
    book = set(targets.symbols)
    return {sleeve: {symbol: round(z, 4) for symbol, z in row.items() if symbol in book} for sleeve, row in said.items()}


def _volatility(asof: date, deps: Deps) -> dict[str, float]:
    """Annualised volatility forecasts recorded at asof; none where no risk bundle scored."""
    rows = score_rows.load(deps.ledger, asof, RISK.name)
    return {row.symbol: float(np.exp(row.score)) for row in rows}


def _turnover(targets: TargetWeights, current: Mapping[str, float]) -> float:
    names = sorted({*targets.symbols, *current})
    wanted = dict(zip(targets.symbols, targets.weights.tolist(), strict=True))
    return turnover(np.array([wanted.get(name, 0.0) for name in names]), np.array([current.get(name, 0.0) for name in names]))


def _whole_turnover(book: DecidedBook, ramp: float) -> float | None:
    """Return the turnover from the whole target book of five plans ago to this one, ramped as its step; None without one before.

    A policy that goes from a quarter of the book to all of it trades many times the usual, and that is no fault. So under a policy
    `TURNOVER_JUMP` compares this: a book that goes a fifth of the way each session lags about five plans behind its target.
    """
    whole = book.decided.targets.whole
    if whole is None or book.sizing is None or not book.sizing.books:
        return None
    names = sorted({*whole, *(before := book.sizing.books[0])})
    now, then = (np.array([one.get(name, 0.0) for name in names]) for one in (whole, before))
    return ramp * turnover(now, then)


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
