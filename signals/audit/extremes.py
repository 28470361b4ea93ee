r"""Returns above +100 % or below -50 %: accepted as data, quarantined as two joined securities, or left undecided.

A move of more than `STITCH_RATIO` times from under `STITCH_BELOW_USD` that no record explains is no return: one
security ends at its last price and another begins. Every other extreme return is *undecided* until a second source
speaks: an action recorded for that session, a person's word (`confirmed` in an actions file), or its own level, held
for `HOLDS_SESSIONS` bars, each of them nearer to where it went than to where it came from:

    |log L_{e+i} - log L_e| < |log L_e - log L_{e-1}| / 2,    i = 1 .. 5

An undecided return counts in full in every figure that judges, and teaches nothing. From its session on, until its
newest extreme return is decided, a name belongs to no universe and is not traded: what is held stays, at the broker's
own price. On a device the broker's closes are a second source of what it holds (`execution.planning.opinions`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from signals.audit.defects import DefectConfig
from signals.audit.delivered_rows import DeliveredRows, Events
from signals.audit.returns import gap_returns, returns, steps
from signals.market.actions import Action, ActionKind
from signals.market.bars import Bars, Flags, Floats, bridged

STITCH_RATIO, STITCH_BELOW_USD = 5.0, 1.0
HOLDS_SESSIONS = 5


@dataclass(frozen=True, eq=False)
class Extremes:
    """Of each row, shape (R,): whether its return is undecided, and whether its name waits at that session."""

    undecided: Flags
    waits: Flags


@dataclass(frozen=True)
class WaitingReturn:
    """The extreme return that a name waits for: from the close of `before`, its bar before, to that of `session`."""

    symbol: str
    before: date
    session: date
    move: float


def ends_of_stitches(data: DeliveredRows, usable: Flags, recorded: Events, confirmed: Flags) -> list[Action]:
    """Return, for each row that begins another security under its symbol, the end of the one before at its last price.

    Parameters
    ----------
    usable, confirmed : bool, shape (R,)
    """
    moved = _moves(data, usable, recorded)
    pairs = steps(data.rows, usable, data.session)
    b, a = pairs.before, pairs.after
    begins = (
        (1.0 + moved[a] > STITCH_RATIO)
        & (data.rows.close[b] < STITCH_BELOW_USD)
        & ~_is_explained(recorded)[a]
        & ~confirmed[a]
        & (data.symbol[a] == data.symbol[b])
    )
    return [
        Action(ActionKind.DELISTING, str(data.symbol[row]), day, day, cash=Decimal(repr(float(data.rows.close[last]))), inferred=True)
        for last, row in zip(b[begins], a[begins], strict=True)
        for day in (data.rows.day[row].astype(object),)
    ]


def extremes(
    data: DeliveredRows,
    usable: Flags,
    recorded: Events,
    confirmed: Flags,
    sessions: int,
    config: DefectConfig,
    said: tuple[Flags, Flags] | None = None,
) -> Extremes:
    """Find what is undecided and who waits, by what is known at each row's session.

    Parameters
    ----------
    usable, confirmed : bool, shape (R,)
    sessions : int
        Of the dataset.
    said : (bool, bool), each of shape (R,), optional
        Rows whose answer is known already, and that answer.
    """
    moved = _moves(data, usable, recorded)
    undecided = beyond(moved, config) & ~_is_explained(recorded) & ~confirmed & usable
    if said is not None:
        undecided = np.where(said[0], said[1], undecided)
    rows = np.flatnonzero(usable)
    place = data.session[rows], data.rows.security[rows]
    shape = (sessions, len(data.securities))
    has, flagged, moves = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool), np.full(shape, np.nan)
    has[place], flagged[place], moves[place] = True, undecided[rows], moved[rows]
    waits = np.zeros(len(usable), dtype=bool)
    waits[rows] = _waiting(flagged, _decided_at(flagged, has, moves))[place]
    return Extremes(undecided, waits)


def beyond(moved: Floats, config: DefectConfig) -> Flags:
    """Whether returns are extreme; NaN is not."""
    found: Flags = (moved > config.extreme_rise) | (moved < config.extreme_fall)
    return found


def confirmed_rows(data: DeliveredRows, actions: Sequence[Action]) -> Flags:
    """Rows whose return a person called data."""
    said = {(action.symbol, action.effective) for action in actions if action.kind is ActionKind.CONFIRMED}
    found = np.zeros(len(data.rows), dtype=bool)
    for symbol, day in said:
        found |= (data.symbol == symbol) & (data.rows.day == np.datetime64(day, "D"))
    return found


def unsettled(bars: Bars) -> Flags:
    """Undecided returns whose level has not held for `HOLDS_SESSIONS` bars by the panel's end, (T, N)."""
    found: Flags = bars.undecided & (_decided_at(bars.undecided, np.isfinite(bars.close), bridged(bars)[0]) < 0)
    return found


def waits(bars: Bars) -> Flags:
    """Whether each name waits at each session, (T, N), by what was known then."""
    return _waiting(bars.undecided, _decided_at(bars.undecided, np.isfinite(bars.close), bridged(bars)[0]))


def waiting(bars: Bars) -> tuple[str, ...]:
    """Names that wait at the panel's last session, sorted."""
    return tuple(name for name, is_waiting in zip(bars.symbols, waits(bars)[-1], strict=True) if is_waiting)


def waiting_returns(bars: Bars) -> tuple[WaitingReturn, ...]:
    """The newest extreme return of each name that waits at the panel's last session; none without a bar before it."""
    moves, found = bridged(bars)[0], []
    for name in waiting(bars):
        column = bars.symbols.index(name)
        row = int(np.flatnonzero(bars.undecided[:, column])[-1])
        earlier = np.flatnonzero(np.isfinite(bars.close[:row, column]))
        if earlier.size:
            before, session = (bars.sessions[at].astype(object) for at in (int(earlier[-1]), row))
            found.append(WaitingReturn(name, before, session, float(moves[row, column])))
    return tuple(found)


def _moves(data: DeliveredRows, usable: Flags, recorded: Events) -> Floats:
    pairs = steps(data.rows, usable, data.session)
    total, _ = returns(data.rows, pairs, recorded.ratio, recorded.cash)
    gap, _ = gap_returns(data.rows, pairs, recorded.ratio, recorded.cash)
    return np.where(np.isnan(total), gap, total)


def _is_explained(recorded: Events) -> Flags:
    found: Flags = (recorded.ratio != 1.0) | (recorded.cash != 0.0)
    return found


def _decided_at(undecided: Flags, has: Flags, moves: Floats) -> NDArray[np.int64]:
    """Row at which the level of each undecided return has held long enough, (T, N); -1 where it has not."""
    decided = np.full(undecided.shape, -1, dtype=np.int64)
    for row, column in np.argwhere(undecided).tolist():
        later = row + 1 + np.flatnonzero(has[row + 1 :, column])[:HOLDS_SESSIONS]
        away = np.cumsum(np.log1p(np.maximum(moves[later, column], -1.0 + 1e-12)))
        is_held = np.abs(away) < np.abs(np.log1p(max(float(moves[row, column]), -1.0 + 1e-12))) / 2.0
        if len(later) == HOLDS_SESSIONS and bool(is_held.all()):
            decided[row, column] = later[-1]
    return decided


def _waiting(undecided: Flags, decided: NDArray[np.int64]) -> Flags:
    """Whether each name waits at each session, (T, N): until its newest extreme return is decided."""
    waits = np.zeros(undecided.shape, dtype=bool)
    for row, column in np.argwhere(undecided).tolist():
        end = decided[row, column]
        waits[row:, column] = True
        if end >= 0:
            waits[end:, column] = False
    return waits
