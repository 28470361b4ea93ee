"""The provenance of one order: signal, features, data snapshot and bundle, each link verified by its hash."""

from collections.abc import Mapping
from datetime import date

from appliance.bundles.feature_record import FeatureRecord, FeatureValue, read_features
from appliance.ledger import Ledger, broker_orders, intents, job_runs, plans, scores, targets
from appliance.ledger.figures import FeatureFile, PlanFigures, PullFigures, ScoreFigures
from appliance.ledger.intents import JournalEntry
from appliance.market.vendor_record import damaged_records, read_snapshot
from appliance.system.state_folder import StateFolder
from appliance.views import bundle_facts as bundles
from appliance.views.blotter import average_prices
from appliance.views.view import View, ViewRow, fact, percent
from execution.orders import Plan
from signals.errors import FixInput

COLUMNS = ("section", "fact", "value")


def trace(ledger: Ledger, folder: StateFolder, client_order_id: str) -> View:
    """Return the chain behind one order: order, signal, features, data snapshot, bundle.

    Parameters
    ----------
    folder : StateFolder
        For what the bundle in force says about itself, and what the model read that evening.
    """
    entry = intents.find(ledger, client_order_id)
    if entry is None:
        return View(COLUMNS, (), f"no order {client_order_id} in this ledger")
    session = entry.intent.key.session
    plan = plans.load(ledger, session)
    rows = _order(ledger, entry, plan)
    rows += _signal(ledger, entry, plan)
    if plan is not None:
        rows += _features(ledger, folder, entry.intent.key.symbol, plan)
        rows += _data(ledger, folder, plan) + _bundle(ledger, bundles.traded(folder.bundles), plan)
    facts = {"client_order_id": client_order_id, "symbol": entry.intent.key.symbol}
    return View(COLUMNS, tuple(rows), "", session, facts)


def _order(ledger: Ledger, entry: JournalEntry, plan: Plan | None) -> list[ViewRow]:
    intent = entry.intent
    price = average_prices(ledger, intent.key.session).get(entry.client_order_id)
    filled = f"{entry.filled_quantity} of {intent.quantity}" + ("" if price is None else f" at {price:.4f} USD")
    rows = [
        fact(
            "order",
            "what",
            f"{intent.side.value.upper()} {intent.quantity} {intent.key.symbol} ({intent.type.value}, {intent.time_in_force.value})",
        ),
        fact("order", "worth", f"{abs(intent.notional):,.2f} USD at the reference {intent.reference_price}"),
        fact("order", "filled", filled),
        fact("order", "effect", "lowers an absolute position" if intent.reduces else "may open or raise a position"),
        fact("order", "client order id", entry.client_order_id),
    ]
    if plan is not None and (urgency := plan.urgencies.get(intent.key.symbol)) is not None:
        rows.append(fact("order", "urgency", f"{urgency:g}, of least modelled cost"))
    for order in broker_orders.of_client(ledger, entry.client_order_id):
        rows.append(fact("order", "at the broker", f"{order.status.value}, id {order.id}"))
    steps = intents.events(ledger, entry.client_order_id)
    for step in steps:
        why = f"  {step.reason}" if step.reason and step.reason != step.to_state.value else ""
        rows.append(fact("order", f"{step.at:%H:%M:%S}Z", f"{step.to_state.value}{why}"))
    return rows


def _signal(ledger: Ledger, entry: JournalEntry, plan: Plan | None) -> list[ViewRow]:
    key = entry.intent.key
    rows: list[ViewRow] = []
    aimed = {row.symbol: row for row in targets.load(ledger, key.session)}.get(key.symbol)
    if aimed is not None:
        rows.append(
            fact(
                "signal",
                "weight",
                f"{percent(aimed.current_weight)} held, {percent(aimed.weight)} aimed at: "
                f"{percent(aimed.weight - aimed.current_weight)} of equity to move",
            )
        )
        rows.append(fact("signal", "sector", aimed.sector or "unknown"))
    events = _events(ledger, key.session)
    for sleeve, found, total in _scores_of(ledger, plan.asof if plan else key.session, key.symbol):
        rows.append(fact("signal", sleeve, f"rank {found.rank} of {total}, z {found.z:+.2f}, score {found.score:+.6f}"))
        if found.probability is not None:
            rows.append(fact("signal", f"probability of {sleeve}", f"{found.probability:.1%} that {events.get(sleeve, 'its event comes')}"))
    if len(rows) <= 2 and not any(row["fact"] not in ("weight", "sector") for row in rows):
        rows.append(fact("signal", "score", "none: the name was not scored, its holding is closed or carried"))
    planned = _planned(ledger, key.session)
    decisions = planned.by_name
    for sleeve, part in planned.parts_of(key.symbol).items():
        rows.append(fact("signal", f"part of {sleeve}", f"{part:+.4f} of what the sleeves say together"))
    chosen = [f"{name} {decisions[name]}" for name in ("scale", "policy multiplier", "step", "turnover") if name in decisions]
    if chosen:
        rows.append(fact("signal", "book", ", ".join(chosen)))
    return rows


def _events(ledger: Ledger, session: date) -> dict[str, str]:
    """What each sleeve's map says the probability of, as the scoring job recorded it."""
    run = job_runs.find(ledger, session, "score")
    scored = run.read(ScoreFigures) if run else ScoreFigures()
    found: dict[str, ScoreFigures] = {scored.sleeve or "": scored, **(scored.by_sleeve or {})}
    said = {sleeve: one.others.get("probability") for sleeve, one in found.items()}
    return {sleeve: str(one["event"]) for sleeve, one in said.items() if isinstance(one, Mapping)}


def _scores_of(ledger: Ledger, asof: date, symbol: str) -> list[tuple[str, scores.ScoreRow, int]]:
    found = ledger.read(
        tuple[str, int],
        "SELECT sleeve, (SELECT count(*) FROM scores AS s WHERE s.asof = scores.asof AND s.sleeve = scores.sleeve)"
        " AS total FROM scores WHERE asof = ? AND symbol = ? ORDER BY sleeve",
        (asof, symbol),
    )
    lines = []
    for sleeve, total in found:
        mine = next(r for r in scores.load(ledger, asof, sleeve) if r.symbol == symbol)
        lines.append((sleeve, mine, total))
    return lines


def _features(ledger: Ledger, folder: StateFolder, symbol: str, plan: Plan) -> list[ViewRow]:
    """Features of the name at asof, the most extreme first."""
    run = job_runs.find(ledger, plan.session, "score")
    scored = run.read(ScoreFigures) if run else ScoreFigures()
    several = [scored] if scored.by_sleeve is None else list(scored.by_sleeve.values())
    sources = set(_sources_of(ledger, plan).values())
    return [row for one in several for row in _features_of(one.features, folder, symbol, plan, sources)]


def _features_of(stored: FeatureFile | None, folder: StateFolder, symbol: str, plan: Plan, sources: set[str]) -> list[ViewRow]:
    try:
        record = read_features(folder.features, stored)
    except FixInput as error:
        return [fact("features", "values", str(error))]
    readings = record.of(symbol)
    if not readings:
        return [fact("features", "values", f"none: {symbol} was not scored at {record.asof}")]
    known = sum(reading.value is not None for reading in readings)
    rows = [
        fact("features", "read at", f"{record.asof}, {known} of {len(readings)} known, of {len(record.symbols)} names; z is over these"),
        *_other_sources(record, plan, sources),
    ]
    ordered = sorted(readings, key=lambda reading: -abs(reading.z or 0.0))
    return [*rows, *(fact("features", reading.name, _said(reading)) for reading in ordered)]


def _other_sources(record: FeatureRecord, plan: Plan, sources: set[str]) -> list[ViewRow]:
    """A warning for each source that is not the plan's: nothing when both are."""
    return [
        fact("features", "not the plan's", f"{what} {theirs}")
        for what, theirs, ours in (
            ("snapshot", record.snapshot_id, {plan.provenance.snapshot_id}),
            ("bundle", record.bundle_sha256, sources),
        )
        if theirs not in ours
    ]


def _planned(ledger: Ledger, session: date) -> PlanFigures:
    planned = job_runs.find(ledger, session, "plan")
    return planned.read(PlanFigures) if planned else PlanFigures()


def _sources_of(ledger: Ledger, plan: Plan) -> dict[str, str]:
    """SHA-256 of the bundle behind each sleeve's scores; of one sleeve, the plan's own."""
    return dict(_planned(ledger, plan.session).sources or {"": plan.provenance.bundle_sha256})


def _said(reading: FeatureValue) -> str:
    if reading.value is None:
        return f"{'unknown':>12}"
    return f"{reading.value:>12.5g}   z {'-':>6}" if reading.z is None else f"{reading.value:>12.5g}   z {reading.z:>+6.2f}"


def _data(ledger: Ledger, folder: StateFolder, plan: Plan) -> list[ViewRow]:
    pulled = job_runs.find(ledger, plan.session, "pull")
    status = pulled.read(PullFigures).status if pulled else ""
    return [
        fact("data", "asof", f"{plan.asof} is {status or 'of unknown status'}"),
        fact("data", "snapshot", plan.provenance.snapshot_id),
        *_completed(ledger, folder, plan),
    ]


def _completed(ledger: Ledger, folder: StateFolder, plan: Plan) -> list[ViewRow]:
    """Parts of the snapshot where the device completed sessions itself, each record hashed again."""
    try:
        read_features = read_snapshot(folder.completed, plan.asof, plan.provenance.snapshot_id)
    except FixInput as error:
        return [fact("data", "completed", str(error))]
    if read_features is None:
        count = _planned(ledger, plan.session).completed
        return [fact("data", "completed", f"{count} sessions, whose record is no longer kept")] if count else []
    manifest, parts = read_features
    faults = damaged_records(folder.completed, parts)
    decisions = f"{len(parts)} sessions, {parts[0].session} to {parts[-1].session}; the snapshot's hash is theirs"
    return [
        fact("data", "dataset", manifest),
        fact("data", "completed", f"{decisions}, and every record holds" if not faults else decisions),
        *(fact("data", "told", f"{part.session} {part.sha256}") for part in parts),
        *(fact("data", "not proven", fault) for fault in faults),
    ]


def _bundle(ledger: Ledger, found: Mapping[str, bundles.BundleFacts], plan: Plan) -> list[ViewRow]:
    source = plan.provenance
    rows: list[ViewRow] = []
    for sleeve, sha256 in _sources_of(ledger, plan).items():
        rows.append(fact("bundle", f"sha256 {sleeve}".strip(), sha256))
        facts = next((one for one in found.values() if one.pointer.sha256 == sha256), None)
        if facts is None:
            rows.append(fact("bundle", f"which {sleeve}".strip(), "no longer in force"))
            continue
        manifest = facts.manifest
        rows.append(fact("bundle", f"which {sleeve}".strip(), f"{facts.name}, {manifest.role}, still in force"))
        trained = f"{manifest.first_training_session} to {manifest.last_training_session}"
        rows.append(fact("bundle", f"trained {sleeve}".strip(), trained))
    return [
        *rows,
        fact("bundle", "config", source.config_hash),
        fact("bundle", "code", source.code_version),
        fact("bundle", "plan", plan.digest),
    ]
