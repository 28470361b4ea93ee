"""Audits chains by underlying and day: GREEN, AMBER or RED with the reasons.

Invariants
----------
1. GREEN: at least two expiries, each with 8 two-sided quotes out of the money and parity within the spread of a pair.
   AMBER: one such expiry, or several of which not all are so. RED: none, or an underlying that the quotes deny.
   A day whose quotes are all those of the day before is RED.
2. The audit of a day depends on that day's rows, the day before and splits alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from signals.market.actions import Action, ActionKind
from signals.market.audits import SessionStatus
from trainer.options.chains.chain import OptionChain, forward_of, outside

MOST_GAP = 0.05  # of the underlying's close from the nearest forward, as a logarithm
LEAST_QUOTES, LEAST_EXPIRIES = 8, 2
CONTRACT_AND_QUOTE = ("expiration", "strike", "is_call", "bid", "ask")


@dataclass(frozen=True)
class ChainAudit:
    """Audit of one underlying and day."""

    root: str
    day: date
    status: SessionStatus
    reasons: tuple[str, ...]
    expiries: int
    quotes: int


def splits_of(actions: Iterable[Action]) -> dict[str, tuple[tuple[date, float], ...]]:
    """Return (effective, ratio) of every split, by symbol."""
    found: dict[str, list[tuple[date, float]]] = {}
    for action in actions:
        if action.kind is ActionKind.SPLIT and action.ratio is not None:
            found.setdefault(action.symbol, []).append((action.effective, float(action.ratio)))
    return {symbol: tuple(sorted(rows)) for symbol, rows in found.items()}


def restated(chain: OptionChain, forward: float | None, splits: tuple[tuple[date, float], ...]) -> OptionChain:
    """Return the chain with its underlying in the strikes' units.

    A vendor may deliver the close as it reads after a split, next to the strikes of before. Where forward and close are
    apart, the close is multiplied by the splits after the day, one after the other, until they agree; it is left alone
    where they never do.
    """
    if forward is None or not chain.spot > 0.0 or abs(np.log(chain.spot / forward)) <= MOST_GAP:
        return chain
    ratio = 1.0
    for effective, step in splits:
        if effective > chain.day:
            ratio *= step
            if abs(np.log(chain.spot * ratio / forward)) <= MOST_GAP:
                return replace(chain, spot=chain.spot * ratio, restated=ratio)
    return chain


def audit_chain(chain: OptionChain, splits: tuple[tuple[date, float], ...] = ()) -> tuple[OptionChain, ChainAudit]:
    """Restate the underlying and audit one day."""
    good, poor, nearest = 0, [], None
    for expiration, rows in chain.slices():
        forward = forward_of(rows, chain.years(expiration))
        if forward is None:
            poor.append(f"{expiration}: no forward")
            continue
        nearest = nearest or forward.value
        quotes = len(outside(rows, forward.value))
        if quotes < LEAST_QUOTES:
            poor.append(f"{expiration}: {quotes} quotes")
        elif forward.residual > forward.half_spread:
            poor.append(f"{expiration}: parity off by {forward.residual:.2f}, half a spread is {forward.half_spread:.2f}")
        else:
            good += 1
    chain = restated(chain, nearest, splits)
    status, reasons = _verdict(chain, nearest, good, poor)
    return chain, ChainAudit(chain.root, chain.day, status, reasons, len(chain.expirations), int(np.isfinite(chain.mid).sum()))


def or_repeated(audit: ChainAudit, chain: OptionChain, before: OptionChain) -> ChainAudit:
    """Return the audit of a day, RED where every quote is that of the day before: no two closes quote a whole chain alike."""
    if audit.status is SessionStatus.RED or len(chain) != len(before) or audit.quotes < LEAST_QUOTES:
        return audit
    pairs = ((getattr(chain, name), getattr(before, name), name in ("bid", "ask")) for name in CONTRACT_AND_QUOTE)
    if not all(np.array_equal(ours, theirs, equal_nan=has_gaps) for ours, theirs, has_gaps in pairs):
        return audit
    return replace(audit, status=SessionStatus.RED, reasons=(f"every quote is that of {before.day}", *audit.reasons))


def _verdict(chain: OptionChain, forward: float | None, good: int, poor: list[str]) -> tuple[SessionStatus, tuple[str, ...]]:
    if not np.isfinite(chain.bid).any():
        return SessionStatus.RED, ("no quotes",)
    if forward is not None and chain.spot > 0.0 and abs(np.log(chain.spot / forward)) > MOST_GAP:
        return SessionStatus.RED, (f"the underlying's {chain.spot:.2f} is not the options' {forward:.2f}: a split without a record?",)
    said = [f"the underlying was multiplied by {chain.restated:g} for splits"] if chain.restated != 1.0 else []
    said += [f"known on {chain.known_at}: no feature of that evening is made of it"] if chain.is_late else []
    said += ["no close of the underlying"] if not chain.spot > 0.0 else []
    if good == 0:
        return SessionStatus.RED, tuple([*said, *(poor or ["nothing expires later"])])
    if good < LEAST_EXPIRIES:
        said.append("one usable expiry: no term structure, no calendar to check")
    is_green = good >= LEAST_EXPIRIES and not poor and chain.spot > 0.0 and not chain.is_late
    return (SessionStatus.GREEN if is_green else SessionStatus.AMBER), tuple([*said, *poor])
