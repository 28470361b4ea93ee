"""Captions of the grids: a summary above the table, and details of the selected row below it."""

from collections import Counter
from collections.abc import Callable
from decimal import Decimal

from textual.geometry import Size

from appliance.schedule.timetable import JOBS
from appliance.tui import formatting
from appliance.tui.columns import Tone
from appliance.tui.formatting import TonedText
from appliance.tui.ledger_source import ScreenAnswer
from appliance.views.tripwire_checks import NEAR
from appliance.views.view import ViewRow

BLOCKS = "▁▂▃▄▅▆▇█"
DATA_LETTERS = {"GREEN": "G", "AMBER": "A", "RED": "R"}
JOB_LETTERS = {"done": "✔", "failed": "✘", "halted": "■", "skipped": "–", "not ended": "…"}

WIDE = 100  # columns from which there is room for what is nice to know

Head = Callable[[ScreenAnswer, int], TonedText]
Detail = Callable[[ViewRow, Size], TonedText]


def no_head(_answer: ScreenAnswer, _width: int) -> TonedText:
    """Nothing."""
    return TonedText()


def no_detail(_row: ViewRow, _room: Size) -> TonedText:
    """Nothing."""
    return TonedText()


def positions(answer: ScreenAnswer, _width: int) -> TonedText:
    """How many are held on each side, and when both books agreed on it."""
    view = answer.view("positions")
    sides = Counter(row["side"] for row in view.rows)
    text = TonedText(f"{sides['LONG']} long, {sides['SHORT']} short")
    if sides["FLAT"]:
        text.append(f", {sides['FLAT']} aimed at and not held", Tone.WARN)
    if view.facts:
        at = formatting.day_and_time(view.facts["at"])
        text.append(f"   cash {formatting.money(view.facts['cash'])}   agreed at {view.facts['phase']}, {at} UTC")
    return text


def position(row: ViewRow, _room: Size) -> TonedText:
    """The holding in one line."""
    prices = f"at {row['entry'] or '-'}, now {row['price'] or '-'}"
    return TonedText(f"{row['symbol']}: {row['side']} {row['quantity']} {prices}; sector {row['sector'] or 'unknown'}")


def blotter(answer: ScreenAnswer, _width: int) -> TonedText:
    """The orders by state."""
    view = answer.view("blotter")
    states = Counter(str(row["state"]) for row in view.rows)
    worth = sum((abs(Decimal(row["notional_usd"])) for row in view.rows), start=Decimal(0))
    text = TonedText(f"{len(view.rows)} orders for {worth:,.0f} USD:")
    for state, count in states.most_common():
        text.append(f" {count} ")
        text.append(formatting.marked(state), formatting.tone_of_word(state))
    if refused := view.facts.get("refusals"):
        text.append(f"   {len(refused)} dropped by checks", Tone.WARN)
    return text


def orders(answer: ScreenAnswer, _width: int) -> TonedText:
    """How many orders of how many sessions, what was traded, and at what distance from the reference price."""
    facts = answer.view("orders").facts
    if not facts:
        return TonedText()
    traded = f"bought {formatting.money(facts['bought_usd'])}, sold {formatting.money(facts['sold_usd'])} USD"
    against = "-" if facts["against_bps"] is None else f"{facts['against_bps']} bps"
    return TonedText(
        f"{facts['orders']} orders, {facts['filled']} filled: {traded}; against reference {against}; fees {facts['fees_usd']} USD"
    )


def trades(answer: ScreenAnswer, _width: int) -> TonedText:
    """How many trades ended, how many of them well, and what they realised."""
    facts = answer.view("trades").facts
    if not facts or not facts["trades"]:
        return TonedText()
    text = TonedText(f"{facts['trades']} closed, hit rate {facts['hit_rate']:.1%}; realised ")
    text.append(f"{formatting.money(facts['realised_usd'])} USD", formatting.tone_of_sign(facts["realised_usd"]))
    means = f"mean win {facts['mean_win_usd'] or '-'}, mean loss {facts['mean_loss_usd'] or '-'}"
    text.append(f"; {means}; fees {facts['fees_usd']} USD")
    return text


def symbol(answer: ScreenAnswer, _width: int) -> TonedText:
    """The name, its sector, and what was done in it."""
    facts = answer.view("symbol").facts
    if not facts:
        return TonedText()
    return TonedText(
        f"{facts['symbol']}: sector {facts['sector'] or 'unknown'}; {len(facts['orders'])} orders, {len(facts['fills'])} fills"
    )


def order(row: ViewRow, _room: Size) -> TonedText:
    """The order's id, its reason, and where to go on."""
    text = TonedText(f"{row['client_order_id']}   ", Tone.DIM)
    text.append("enter", is_bold=True).append(": why this order?")
    if row["reason"]:
        text.append(f"\n{row['reason']}")
    return text


def signals(answer: ScreenAnswer, _width: int) -> TonedText:
    """Whose scores, of when."""
    view = answer.view("signals")
    sleeves = Counter((str(row["sleeve"]), str(row["asof"]), str(row["source"])) for row in view.rows)
    parts = [f"{count} names by {sleeve} at {asof}, from bundle {source[:12]}" for (sleeve, asof, source), count in sleeves.items()]
    return TonedText("; ".join(parts)).append("\n" * bool(parts)).append("v", is_bold=True).append(" events of the evening", Tone.DIM)


def signal(row: ViewRow, _room: Size) -> TonedText:
    """The sleeve's score of the name, and its share in the blend."""
    text = TonedText(f"{row['symbol']}: rank {row['rank']} by {row['sleeve']}, z {row['z']:+.2f}")
    if row["contribution"] is not None:
        text.append(f"; adds {row['contribution']:+.2f} to the blended score")
    return text


def risk(answer: ScreenAnswer, _width: int) -> TonedText:
    """How many checks tripped or come near, and the last halt."""
    rows = answer.view("tripwires").rows
    tripped = sum(row["tripped"] != "ok" for row in rows)
    near = sum(row["tripped"] == "ok" and (row["used"] or 0) >= NEAR for row in rows)
    tone = Tone.BAD if tripped else Tone.WARN if near else Tone.GOOD
    text = TonedText(f"{formatting.MARKS[tone]} {tripped} tripped, {near} near their limit", tone)
    text.append(f" of {len(rows)} checks")
    if halts := answer.view("halts").rows:
        text.append(f"   last halt {str(halts[0]['at'])[:10]}: {halts[0]['name']}")
    return text


def check(row: ViewRow, _room: Size) -> TonedText:
    """The check's figure, and its history as a line of blocks."""
    text = TonedText(f"{row['detail']}\n")
    past = [value for value in row["history"] if value is not None]
    text.append(f"last {len(row['history'])} sessions ", Tone.DIM).append(blocks(past))
    if past:
        text.append(f"  {min(past):.4g} to {max(past):.4g}", Tone.DIM)
    return text


def blocks(values: list[float]) -> str:
    """Values as a line of blocks, the lowest to the highest."""
    if not values:
        return "-"
    low, high = min(values), max(values)
    if high == low:
        return BLOCKS[0] * len(values)
    return "".join(BLOCKS[round((value - low) / (high - low) * (len(BLOCKS) - 1))] for value in values)


def jobs(answer: ScreenAnswer, width: int) -> TonedText:
    """The calendar of runs: a column per session, a line per job."""
    done = [row["status"] == "done" for row in answer.view("jobs").rows]
    text = TonedText(f"session {answer.session}: {sum(done)} of {len(JOBS)} jobs done")
    text.append("   ✔ done – skipped ✘ failed ■ halted", Tone.DIM)
    calendar = answer.view("runs").rows[: max(1, (width - 22) // 2)][::-1]
    if not calendar:
        return text
    text.append(f"\n{'':18}{calendar[0]['session']} to {calendar[-1]['session']}", Tone.DIM)
    for job in JOBS:
        text.append(f"\n{job:<18}")
        for row in calendar:
            word = row[job]
            letter = JOB_LETTERS.get(str(word), " ")
            text.append(f"{letter} ", formatting.tone_of_word(word))
    return text


def job(row: ViewRow, _room: Size) -> TonedText:
    """The job's summary, in full."""
    return TonedText(f"{row['job']}: {row['summary']}")


def data(answer: ScreenAnswer, width: int) -> TonedText:
    """The grid of sessions, one letter each: Green, Amber, Red."""
    rows = answer.view("data").rows[::-1]
    counts = Counter(str(row["status"]) for row in rows)
    text = TonedText()
    for status in ("GREEN", "AMBER", "RED", "absent"):
        if counts[status] or status == "GREEN":
            text.append(f"{counts[status]} {formatting.marked(status)}   ", formatting.tone_of_word(status))
    months: dict[str, list[ViewRow]] = {}
    for row in rows:
        months.setdefault(str(row["asof"] or row["session"])[:7], []).append(row)
    step = 2 if width < WIDE else 3
    for month, found in list(months.items())[-6:]:
        text.append(f"\n{month}  ", Tone.DIM)
        for row in found:
            letter = DATA_LETTERS.get(str(row["status"]), "?")
            text.append(letter.ljust(step), formatting.tone_of_word(row["status"]))
    return text


def bundle(answer: ScreenAnswer, _width: int) -> TonedText:
    """Whether the files are what was activated, and whether the bundle is proven."""
    facts = answer.view("bundle").facts
    if not facts:
        return TonedText()
    if facts["faults"]:
        return TonedText("✘ the bundle's files are not what was activated", Tone.BAD)
    text = TonedText("✔ every file is what was activated", Tone.GOOD)
    if facts["role"] != "champion":
        text.append(f"   ! {str(facts['role']).upper()}: not proven, not promoted", Tone.WARN)
    return text


def fact_in_full(row: ViewRow, _room: Size) -> TonedText:
    """A fact whose value the column cut off."""
    return TonedText(f"{row['fact']}: {row['value']}")


def logs(answer: ScreenAnswer, _width: int) -> TonedText:
    """How many lines of each level."""
    levels = Counter(str(row["level"]) for row in answer.view("logs").rows)
    text = TonedText("newest first:")
    for level in ("page", "warn", "info"):
        text.append(f" {levels[level]} ").append(formatting.marked(level), formatting.tone_of_word(level))
    return text


def log_line(row: ViewRow, _room: Size) -> TonedText:
    """The line in full."""
    return TonedText(f"{row['at']} {row['level']} {row['source']}\n{row['text']}")


def reconciliation(answer: ScreenAnswer, _width: int) -> TonedText:
    """The result of the last comparison."""
    last = answer.view("reconciliation").facts.get("last") or {}
    if not last:
        return TonedText("no comparison is recorded", Tone.WARN)
    found = last.get("differences", [])
    breaks = [row for row in found if row.get("is_break")]
    tone = Tone.BAD if breaks else Tone.WARN if found else Tone.GOOD
    verdict = "both books agree" if not found else f"{len(found)} differences, {len(breaks)} unexplained"
    text = TonedText(f"{formatting.MARKS[tone]} {verdict}", tone)
    text.append(f"   last compared at {last.get('phase')} of {last.get('session')}")
    for row in found[:4]:
        text.append(f"\n  {row.get('cause')} {row.get('subject')}: ours {row.get('ours')}, theirs {row.get('theirs')}")
    return text


def notes(row: ViewRow, _room: Size) -> TonedText:
    """The differences of one comparison, in full."""
    return TonedText(str(row["notes"] or "no difference"))


def performance(answer: ScreenAnswer, width: int) -> TonedText:
    """The live return within its expected range, the real-world costs, and the result of each side."""
    view = answer.view("performance")
    if not view.rows:
        return TonedText()
    text = TonedText()
    if fan := view.facts.get("fan"):
        tone = formatting.tone_of_word(fan["verdict"])
        text.append(f"{formatting.MARKS[tone]} {fan['verdict']}", tone)
        text.append(f" the expected 90 %: {fan['live']:+.2%} in {fan['sessions']} sessions, of {fan['lower']:+.2%} to {fan['upper']:+.2%}")
    else:
        text.append("no expected range: the bundle claims no return, or no plan forecasts a volatility", Tone.DIM)
    if costs := view.facts.get("costs"):
        text.append("\nreal costs: " + "  ".join(f"{name} {formatting.money(value)}" for name, value in costs.items()))
    if width >= WIDE and None not in (view.rows[0]["restated_nav"], view.rows[0]["paper_nav"]):
        behind = Decimal(view.rows[0]["restated_nav"]) - Decimal(view.rows[0]["paper_nav"])
        text.append(f"   real NAV {formatting.signed_money(behind)} USD against paper")
    gains = [f"{row['name']} {formatting.money(row['pnl'])}" for row in view.facts.get("attribution", [])]
    if gains and width >= WIDE:
        text.append("\nunrealised: " + "  ".join(gains[:2]) + "   best " + ", ".join(gains[2:3]))
    if values := view.facts.get("during"):
        at = [f"{row['phase']} {formatting.clock_time(row['at'])} {formatting.money(row['equity'])}" for row in values]
        text.append("\nthe newest session, UTC: ", Tone.DIM).append("   ".join(at))
    for key, name in (("a", "attribution"), ("m", "the model's life"), ("d", "drift")):
        text.append("\n" if key == "a" else "   ").append(key, is_bold=True).append(f" {name}", Tone.DIM)
    return text


def attribution(answer: ScreenAnswer, _width: int) -> TonedText:
    """The parts of the newest attributed session."""
    rows = answer.view("attribution").rows
    if not rows:
        return TonedText()
    costs = rows[0].get("of costs") or {}
    parts = "  ".join(f"{name} {formatting.gain(value)}" for name, value in costs.items())
    return TonedText(f"{rows[0]['session']}: {formatting.gain(rows[0]['total'])} USD; each row sums to its total\n").append(
        f"its costs: {parts or 'none'}", Tone.DIM
    )


def attributed(row: ViewRow, _room: Size) -> TonedText:
    """Which names made the session's selection, and which unmade it."""
    text = TonedText(f"{row['session']}: ")
    for word, tone in (("best", Tone.GOOD), ("worst", Tone.BAD)):
        named = ", ".join(f"{symbol} {formatting.gain(amount)}" for symbol, amount in row.get(word) or ())
        text.append(f"{word} ", Tone.DIM).append(named or "none", tone).append("   ")
    return text


def life(answer: ScreenAnswer, _width: int) -> TonedText:
    """Whether each sleeve's still is the model that was promoted."""
    found, text = answer.view("expectation").facts, TonedText()
    for place, (sleeve, facts) in enumerate((found.get("sleeves") or {"": found}).items()):
        if not (test := facts.get("test")):
            continue
        tone = Tone.GOOD if test["alarmed_on"] is None else Tone.BAD
        name = f"{sleeve}: " if sleeve else ""
        text.append("\n" * (place > 0) + f"{formatting.MARKS[tone]} {name}{test['says']}", tone)
        text.append(
            f"\n{test['sessions']} sessions since {facts['since']}; evidence against it {test['wealth']:.2f}, "
            f"most {test['highest']:.2f}, alarm at {test['alarm_at']:.0f}",
            Tone.DIM,
        )
    return text


def drift(answer: ScreenAnswer, _width: int) -> TonedText:
    """How many figures have drifted."""
    view = answer.view("drift")
    drifted = sum((row["used"] or 0) > 1 for row in view.rows)
    if not view.rows:
        return TonedText()
    tone = Tone.BAD if drifted else Tone.GOOD
    text = TonedText(f"{formatting.MARKS[tone]} {drifted} of {len(view.rows)} figures drifted", tone)
    return text.append(f" over {view.facts.get('window_sessions')} sessions, up to {view.session}")


def trace(answer: ScreenAnswer, _width: int) -> TonedText:
    """Which order."""
    facts = answer.view("trace").facts
    symbol, order_id = facts.get("symbol", ""), facts.get("client_order_id", answer.question.order)
    return TonedText(f"Why this order?  {symbol}  ").append(str(order_id), Tone.DIM)
