"""Morning of D: the targets, and the frozen orders that lead to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from appliance import reductions
from appliance.account import account_figures, machine_figures
from appliance.bundles import BundleStore
from appliance.deps import Deps
from appliance.job import JobReport, JobStatus
from appliance.jobs.gate import require_closed
from appliance.ledger import plans
from appliance.ledger import scores as score_rows
from appliance.ledger import targets as target_rows
from appliance.measures import planned_book, turnover, turnover_jump
from appliance.policy import bundle_policy, gross_share
from appliance.ramp import plan_turnovers, ramp_share
from appliance.recording import asks_to_reduce, enforce, record
from appliance.restating import reference_prices, renamed_risk, renamed_scores, weights_held
from appliance.tripwires import Action, Evaluation, Figures, Stage
from execution import planning
from execution.brokers.base import Position
from execution.orders import Plan, Provenance
from portfolio.build import build
from portfolio.config import PortfolioConfig
from portfolio.kelly import InformationCoefficient
from portfolio.risk import WINDOW_SESSIONS, RiskModel, estimate
from portfolio.weights import TargetWeights
from signals.actions import Action as CorporateAction
from signals.bundle import Bundle
from signals.errors import DataNotUsable, TripwireSkip
from signals.scores import Scores, blend

ADV_SESSIONS = 20


@dataclass(frozen=True)
class Morning:
    """What is known on the morning of D, under the names of D."""

    scores: Scores
    risk: RiskModel
    prices: Mapping[str, Decimal]
    adv_usd: Mapping[str, Decimal]
    snapshot_id: str


def plan(session: date, deps: Deps) -> JobReport:
    """Build the targets of D and freeze its orders; a plan that is frozen already is loaded.

    Raises
    ------
    SkipSession
        A tripwire, no feasible book, or rounding past its limit.
    TripwireHalt
        Losses, the account or the machine.
    """
    standing = plans.load(deps.ledger, session)
    if standing is not None:
        return _report(standing, {})
    asof = require_closed(session, deps)
    enforce(deps, session, Stage.MACHINE, machine_figures(deps))
    account, positions = deps.broker.account(), deps.broker.positions()
    found = enforce(deps, session, Stage.ACCOUNT, account_figures(deps, session, account, positions))
    held_back = reductions.standing(deps.ledger)
    bundle = BundleStore(deps.folder.bundles, deps.fs).load(bundle_policy(asof, deps.config, deps.calendar))
    morning = _morning(session, asof, bundle, deps)
    held = {position.symbol: position.quantity for position in positions}
    priced = {**_marks(positions), **morning.prices}
    current = weights_held(held, priced, account.equity)
    ramp = ramp_share(deps, session, bundle.sha256)
    targets = build(
        morning.scores, morning.risk, _limits(bundle, deps), current, session,
        ramp=ramp, equity_usd=float(account.equity),
    )  # fmt: skip
    moved = _turnover(targets, current)
    found = (*found, *enforce(deps, session, Stage.TARGETS, Figures(
        bundle_age=bundle.age_sessions / bundle.manifest.expiry_sessions, turnover=moved,
        turnover_jump=turnover_jump(moved, plan_turnovers(deps, session)),
    )))  # fmt: skip
    try:
        frozen = planning.plan(
            targets, held, morning.prices, account, _provenance(bundle, morning, deps), deps.config.execution.planning,
            deps.config.execution.pretrade, assets=deps.broker.assets(), adv_usd=morning.adv_usd,
            marks=_marks(positions), reduce_only=asks_to_reduce(found) or bool(held_back),
        )  # fmt: skip
    except TripwireSkip as error:
        _record_skip(deps, session, error)
        raise
    gross, net, name = planned_book(frozen.intents, held, priced, account.equity)
    enforce(deps, session, Stage.PLAN, Figures(
        planned_gross=gross, planned_net=abs(net) if isinstance(net, float) else None, planned_name=name,
        rounding=frozen.rounding_l1 / targets.gross if targets.gross > 0 else 0.0,
    ))  # fmt: skip
    _save_targets(deps, targets, current, morning)
    frozen = plans.save(deps.ledger, frozen, deps.clock.now())
    return _report(frozen, {
        "turnover": moved, "ramp": ramp, "gross": targets.gross, "net": targets.net,
        "decisions": [list(pair) for pair in targets.decisions],
        "reduce_only": asks_to_reduce(found) or bool(held_back),
        "reductions": [reductions.sentence(row) for row in held_back],
        "role": bundle.manifest.role.value, "refusal": bundle.manifest.refusal,
    })  # fmt: skip


def _morning(session: date, asof: date, bundle: Bundle, deps: Deps) -> Morning:
    snapshot = deps.market.snapshot()
    if snapshot is None:
        raise DataNotUsable("the market store is empty", mend="Run `appliance pull`")
    actions: tuple[CorporateAction, ...] = deps.market.actions(session, asof)
    scores = _blended(asof, deps)
    ic = InformationCoefficient(bundle.manifest.ic.mean, bundle.manifest.ic.t)
    risk = estimate(deps.market.bars(asof, WINDOW_SESSIONS), bundle.manifest.horizon_sessions, ic)
    volumes = deps.market.dollar_volumes(asof, ADV_SESSIONS)
    names = {a.symbol: a.new_symbol for a in actions if a.new_symbol}
    return Morning(
        renamed_scores(scores, actions), renamed_risk(risk, actions),
        reference_prices(deps.market.closes(asof), actions, snapshot.basis),
        {names.get(symbol, symbol): volume for symbol, volume in volumes.items()}, snapshot.id,
    )  # fmt: skip


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
        raise DataNotUsable(f"there are no scores of {asof}", mend="Run `appliance score`")
    return found[0] if len(found) == 1 else blend(found, weights)


def _marks(positions: Sequence[Position]) -> dict[str, Decimal]:
    """The broker's own prices, for holdings that had no bar at asof."""
    return {p.symbol: p.current_price for p in positions if p.current_price is not None and p.current_price > 0}


def _limits(bundle: Bundle, deps: Deps) -> PortfolioConfig:
    policy = deps.config.portfolio
    share = gross_share(bundle.manifest.role, deps.config)
    return policy.model_copy(update={"gross_target": policy.gross_target * share})


def _provenance(bundle: Bundle, morning: Morning, deps: Deps) -> Provenance:
    return Provenance(morning.scores.source, morning.snapshot_id, deps.config.decision_hash(), deps.code_version)


def _turnover(targets: TargetWeights, current: Mapping[str, float]) -> float:
    names = sorted({*targets.symbols, *current})
    wanted = dict(zip(targets.symbols, targets.weights.tolist(), strict=True))
    return turnover(
        np.array([wanted.get(name, 0.0) for name in names]), np.array([current.get(name, 0.0) for name in names])
    )


def _save_targets(deps: Deps, targets: TargetWeights, current: Mapping[str, float], morning: Morning) -> None:
    scores = morning.scores
    spread = float(np.std(scores.values)) or 1.0
    z = dict(zip(scores.symbols, ((scores.values - scores.values.mean()) / spread).tolist(), strict=True))
    sectors = dict(zip(morning.risk.symbols, morning.risk.sectors, strict=False))
    rows = [
        target_rows.TargetRow(
            targets.session, symbol, float(weight), current.get(symbol, 0.0), z.get(symbol), sectors.get(symbol, "")
        )
        for symbol, weight in zip(targets.symbols, targets.weights, strict=True)
    ]
    target_rows.save(deps.ledger, targets.session, rows)


def _record_skip(deps: Deps, session: date, error: TripwireSkip) -> None:
    if error.where == "ROUNDING":
        limit = deps.config.execution.planning.max_rounding
        record(deps, session, [Evaluation("ROUNDING", None, limit, Action.SKIP, True, error.what)])


def _report(frozen: Plan, figures: dict[str, object]) -> JobReport:
    notional = sum((abs(intent.notional) for intent in frozen.intents), start=Decimal(0))
    why = "" if frozen.intents else "; the book stays as it is"
    return JobReport(
        "plan", frozen.session, JobStatus.DONE,
        f"{len(frozen.intents)} orders for {notional:,.0f} USD, {len(frozen.refusals)} refused{why}",
        {**figures, "orders": len(frozen.intents), "refused": len(frozen.refusals), "notional_usd": str(notional),
         "equity": str(frozen.equity), "digest": frozen.digest, "rounding_l1": frozen.rounding_l1},
    )  # fmt: skip
