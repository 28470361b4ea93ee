"""The rules that a session among lies is held to, judged by the exchange's own books.

Whatever was said: nothing is sent twice, nothing is lost, nothing goes beyond the plan or beyond what the device would
have held without the lies, and whatever did not end as it should is not silent.
"""

from __future__ import annotations

from decimal import Decimal

from tests.hostile.day import ZERO, Ended

SLACK = Decimal("1.10")  # a lie about a size may cost a tenth of it, in either direction
IN_DOUBT = ("planned", "journaled", "sending", "unknown", "acked", "working", "partial")


def broken_rules(ended: Ended, honest: Ended) -> list[str]:
    """Return a sentence for every rule that does not hold; `honest` is the same session without a lie."""
    return [*_sent(ended), *_sized(ended, honest), *_silent(ended)]


def outcome(ended: Ended, honest: Ended) -> str:
    """Return how the session ended, in one word, for the table of what was reached."""
    if ended.is_halted:
        return "halted"
    if len(ended.after.orders) == len(ended.before.orders):
        return "no order"
    return "whole" if ended.after.held == honest.after.held else "in part"


def _sent(ended: Ended) -> list[str]:
    """Nothing twice, nothing lost, nothing beyond the frozen plan."""
    day = str(ended.day)
    rows = ended.bench.rows("SELECT client_order_id, state FROM intents WHERE session = ?", day)
    states = {str(cid): str(state) for cid, state in rows}
    planned: dict[str, Decimal] = {}
    for symbol, side, quantity in ended.bench.rows("SELECT symbol, side, quantity FROM intents WHERE session = ? AND attempt = 0", day):
        planned[symbol] = planned.get(symbol, ZERO) + (Decimal(quantity) if side == "buy" else -Decimal(quantity))
    sent: dict[str, Decimal] = {}
    broken = []
    for cid, (symbol, shares) in ended.after.orders.items():
        if cid in ended.before.orders:
            continue
        sent[symbol] = sent.get(symbol, ZERO) + shares
        if cid not in states:
            broken.append(f"foreign: {cid} is in no journal")
        elif states[cid] in ("refused", "denied", "lapsed", "planned", "journaled") and not ended.is_halted:
            broken.append(f"lost: {cid} is at the exchange and {states[cid]} in the journal")
    for symbol, shares in sent.items():
        wanted = planned.get(symbol, ZERO)
        if shares * wanted < 0 or abs(shares) > abs(wanted):
            broken.append(f"twice or above the plan: {symbol} {shares} of {wanted}")
    return broken


def _sized(ended: Ended, honest: Ended) -> list[str]:
    """No lie makes the book larger than the honest one, in total or in a name."""
    prices = {**ended.after.prices, **honest.after.prices}
    largest = max((abs(shares) * prices[name] for name, shares in honest.after.held.items()), default=ZERO)
    broken = []
    for name, shares in ended.after.held.items():
        value, was = abs(shares) * prices[name], abs(ended.before.held.get(name, ZERO)) * prices[name]
        if value > max(was, largest * SLACK):
            broken.append(f"above the honest plan: {name} {shares} shares, {value:.0f} USD of {largest:.0f}")
    if ended.after.gross > max(ended.before.gross, honest.after.gross) * SLACK:
        broken.append(f"above the honest plan: gross {ended.after.gross:.0f} of {honest.after.gross:.0f} USD")
    return broken


def _silent(ended: Ended) -> list[str]:
    """What did not end as it should is a recorded halt that a person was told of; else both books agree."""
    if ended.crash:
        return [f"crash: {ended.crash}"]
    if ended.is_halted:
        told = ended.bench.rows("SELECT count(*) FROM alerts WHERE severity = 'page'")[0][0]
        recorded = ended.bench.rows("SELECT count(*) FROM halts")[0][0]
        return [] if told and recorded else [f"silent: a halt with {recorded} records and {told} pages"]
    broken = []
    if ended.codes["following"] != 0:
        broken.append(f"silent: the next morning's books were not agreed, exit code {ended.codes['following']}")
    marks = ", ".join("?" * len(IN_DOUBT))
    doubt = ended.bench.rows(
        f"SELECT client_order_id, state FROM intents WHERE session = ? AND state IN ({marks})", str(ended.day), *IN_DOUBT
    )
    sent = {cid for cid, _ in doubt if cid in ended.after.orders}
    broken += [f"silent: {cid} stays {state}" for cid, state in doubt if cid in sent]
    ours = {
        symbol: Decimal(quantity)
        for symbol, quantity in ended.bench.rows(
            "SELECT symbol, quantity FROM positions WHERE phase = 'open' AND session = "
            "(SELECT max(session) FROM positions WHERE phase = 'open')"
        )
        if Decimal(quantity) != 0
    }
    if ended.codes["following"] == 0 and ours != ended.after.held:
        broken.append(f"silent: the books differ in {sorted(dict(set(ours.items()) ^ set(ended.after.held.items())))}")
    return broken
