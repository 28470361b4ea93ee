"""Records of what bundles said that are only shown: a net of pictures of every name; gate, quantiles and offsets of names with an event.

Each is kept as the features of an evening are: one file, named by the score job with the bundle that said so. Of a picture it holds
probabilities, pole, embedding and what past events like it made, and the pictures of the names with an event; of an event what every head
said, and the close as traded, without which a distance has no ticks. None of it is traded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from appliance.bundles.feature_record import FeatureRecord, read_features
from appliance.ledger import Ledger, job_runs
from appliance.ledger.events import EventRow
from appliance.ledger.figures import FeatureFile, ScoreFigures, ShownFile
from appliance.system.state_folder import StateFolder
from execution.orders import tick_of
from signals.errors import FixInput, ScoresInvalid
from signals.events.recorded import ANALOGS, HEADS, OFFSETS, RULES, SEEN_BY, SHOWN, STOP, TARGET, TARGET_FIRST, SeenShape, shape_of

if TYPE_CHECKING:  # a reader of records loads neither what scores nor what checks a bundle
    from signals.bundle import Bundle
    from signals.market.bars import Floats
    from signals.models.heads import ClassesHead
    from signals.scoring.scoring import HeadOutputs

CLASS, PROBABILITY, CLOSE = "p_", "probability", "close"
SIM_CONF, HIST_RR_PCT = ANALOGS


def require_heads(bundle: Bundle) -> ClassesHead:
    """Return the head of the classes; raise `ScoresInvalid` where a bundle's heads are not those that are read of a picture."""
    from signals.events.analogs import classes_in

    heads = {line.name: line.head for line in bundle.manifest.heads}
    if (classes := classes_in(heads)) is None:
        raise ScoresInvalid(f"a net of pictures has the heads {', '.join(HEADS)}, not {', '.join(heads)}", fix="Publish another bundle")
    return classes


def seen(record: FeatureRecord, symbol: str) -> tuple[SeenShape, float | None, float | None] | None:
    """Return the shape that was seen, `sim_conf` and `hist_rr_pct` of a name; None of one without a picture."""
    said = {one.name: one.value for one in record.of(symbol)}
    if not said:
        return None
    classes: Sequence[str] = [name for name in record.names if name.startswith(CLASS)]
    shape = shape_of([name.removeprefix(CLASS) for name in classes], [said[name] or 0.0 for name in classes], said[HEADS[1]] or 0.0)
    return shape, said[SIM_CONF], said[HIST_RR_PCT]


GATE, QUANTILES, ARMS = SHOWN
READ = {GATE: ("score",), QUANTILES: (STOP, TARGET), ARMS: tuple(OFFSETS)}  # heads, one output each


def require_trade(bundle: Bundle) -> None:
    """Raise `ScoresInvalid` where a bundle of events lacks a head that is read, or forecasts another trade than the one that is recorded.

    The stop of its trade, and but for quantiles the target and the patience too, are those of `signals.events.daily.RULES`.
    """
    from signals.bundle import Part
    from signals.bundle.seal import parse_json

    sleeve, widths, fix = bundle.manifest.sleeve, bundle.manifest.head_widths(), "Publish another bundle"
    if lacking := [name for name in READ[sleeve] if widths.get(name) != 1]:
        raise ScoresInvalid(f"a bundle of the sleeve {sleeve} has the head {lacking[0]!r} of one number, and this one has not", fix=fix)
    known = bundle.manifest.heads[0].calibration
    if sleeve == GATE and (known is None or known.event != TARGET_FIRST):
        raise ScoresInvalid(f"a gate has a map to the probability that {TARGET_FIRST}, and this one has not", fix=fix)
    training = parse_json(bundle.contents.files[bundle.manifest.of(Part.TRAINING)[0].path], "training.json")
    own = {"stop_atr": RULES.stop_atr} | ({} if sleeve == QUANTILES else {"target_r": RULES.target_r, "k": RULES.patience})
    try:
        trade = {name: training["config"]["label"][name] for name in own}
    except (KeyError, TypeError):
        raise ScoresInvalid("the bundle does not say which trade it forecasts", where="training.json", fix=fix) from None
    if wrong := [name for name in own if trade[name] != own[name]]:
        what = f"the bundle forecasts a trade whose {wrong[0]} is {trade[wrong[0]]}, and this device records {own[wrong[0]]:g}"
        raise ScoresInvalid(what, fix="Train with the label's defaults")


def record_of(
    bundle: Bundle, found: HeadOutputs, more: Mapping[str, Floats], snapshot_id: str, pictures: Mapping[str, str] | None = None
) -> FeatureRecord:
    """Return the record of what every head said, probabilities where it has any; `more` are columns (n,), `pictures` PNG in base64."""
    import numpy as np

    columns = dict(more)
    for line in bundle.manifest.heads:
        raw, said = found.raw[line.name], found.probabilities.get(line.name)
        prefix = {"classes": CLASS, "vector": ""}.get(line.head.kind, f"{line.name}_")
        one = line.name if said is None else PROBABILITY
        names = [prefix + name for name in line.head.names] if raw.shape[1] > 1 else [one]
        columns |= dict(zip(names, (raw if said is None else said).T, strict=True))
    values = np.column_stack(list(columns.values())).astype("<f4").tobytes()
    return FeatureRecord(
        found.asof, bundle.manifest.sleeve, bundle.sha256, snapshot_id, tuple(columns), found.symbols, values, pictures or {}
    )


def shown_file(bundle: Bundle, file: FeatureFile) -> ShownFile:
    """Return what the score job's row says of a bundle's record."""
    return ShownFile(**vars(file), role=bundle.manifest.role.value, refusal=bundle.manifest.refusal)


@dataclass(frozen=True)
class Distance:
    """A distance from the next open: in average true ranges, as a share of the close, and in ticks where the close is known as traded."""

    atr: float
    share: float
    ticks: int | None = None

    def __str__(self) -> str:
        """Return all of them in words."""
        return f"{self.atr:.2f} ATR, {self.share:.2%}" + ("" if self.ticks is None else f", {self.ticks:,} ticks")


@dataclass(frozen=True)
class EventForecast:
    """What bundles say of one event; None where there is no such bundle, or it says nothing of the name.

    Attributes
    ----------
    probability : float
        That the target is met before the stop.
    pays : bool
        Whether that pays the costs of the trade.
    stop, target : Distance
        The adverse move of 4 sessions that 70 % of events do not exceed, the favourable one of 30 that 40 % exceed.
    entry_atr : float
        Offset of the entry whose trade is expected to be worth most.
    """

    probability: float | None = None
    pays: bool | None = None
    stop: Distance | None = None
    target: Distance | None = None
    entry_atr: float | None = None


def spoken(ledger: Ledger, folder: StateFolder, asof: date) -> tuple[Mapping[str, FeatureRecord], tuple[str, ...]]:
    """Return the records of an evening by sleeve; and of each sleeve a sentence: which bundle spoke, or why there is no record."""
    runs = (run for run in job_runs.since(ledger, asof) if run.job == "score")
    figures = next((known for run in runs if (known := run.read(ScoreFigures)).asof == asof), ScoreFigures())
    files, found, said = figures.shown or {}, dict[str, FeatureRecord](), list[str]()
    for sleeve in (SEEN_BY, *SHOWN):
        why = "no bundle of it spoke this evening"
        try:
            if (file := files.get(sleeve)) is not None:
                record = found[sleeve] = read_features(folder.features, file)
                why = ", ".join(filter(None, (f"bundle {record.bundle_sha256[:16]}", file.role, file.refusal)))
        except FixInput as error:
            why = str(error)
        said.append(f"{sleeve}: {why}")
    return found, tuple(said)


def forecast(row: EventRow, records: Mapping[str, FeatureRecord]) -> EventForecast:
    """Return what the records of an evening say of one of its events."""
    said = {name: {one.name: one.value for one in records[name].of(row.symbol)} if name in records else {} for name in READ}
    probability, worth = said[GATE].get(PROBABILITY), [value for head in OFFSETS if (value := said[ARMS].get(head)) is not None]
    stop, target = said[QUANTILES].get(STOP), said[QUANTILES].get(TARGET)

    def distance(atr: float | None) -> Distance | None:
        if atr is None:
            return None
        share, close = atr * row.atr, said[QUANTILES][CLOSE]
        return Distance(atr, share, None if close is None else round(share * close / float(tick_of(Decimal(close)))))

    return EventForecast(
        probability,
        None if probability is None else probability > RULES.least_probability(RULES.cost_r(row.atr)),
        distance(stop),
        distance(None if target is None else target * RULES.stop_atr),
        tuple(OFFSETS.values())[worth.index(max(worth))] if len(worth) == len(OFFSETS) else None,
    )
