"""Figures that funds and the sector give of an event, for a recipe that asks for them (`label.peers`).

    signed_volume   side x sum of sign(close - open) x dollars, over the sum of dollars, 20 sessions
    beta_spy        of the name's total return to SPY's, 60 sessions; beta_sector to the mean of its sector's other and own names
    tlt_20          side x beta to TLT x TLT's total return over 20 sessions: what its move says of the name; so hyg_20 and vix_20,
                    the latter by the first of its `FUNDS` that there is

A fund's return alone is common to all names of a session, from which a learner knows sessions by heart; times the name's beta it is
not. What the dataset lacks, a fund or its sectors, is missing, never zero.
"""

from collections.abc import Mapping

import numpy as np

from signals.errors import FixInput
from signals.events.panel import EventBars
from signals.features.history import sector_return
from signals.indicators.recurrence import shifted
from signals.indicators.stacked import Stacked
from signals.market.bars import CLASSIFIED, Bars, Floats
from signals.sleeves.events import DECIMALS, OF_PEERS, event_figures

BETA_SESSIONS, MOVE_SESSIONS = 60, 20
FUNDS = {"spy": ("SPY",), "tlt": ("TLT",), "hyg": ("HYG",), "vix": ("VIXY", "VXX", "VIXM")}


def peer_figures(bars: Bars) -> Mapping[str, Floats]:
    """Return `OF_PEERS` by name, float64 (T, N), NaN where an eligible name has no event, or the peer no return.

    Raises
    ------
    FixInput
        The bars hold neither a fund nor sectors.
    """
    levels, side, returns = EventBars.of(bars), event_figures(bars)["event_side"], bars.total_return
    peers = {name: returns[:, [bars.column(one)]] for name, given in FUNDS.items() for one in given[::-1] if one in bars.symbols}
    if (sector := CLASSIFIED[0]) in bars.joined:
        peers["sector"] = sector_return(returns, bars.eligible, bars.joined[sector])
    if not peers:
        every = ", ".join(one for given in FUNDS.values() for one in given)
        raise FixInput("no fund and no sector is among these bars", where="label.peers", fix=f"Ingest some of {every}, or leave peers out")
    found = {name: np.full(returns.shape, np.nan) for name in OF_PEERS}
    with np.errstate(invalid="ignore", divide="ignore"):
        flow = Stacked({"signed": np.sign(levels.close - levels.open) * levels.dollars, "dollars": levels.dollars})
        found["event_signed_volume"] = side * flow.mean("signed", MOVE_SESSIONS) / flow.mean("dollars", MOVE_SESSIONS)
        for name, peer in peers.items():
            beta = beta_to(returns, peer)
            if f"event_beta_{name}" in found:
                found[f"event_beta_{name}"] = np.where(np.isfinite(side), beta, np.nan)
            else:
                level: Floats = np.cumprod(1.0 + np.nan_to_num(peer), axis=0, dtype=np.float64)
                move = np.where(np.isfinite(peer), level / shifted(level, MOVE_SESSIONS) - 1.0, np.nan)
                found[f"event_{name}_20"] = side * beta * move
    return {name: panel.round(DECIMALS) for name, panel in found.items()}


def beta_to(returns: Floats, peer: Floats) -> Floats:
    """Return the beta of returns, (T, N), to those of a peer, (T, 1) or (T, N), over `BETA_SESSIONS`; NaN before there are so many."""
    known = np.isfinite(returns) & np.isfinite(peer)
    own, other = np.where(known, returns, np.nan), np.where(known, peer, np.nan)
    stacked = Stacked({"own": own, "other": other, "both": own * other, "square": other**2})
    mean = {name: stacked.mean(name, BETA_SESSIONS) for name in ("own", "other", "both", "square")}
    spread = mean["square"] - mean["other"] ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        beta: Floats = np.where(spread > 0.0, (mean["both"] - mean["own"] * mean["other"]) / spread, np.nan)
    return beta
