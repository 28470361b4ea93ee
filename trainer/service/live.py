"""Live performance of the published models: their scores against realised returns, and against the range that their bundles state.

The scores are those that were delivered, as signed documents; the yardstick is the one that promised (`execution.yardstick`).
"""

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from execution.yardstick import Lived, lived
from signals.bundle import Bundle, Keyset
from signals.market.bars import Floats
from signals.market.dataset import load_bars, read_manifest
from signals.market.holding import opens
from signals.market.manifest import Manifest
from signals.monitoring.expectation import Expectation, expected_of
from signals.monitoring.sequential import judge
from signals.scoring.evening_scores import EveningScores, open_scores, scores_name
from trainer.curation.store import ObjectStore

LIFE_SESSIONS = 252
TOP_SHARE = 0.2


@dataclass(frozen=True)
class LiveMean:
    """A mean over sessions with the ends of its 95 % interval; None where nothing was observed."""

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class LiveFigures:
    """A published model against its promise.

    Attributes
    ----------
    first : date
        The first evening that was scored, of a year at most.
    evenings, sessions : int
        Scored, and judged by now.
    ic : LiveMean
        Rank IC against the following open-to-open return.
    low, high : float or None
        Ends of what the bundle promised for so many sessions.
    word : str
        INSIDE, BELOW or ABOVE; empty where it promised nothing or nothing is known.
    win_rate : LiveMean
        Share of the top fifth by score whose return was above the session's median.
    net : LiveMean
        Of the decile book after the spread, a session.
    alarm : bool
        Whether the sequential test says that this is no longer what was promised.
    """

    slot: str
    first: date
    evenings: int
    sessions: int
    ic: LiveMean
    low: float | None
    high: float | None
    word: str
    win_rate: LiveMean
    net: LiveMean
    alarm: bool

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if self.ic.mean is None:
            return f"{self.slot}: {self.evenings} evenings, none judged yet"
        band = f", promised {self.low:+.4f} to {self.high:+.4f}: {self.word}" if self.low is not None else ""
        wins = f"; top fifth above the median {self.win_rate.mean:.1%}" if self.win_rate.mean is not None else ""
        return f"{self.slot}: IC {self.ic.mean:+.4f} over {self.sessions} sessions{band}{wins}"


def live_figures(slot: str, bundle: Bundle, store: ObjectStore, data: Path, keyset: Keyset, asof: date) -> LiveFigures | None:
    """Judge the delivered scores of a slot, at most a year of them; None where there are none."""
    manifest = read_manifest(data)
    days = manifest.calendar.between(manifest.first, asof)[-LIFE_SESSIONS:]
    evenings = [found for day in days if (found := _evening(store, slot, day, keyset, asof)) is not None]
    if not evenings:
        return None
    k, expected = bundle.manifest.horizon_sessions, expected_of(bundle)
    seen, wins = _judged(evenings, manifest, data, asof, k)
    ic = seen.ic[np.isfinite(seen.ic)]
    band = expected.band("ic", len(ic)) if expected is not None and len(ic) else None
    mean = float(ic.mean()) if len(ic) else None
    word = "" if band is None or mean is None else "BELOW" if mean < band[0] else "ABOVE" if mean > band[-1] else "INSIDE"
    return LiveFigures(
        slot,
        evenings[0].asof,
        len(evenings),
        len(ic),
        _interval(seen.ic),
        None if band is None else band[0],
        None if band is None else band[-1],
        word,
        _interval(wins),
        _interval(seen.net),
        _is_alarm(seen.ic, expected),
    )


def _evening(store: ObjectStore, slot: str, day: date, keyset: Keyset, today: date) -> EveningScores | None:
    name = scores_name(slot, day)
    content = store.get(name)
    return None if content is None else open_scores(content, keyset, today, name)


def _judged(evenings: list[EveningScores], manifest: Manifest, data: Path, asof: date, k: int) -> tuple[Lived, Floats]:
    bars = load_bars(data, manifest, evenings[0].asof, asof)
    column = {symbol: place for place, symbol in enumerate(bars.symbols)}
    scores = np.full(bars.close.shape, np.nan)
    for evening in evenings:
        row = bars.index(evening.asof)
        for symbol, value in zip(evening.symbols, evening.scores, strict=True):
            if symbol in column:
                scores[row, column[symbol]] = value
    following = opens(bars)
    return lived(scores, following, k), _win_rates(scores, following.outcomes())


def _win_rates(scores: Floats, outcomes: Floats) -> Floats:
    """Share of each session's top fifth whose outcome is above the session's median; NaN where nothing is known."""
    found = np.full(len(scores), np.nan)
    for row, (said, came) in enumerate(zip(scores, outcomes, strict=True)):
        known = np.isfinite(said) & np.isfinite(came)
        if known.sum() >= 1 / TOP_SHARE:
            top = np.argsort(said[known])[-int(known.sum() * TOP_SHARE) :]
            found[row] = float((came[known][top] > np.median(came[known])).mean())
    return found


def _interval(values: Floats) -> LiveMean:
    known = values[np.isfinite(values)]
    if not len(known):
        return LiveMean(None, None, None)
    mean = float(known.mean())
    wide = 1.96 * float(known.std(ddof=1)) / float(np.sqrt(len(known))) if len(known) > 1 else float("nan")
    return LiveMean(mean, mean - wide, mean + wide) if np.isfinite(wide) else LiveMean(mean, None, None)


def _is_alarm(ic: Floats, expected: Expectation | None) -> bool:
    if expected is None or not len(ic):
        return False
    promised, bound = (np.full(len(ic), value) for value in (expected.ic.promised, expected.ic.bound))
    return judge(ic, promised, bound).alarm is not None
