"""The tripwires: a table of limits, each with a measured figure, a threshold and an action. Pure.

Entry points: `TRIPWIRES` (the table), `check` (the rows of one stage against the day's figures), `worst` (what a job
does about them).

Invariants
----------
1. A missing or non-finite figure trips: fail closed. `NOT_YET` (too little history), `NO_SENSOR` (the machine has
   none) and `NOT_JUDGED` (no limit, or not computed here) are declared by the measure, said in words, and do not trip.
2. A figure exactly at its limit does not trip.
3. Every row of a stage is evaluated and recorded, tripped or not.
4. A check reads its figure and its limit and nothing else: no clock, no disk, no network.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class TripwireAction(StrEnum):
    """The action of a tripped row, mildest first."""

    WARN = "warn"  # notify a person, change nothing
    REFUSE = "refuse"  # drop the orders that break the limit, go on
    REDUCE = "reduce"  # only orders that lower an absolute position
    SKIP = "skip"  # no new orders this session
    HALT = "halt"  # close the latch, cancel working orders, wait for a person


class Rearm(StrEnum):
    """Who lets the device go on after the row tripped."""

    AUTO = "auto"
    HUMAN = "human"
    NEW_BUNDLE = "new bundle"


class Stage(StrEnum):
    """When in the day a row's figure is known."""

    DATA = "data"
    SCORES = "scores"
    ACCOUNT = "account"
    OPINION = "opinion"
    TARGETS = "targets"
    PLAN = "plan"
    ORDERS = "orders"
    MACHINE = "machine"
    REVIEW = "review"


class NotYet(StrEnum):
    """A figure that is undefined for a declared reason."""

    TOO_LITTLE_HISTORY = "too little history yet"
    NO_SENSOR = "this machine has no such sensor"
    NOT_JUDGED = "not judged: the bundle carries no such limits, or the features are not computed here"


NOT_YET: Final = NotYet.TOO_LITTLE_HISTORY
NO_SENSOR: Final = NotYet.NO_SENSOR
NOT_JUDGED: Final = NotYet.NOT_JUDGED
Figure = float | NotYet | None


@dataclass(frozen=True)
class TripwireFigures:
    """The day's measured figures; None where one could not be measured. Shares are fractions, not per cent."""

    red_datasets: Figure = None
    stale_sessions: Figure = None
    coverage: Figure = None
    invalid_scores: Figure = None
    feature_drift: Figure = None
    score_drift: Figure = None
    evening_step: Figure = None
    feature_relations: Figure = None
    recomputed_features: Figure = None
    bundle_age: Figure = None
    broken_promise: Figure = None
    turnover: Figure = None
    turnover_jump: Figure = None
    planned_gross: Figure = None
    planned_net: Figure = None
    planned_name: Figure = None
    rounding: Figure = None
    held_gross: Figure = None
    daily_loss: Figure = None
    drawdown: Figure = None
    account_faults: Figure = None
    recon_breaks: Figure = None
    halt_requests: Figure = None
    excess_orders: Figure = None
    resends: Figure = None
    excess_plan: Figure = None
    duplicates: Figure = None
    rejected: Figure = None
    unknown_orders: Figure = None
    oversized_orders: Figure = None
    collar_refusals: Figure = None
    slippage: Figure = None
    slippage_sessions: Figure = None
    disputed_names: Figure = None
    disputed_gross: Figure = None
    moved_positions: Figure = None
    unexplained_equity: Figure = None
    clock_skew_seconds: Figure = None
    free_disk: Figure = None
    temperature_celsius: Figure = None
    under_voltage: Figure = None


@dataclass(frozen=True)
class Tripwire:
    """One row.

    Attributes
    ----------
    measure : str
        The field of `TripwireFigures` that it looks at.
    limit : str or float
        Its name among the device's limits, or a number that no configuration may move.
    says : str
        Description of the figure, for the report.
    trips_below : bool
        Trips under its limit instead of above it.
    """

    name: str
    measure: str
    limit: str | float
    action: TripwireAction
    rearm: Rearm
    stage: Stage
    says: str
    trips_below: bool = False


# Limits that are never configurable are numbers here: no amount of them is tolerable.
TRIPWIRES: tuple[Tripwire, ...] = (
    Tripwire("DATA_NOT_USABLE", "red_datasets", 0.0, TripwireAction.SKIP, Rearm.AUTO, Stage.DATA,
             "required datasets that are RED or absent at asof"),
    Tripwire("DATA_STALE", "stale_sessions", 0.0, TripwireAction.SKIP, Rearm.AUTO, Stage.DATA,
             "sessions between the newest bar and asof"),
    Tripwire("COVERAGE", "coverage", "min_coverage", TripwireAction.SKIP, Rearm.AUTO, Stage.SCORES,
             "scored / eligible names", trips_below=True),
    Tripwire("SCORES_INVALID", "invalid_scores", "max_invalid_scores", TripwireAction.SKIP, Rearm.AUTO, Stage.SCORES,
             "share of tied scores; 1 when constant or not finite"),
    Tripwire("DRIFT_FEATURES", "feature_drift", 1.0, TripwireAction.WARN, Rearm.AUTO, Stage.REVIEW,
             "worst feature PSI / its limit from the training history"),
    Tripwire("DRIFT_PSI", "score_drift", 1.0, TripwireAction.WARN, Rearm.AUTO, Stage.SCORES,
             "score PSI / its limit from the training history"),
    Tripwire("DRIFT_STEP", "evening_step", 1.0, TripwireAction.SKIP, Rearm.AUTO, Stage.SCORES,
             "worst change of names' order, scale or presence since the accepted evening before / its limit"),
    Tripwire("DRIFT_RELATIONS", "feature_relations", 1.0, TripwireAction.SKIP, Rearm.AUTO, Stage.SCORES,
             "worst rank correlation between features, as a distance from training / its limit"),
    Tripwire("DRIFT_RECOMPUTED", "recomputed_features", 1.0, TripwireAction.SKIP, Rearm.AUTO, Stage.SCORES,
             "worst difference of the accepted evening's features, computed anew, from their record / its limit"),
    Tripwire("SECOND_OPINION", "disputed_names", "max_disputed_names", TripwireAction.SKIP, Rearm.AUTO, Stage.OPINION,
             "compared names whose price or corporate actions the broker does not confirm"),
    Tripwire("SECOND_OPINION_GROSS", "disputed_gross", "max_disputed_gross", TripwireAction.SKIP, Rearm.AUTO, Stage.OPINION,
             "gross exposure, held or wanted, in names that the broker does not confirm"),
    Tripwire("EQUITY_JUMP", "unexplained_equity", "max_unexplained_equity", TripwireAction.SKIP, Rearm.AUTO, Stage.OPINION,
             "equity that the agreed cash and holdings do not explain"),
    Tripwire("POSITIONS_JUMP", "moved_positions", 0.0, TripwireAction.SKIP, Rearm.AUTO, Stage.OPINION,
             "holdings that changed since the morning's reconcile"),
    Tripwire("BUNDLE_AGEING", "bundle_age", "warn_bundle_age", TripwireAction.WARN, Rearm.NEW_BUNDLE, Stage.TARGETS,
             "sessions since training / the bundle's limit"),
    Tripwire("BUNDLE", "bundle_age", "max_bundle_age", TripwireAction.REDUCE, Rearm.NEW_BUNDLE, Stage.TARGETS,
             "sessions since training / the bundle's limit"),
    Tripwire("EXPECTATION", "broken_promise", "max_broken_promise", TripwireAction.REDUCE, Rearm.NEW_BUNDLE, Stage.TARGETS,
             "evidence that a model no longer is the one promoted / what refutes it"),
    Tripwire("TURNOVER", "turnover", "max_turnover", TripwireAction.SKIP, Rearm.AUTO, Stage.TARGETS,
             "one-sided turnover of the plan"),
    Tripwire("TURNOVER_JUMP", "turnover_jump", "max_turnover_jump", TripwireAction.SKIP, Rearm.AUTO, Stage.TARGETS,
             "turnover / median of the last 20 plans"),
    Tripwire("GROSS", "planned_gross", "max_planned_gross", TripwireAction.REFUSE, Rearm.AUTO, Stage.PLAN,
             "gross exposure with every planned order filled"),
    Tripwire("NET", "planned_net", "max_net", TripwireAction.REFUSE, Rearm.AUTO, Stage.PLAN,
             "absolute net exposure with every planned order filled"),
    Tripwire("NAME", "planned_name", "max_name", TripwireAction.REFUSE, Rearm.AUTO, Stage.PLAN,
             "largest absolute position with every planned order filled"),
    Tripwire("ROUNDING", "rounding", "max_rounding", TripwireAction.REDUCE, Rearm.AUTO, Stage.PLAN,
             "share of the target book that its nearest whole shares miss"),
    Tripwire("GROSS_HELD", "held_gross", "max_held_gross", TripwireAction.REDUCE, Rearm.AUTO, Stage.ACCOUNT,
             "gross exposure held"),
    Tripwire("DAILY_LOSS", "daily_loss", "reduce_daily_loss", TripwireAction.REDUCE, Rearm.HUMAN, Stage.ACCOUNT,
             "loss against the last session's equity"),
    Tripwire("DAILY_LOSS_HALT", "daily_loss", "halt_daily_loss", TripwireAction.HALT, Rearm.HUMAN, Stage.ACCOUNT,
             "loss against the last session's equity"),
    Tripwire("DRAWDOWN", "drawdown", "reduce_drawdown", TripwireAction.REDUCE, Rearm.HUMAN, Stage.ACCOUNT,
             "loss against the highest equity seen"),
    Tripwire("DRAWDOWN_HALT", "drawdown", "halt_drawdown", TripwireAction.HALT, Rearm.HUMAN, Stage.ACCOUNT,
             "loss against the highest equity seen"),
    Tripwire("ACCOUNT", "account_faults", 0.0, TripwireAction.HALT, Rearm.HUMAN, Stage.ACCOUNT,
             "account not active, blocked, or not the one of yesterday"),
    Tripwire("RECON_BREAK", "recon_breaks", 0.0, TripwireAction.HALT, Rearm.HUMAN, Stage.ACCOUNT,
             "differences between ledger and broker that nothing explains"),
    Tripwire("MANUAL", "halt_requests", 0.0, TripwireAction.HALT, Rearm.HUMAN, Stage.MACHINE,
             "a person's request to halt"),
    Tripwire("ORDER_COUNT", "excess_orders", 0.0, TripwireAction.HALT, Rearm.HUMAN, Stage.ORDERS,
             "orders beyond the plan's intents and permitted attempts"),
    Tripwire("RESENDS", "resends", "max_resends", TripwireAction.HALT, Rearm.HUMAN, Stage.ORDERS,
             "orders sent twice today"),
    Tripwire("PLAN_CONSERVATION", "excess_plan", 0.0, TripwireAction.HALT, Rearm.HUMAN, Stage.ORDERS,
             "orders whose side or quantity is not the plan's"),
    Tripwire("DUPLICATE", "duplicates", 0.0, TripwireAction.HALT, Rearm.HUMAN, Stage.ORDERS,
             "live orders that share a key"),
    Tripwire("REJECT_RATE", "rejected", "max_rejected", TripwireAction.HALT, Rearm.HUMAN, Stage.ORDERS,
             "refused / sent orders, from five sent on"),
    Tripwire("UNKNOWN_ORDER", "unknown_orders", 0.0, TripwireAction.HALT, Rearm.HUMAN, Stage.ORDERS,
             "orders whose outcome could not be proven"),
    Tripwire("ORDER_NOTIONAL", "oversized_orders", 0.0, TripwireAction.REFUSE, Rearm.AUTO, Stage.ORDERS,
             "orders refused for their size against equity and volume"),
    Tripwire("PRICE_COLLAR", "collar_refusals", "max_collar_refusals", TripwireAction.HALT, Rearm.HUMAN, Stage.ORDERS,
             "orders refused for a price too far from the market's"),
    Tripwire("SLIPPAGE", "slippage", "warn_slippage", TripwireAction.WARN, Rearm.AUTO, Stage.ACCOUNT,
             "cost of 20 sessions' fills against their opens / the cost model's"),
    Tripwire("SLIPPAGE_HALT", "slippage_sessions", "max_slippage_sessions", TripwireAction.HALT, Rearm.HUMAN, Stage.ACCOUNT,
             "sessions in a row with SLIPPAGE over its limit"),
    Tripwire("CLOCK_SKEW", "clock_skew_seconds", "warn_skew_seconds", TripwireAction.WARN, Rearm.AUTO, Stage.MACHINE,
             "seconds between the device's and the broker's clock"),
    Tripwire("CLOCK", "clock_skew_seconds", "halt_skew_seconds", TripwireAction.HALT, Rearm.HUMAN, Stage.MACHINE,
             "seconds between the device's and the broker's clock"),
    Tripwire("DISK_LOW", "free_disk", "warn_free_disk", TripwireAction.WARN, Rearm.AUTO, Stage.MACHINE,
             "free share of the disk", trips_below=True),
    Tripwire("DISK", "free_disk", "halt_free_disk", TripwireAction.HALT, Rearm.HUMAN, Stage.MACHINE,
             "free share of the disk", trips_below=True),
    Tripwire("TEMP", "temperature_celsius", "warn_temperature_celsius", TripwireAction.WARN, Rearm.AUTO, Stage.MACHINE,
             "hottest part of the machine, in degrees Celsius"),
    Tripwire("POWER", "under_voltage", 0.0, TripwireAction.WARN, Rearm.AUTO, Stage.MACHINE,
             "under-voltage alarm of the power supply"),
)  # fmt: skip


@dataclass(frozen=True)
class Evaluation:
    """One row on one day, as the ledger and the report show it.

    Attributes
    ----------
    value : float or None
        None where the figure was missing or is not defined yet.
    detail : str
        In words, for a person.
    """

    name: str
    value: float | None
    limit: float
    action: TripwireAction
    is_tripped: bool
    detail: str


def check(stage: Stage, figures: TripwireFigures, limits: Mapping[str, float]) -> tuple[Evaluation, ...]:
    """Evaluate every row of `stage`, in the table's order, against the device's limits by name."""
    return tuple(_evaluate(row, figures, limits) for row in TRIPWIRES if row.stage is stage)


def worst(evaluations: Iterable[Evaluation]) -> Evaluation | None:
    """Return the tripped row with the most severe action, the first of equals; None when nothing tripped."""
    severity = list(TripwireAction)
    tripped = [evaluation for evaluation in evaluations if evaluation.is_tripped]
    return max(tripped, key=lambda evaluation: severity.index(evaluation.action), default=None)


def _evaluate(row: Tripwire, figures: TripwireFigures, limits: Mapping[str, float]) -> Evaluation:
    figure: Figure = getattr(figures, row.measure)
    limit = row.limit if isinstance(row.limit, float) else limits[row.limit]
    if isinstance(figure, NotYet):
        return Evaluation(row.name, None, limit, row.action, False, f"{row.says}: {figure.value}")
    if figure is None or not math.isfinite(figure):
        return Evaluation(row.name, None, limit, row.action, True, f"{row.says}: missing, which counts as tripped")
    is_tripped = figure < limit if row.trips_below else figure > limit
    relation = "under" if row.trips_below else "over"
    verdict = f"{relation} the limit" if is_tripped else "within the limit"
    return Evaluation(row.name, float(figure), limit, row.action, is_tripped, f"{row.says}: {verdict}")
