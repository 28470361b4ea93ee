"""The session report as Markdown: outcome first, then reasons, then every figure."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from appliance.ledger.figures import AttributedSession, ModelVerdict, MonitoringFigures
from appliance.ledger.fills import average_prices
from appliance.reports.session_data import SessionReport
from signals.text.wording import markdown

LARGEST = 15
FAN = ("live", "low", "median", "high")
DRIFTING = 8
WORDS = {"done": "done", "skipped": "SKIPPED", "halted": "HALTED", "failed": "FAILED", "running": "not ended"}


def render(content: SessionReport) -> str:
    """Return the report as Markdown."""
    parts = (
        _head(content),
        decay_warning(content),
        _value(content),
        attributions(content),
        expectation(content),
        _book(content),
        _risk(content),
        _orders(content),
        _events(content),
        _tripwires(content),
        drift(content),
        _alerts(content),
        _provenance(content),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(content: SessionReport) -> str:
    lines = [f"# Session {content.session}", "", f"Scored at {content.asof}, venue {content.venue}. {markdown(content.latch)}."]
    bundle = content.bundle
    if bundle.role == "evaluation":
        lines += ["", f"> **Unproven bundle** (role `evaluation`): {markdown(bundle.refusal)}"]
    sized = content.decisions.sized_by or ""
    if sized.startswith("not"):
        lines += ["", f"> **{sized[0].upper()}{sized[1:]}.** The size of this book says nothing about its model."]
    rows = [[job.job, WORDS[job.status], job.summary] for job in content.jobs]
    return "\n".join([*lines, "", table(["job", "end", "what happened"], rows)])


def _value(content: SessionReport) -> str:
    value = content.value
    if value is None:
        return "## Value\n\nNo value was agreed with the broker for this session."
    rows = [
        ["paper NAV", money(value.paper_nav), money(value.paper_pnl, signed=True)],
        ["real NAV", money(value.real_nav), money(value.real_pnl, signed=True)],
        ["cash", money(value.cash), ""],
        ["gross exposure", money(value.gross_usd), _percent(value.gross)],
        ["net exposure", money(value.net_usd), _percent(value.net)],
    ]
    if restated := value.restated:
        what = f"real NAV of {restated.session}, restated by dividends learned since"
        rows.insert(2, [what, money(restated.restated), money(restated.restated - restated.reported, signed=True)])
    costs = [[name, money(getattr(value, name), signed=True)] for name in ("dividends", "borrow", "fees", "impact")]
    return "\n".join(
        [
            "## Value",
            "",
            table(["USD", "at the close", "change, share"], rows, numbers=(1, 2)),
            "",
            "Outside the paper world the day would have added (estimates; impact includes half the spread):",
            "",
            table(["part", "USD"], costs, numbers=(1,)),
            "",
            "![equity](equity.svg)",
        ]
    )


def _book(content: SessionReport) -> str:
    chosen = content.decisions.decisions or ()
    moves = sorted(content.targets, key=lambda row: (-abs(row.weight - row.current), row.symbol))
    rows = [
        [row.symbol, _percent(row.current), _percent(row.weight), "" if row.z is None else f"{row.z:+.2f}", row.sector]
        for row in moves[:LARGEST]
    ]
    lines = ["## Targets", ""]
    lines += [table(["decision", "outcome"], chosen), ""] if chosen else []
    if not rows:
        return "\n".join([*lines, "No targets: the book stays as it is."])
    lines += _rounding(content)
    lines.append(f"{len(moves)} names; the {len(rows)} largest changes:")
    return "\n".join([*lines, "", table(["symbol", "held", "target", "z", "sector"], rows, numbers=(1, 2, 3))])


def _risk(content: SessionReport) -> str:
    """What the risk bundle forecasts of the target book, and what of it scales the book; empty without one."""
    if not content.risk:
        return ""
    scaling = content.risk[0].forecast
    rows = [[row.forecast, str(row.names), f"{row.median:.1%}", f"{row.highest:.1%}", row.highest_name] for row in content.risk]
    factor = content.decisions.by_name.get("forecast volatility over the window's, median")
    scaled = f" (by a factor of {factor} in the median)" if factor else ""
    return "\n".join(
        [
            "## Risk forecasts",
            "",
            f"`{scaling}` scales covariance, residual volatility and the tail's returns{scaled}; bands and drawdown scale nothing.",
            "",
            table(["forecast", "names", "median", "highest", "of"], rows, numbers=(1, 2, 3)),
        ]
    )


def _rounding(content: SessionReport) -> list[str]:
    """How far whole shares are from the target book; nothing where no plan was made or nothing is targeted."""
    found = content.plan.rounding if content.plan else None
    if not found or not found.target_gross:
        return []
    ratio = "" if found.ratio is None else f", {found.ratio:.2f} times as far"
    never = found.never_held
    names = ", ".join(map(markdown, never[:LARGEST]))
    lots = "tradable fractions" if content.from_the_open else "whole shares"
    named = f" {len(never)} names round to no share and are not held: {names}." if never else ""
    return [
        f"The nearest {lots} are {found.nearest_l1:.2%} of equity from the target book "
        f"({found.share:.1%} of its gross). With every planned order filled the book is {found.planned_l1:.2%} "
        f"from it{ratio}, its gross {found.planned_gross:.2%} of {found.target_gross:.2%}.{named}",
        "",
    ]


def _orders(content: SessionReport) -> str:
    orders, fills = content.orders, content.fills
    refused = _refusals(content)
    if not orders:
        return "\n".join(["## Orders", "", "None.", *refused])
    states: dict[str, int] = {}
    for order in orders:
        states[order.state] = states.get(order.state, 0) + 1
    traded = sum((abs(fill.cash) for fill in fills), Decimal(0))
    summary = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    lines = ["## Orders", "", f"{len(orders)} orders: {summary}. {len(fills)} fills, {traded:,.2f} USD traded."]
    if (seen := content.from_the_open) is not None and seen.difference_bps is not None:
        lines += [
            "",
            f"Day orders in place of the opening auction: {seen.fills} fills since {seen.first} lost "
            f"{seen.difference_bps:+.1f} bps of their value to the opening price.",
        ]
    largest = sorted(orders, key=lambda o: (-o.quantity * o.reference_price, o.client_order_id))
    averages = average_prices((fill.client_order_id, fill.quantity, fill.price) for fill in fills)
    prices = {key: f"{price:.4f}" for key, price in averages.items()}
    rows = [
        [o.symbol, o.side, str(o.quantity), o.time_in_force, str(o.reference_price), prices.get(o.client_order_id, ""), o.state, o.reason]
        for o in largest[:LARGEST]
    ]
    heads = ["symbol", "side", "shares", "when", "reference", "filled at", "state", "reason"]
    lines += ["", table(heads, rows, numbers=(2, 4, 5))]
    return "\n".join([*lines, *refused])


def _refusals(content: SessionReport) -> list[str]:
    refusals = content.plan.refusals if content.plan else ()
    if not refusals:
        return []
    rows = [[r.symbol, r.check, r.reason] for r in refusals[:LARGEST]]
    return ["", f"{len(refusals)} orders were not planned:", "", table(["symbol", "check", "reason"], rows)]


def _events(content: SessionReport) -> str:
    """Events at asof, the likeliest targets first, what was said of each, and what earlier ones made; empty where there is nothing."""
    found = content.events
    if not found.events and not found.kinds:
        return ""
    rows = [
        [
            one.symbol,
            one.kind,
            "long" if one.side > 0 else "short",
            f"{-one.side * one.atr:+.2%} / {one.side * one.atr:+.2%}",
            "-" if one.forecast.probability is None else f"{one.forecast.probability:.1%}{' pays' if one.forecast.pays else ''}",
            str(one.forecast.stop or "-"),
            str(one.forecast.target or "-"),
            one.sees or "-",
            _plain(one.hist_rr_pct) + ("" if one.sim_conf is None else f" ({one.sim_conf:.2f})"),
        ]
        for one in found.events[:LARGEST]
    ]
    heads = [
        "symbol",
        "kind",
        "side",
        "stop / target",
        "target first",
        "stop (70 %)",
        "target (60 %)",
        "seen",
        "analogs made, R (likeness)",
    ]
    kinds = [
        [one.kind, str(one.since), str(one.events), str(one.ended), _plain(one.mean_r), "-" if one.error is None else f"± {one.error:.3f}"]
        for one in found.kinds
    ]
    lines = ["## Events", "", f"{len(found.events)} events at {content.asof}, recorded and not traded; stop and target are from the open."]
    lines += _left_out("rows", len(rows), len(found.events))
    lines += ["", table(heads, rows, numbers=(3, 4, 8)), "", *(f"* {markdown(one)}" for one in found.said)] if rows else []
    if pictured := [one for one in found.events if one.picture]:
        lines += ["", "The 64 bars up to each event, as the net saw them:", *_left_out("pictures", len(pictured), len(found.events))]
        lines += ["", f"![bars before the events]({bars_of(content.session)})"]
    earlier = table(["events", "since", "found", "ended", "R before costs", "error"], kinds, numbers=(2, 3, 4, 5))
    return "\n".join([*lines, "", earlier])


def _left_out(what: str, shown: int, found: int) -> list[str]:
    return [f"The {what} are of the {shown} likeliest to meet their targets; {found - shown} are left out."] if shown < found else []


def bars_of(session: date) -> str:
    """Return the name of the picture of the bars before a session's events."""
    return f"events_{session}.svg"


def _tripwires(content: SessionReport) -> str:
    rows = [
        [row.name, "TRIPPED" if row.tripped else "ok", row.value or "-", row.limit, row.action, row.detail]
        for row in sorted(content.tripwires, key=lambda row: (not row.tripped, row.name))
    ]
    if not rows:
        return "## Tripwires\n\nNone was evaluated."
    intro = f"Controls exercised in a dry run: {markdown(content.controls)}.\n\n"
    return f"## Tripwires\n\n{intro}" + table(["name", "", "value", "limit", "action", "what it is"], rows, numbers=(2, 3))


def _alerts(content: SessionReport) -> str:
    rows = [[a.severity, a.title, a.body] for a in content.alerts]
    return "## Alerts\n\n" + table(["how loud", "title", "what"], rows) if rows else ""


def _provenance(content: SessionReport) -> str:
    data, bundle, plan = content.data, content.bundle, content.plan
    source = plan.provenance if plan else {}
    rows = [
        ["data of asof", f"{data.status}, {data.eligible} eligible names; {'; '.join(data.reasons) or 'no remark'}"],
        ["dataset", f"{data.dataset} version {data.version}, survivorship: {data.survivorship}"],
        ["snapshot", data.snapshot_id or "-"],
        ["bundle", f"{bundle.bundle_id or '-'}, {bundle.bundle_age_sessions} sessions after training"],
        ["bundle sha256", bundle.bundle_sha256 or "-"],
        ["configuration", source.get("config_hash", "-")],
        ["program", source.get("code_version", "-")],
        ["plan digest", plan.digest if plan else "-"],
        ["machine", content.machine],
    ]
    return "## Where it came from\n\n" + table(["what", "identity"], rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:+.2%}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a Markdown table; the columns in `numbers` are aligned to the right."""
    rule = ["---:" if i in numbers else "---" for i in range(len(heads))]
    lines = [heads, rule, *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def money(value: Decimal, *, signed: bool = False) -> str:
    """Return USD with thousands separated, to the cent."""
    return f"{value:+,.2f}" if signed else f"{value:,.2f}"


def attributions(content: MonitoringFigures) -> str:
    """Return the sections of the sessions attributed since the last report; empty when there is none."""
    return "\n\n".join(_attribution(row) for row in content.attribution)


def _attribution(row: AttributedSession) -> str:
    lines = [[part, money(amount, signed=True)] for part, amount in row.parts.items()]
    lines.append(["sum", money(row.total, signed=True)])
    costs = ", ".join(f"{name} {money(amount, signed=True)}" for name, amount in row.costs.items())
    text = [f"## Where the result of {row.session} came from", "", table(["part", "USD"], lines, numbers=(1,)), "", f"Costs: {costs}."]
    if row.by_sleeve is not None:
        text.append(f"Selection by sleeve: {_amounts(tuple(row.by_sleeve.items()))}.")
    if row.data == "RED":
        text.append("The bars of this session are RED: what the market and sectors did is in the selection.")
    text += [f"Selection, {word}: {_amounts(named)}." for word, named in (("best", row.best), ("worst", row.worst)) if named]
    return "\n".join(text)


def _amounts(amounts: Sequence[tuple[str, Decimal]]) -> str:
    return ", ".join(f"{markdown(symbol)} {money(amount, signed=True)}" for symbol, amount in amounts)


def picture_of(sleeve: str) -> str:
    """Return the name of the chart of a sleeve's life; on a device of one sleeve that has no name."""
    return f"expectation-{sleeve}.svg" if sleeve else "expectation.svg"


def expectation(content: MonitoringFigures) -> str:
    """Return the sections on realised against expected results, one a sleeve."""
    return "\n\n".join(_life(sleeve, found) for sleeve, found in content.lives.items())


def _life(sleeve: str, found: ModelVerdict) -> str:
    test = found.test
    rows = [
        [row.figure, str(row.sessions), *(_live_figure(row.figure, getattr(row, key)) for key in FAN), row.verdict] for row in found.figures
    ]
    text = (
        f"Lived since {found.since}: {markdown(test.says)}. Evidence against it {test.wealth:.2f} now, "
        f"at most {test.highest:.2f}; from {test.alarm_at:.0f} on it is gone. "
        "Chance of a false alarm over its life: 5 %."
    )
    heads = ["figure", "sessions", "lived", "low", "median", "high", "where"]
    title = f"## Expected and realised{f': {markdown(sleeve)}' if sleeve else ''}"
    return "\n".join(
        [title, "", text, "", table(heads, rows, numbers=(1, 2, 3, 4, 5)), "", f"![expected and realised]({picture_of(sleeve)})"]
    )


def decay_warning(content: MonitoringFigures) -> str:
    """Return the banner of every model that is no longer what was promoted; empty while all are."""
    gone = {sleeve: found.test for sleeve, found in content.lives.items() if found.test.alarmed_on is not None}
    return "\n".join(
        f"> **{f'{markdown(sleeve)}: this' if sleeve else 'This'} is {markdown(test.says)}**: so since {test.alarmed_on}."
        for sleeve, test in gone.items()
    )


def drift(content: MonitoringFigures) -> str:
    """Return the section on drift: what uses most of its limit."""
    found = content.drift
    shown = [
        f"{markdown(sleeve)}, which is only shown: {', '.join(row.name for row in one.rows if row.is_drifted) or 'nothing'} has drifted."
        for sleeve, one in (content.shown or {}).items()
    ]
    if not found:
        return "\n\n".join(["## Drift", *shown]) if shown else ""
    rows = [[row.name, _plain(row.psi), _plain(row.limit), _plain(row.used), row.verdict] for row in found.rows[:DRIFTING]]
    drifted = sum(row.is_drifted for row in found.rows)
    text = f"{drifted} of {len(found.rows)} figures drifted, over {found.window_sessions} sessions."
    return "\n\n".join(["## Drift", text, table(["figure", "PSI", "limit", "used", ""], rows, numbers=(1, 2, 3)), *shown])


def _live_figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if name == "ic" else f"{value:.2f}" if name == "cost" else f"{value:.2%}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
