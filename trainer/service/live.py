"""Live performance of the published models: their scores against realised returns, and against the range that their bundles state.

The scores are those that were delivered, as signed documents; the yardstick is the one that promised (`execution.yardstick`).
A probability is judged by the map of the very bundle that scored: that an order at the open is, k opens later, above the
median of its session. Features drift as on the device (`signals.monitoring.drift`).
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from execution.yardstick import Lived, lived
from signals.bundle import Bundle, Keyset
from signals.bundle.calibration import AppliedCalibration, probabilities
from signals.market.bars import Bars, Floats, Opens, opens
from signals.market.dataset import load_bars, read_manifest
from signals.market.manifest import Manifest
from signals.models.heads import ScoreHead
from signals.monitoring.drift import WINDOW_SESSIONS, Drift, read_reference, trailing_psi
from signals.monitoring.expectation import Expectation, expected_of
from signals.monitoring.sequential import judge
from signals.scoring.evening_scores import EveningScores, open_scores, scores_name
from signals.scoring.scoring import sleeve_of
from trainer.curation.store import ObjectStore
from trainer.validation.calibration import brier_score, expected_calibration_error
from trainer.validation.probabilities import EVENT, Group, excess_brier, groups_of

LIFE_SESSIONS, RISK_SESSIONS = 252, 20
NEWS_SESSIONS = 10  # within which bars that were corrected make labels anew
TOP_SHARE, BINS = 0.2, 5
Maps = Mapping[str, AppliedCalibration]  # of bundles, by the SHA-256 of their manifests


@dataclass(frozen=True)
class LiveMean:
    """A mean over sessions with the ends of its 95 % interval; None where nothing was observed."""

    mean: float | None
    low: float | None
    high: float | None


NOTHING = LiveMean(None, None, None)


@dataclass(frozen=True)
class LiveProbabilities:
    """Probabilities against outcomes.

    Attributes
    ----------
    groups : tuple of Group
        Fifths by probability: what was said, and the win rate with its interval.
    error, brier : float
        Mean distance of said and seen, and the Brier score.
    excess : LiveMean
        Brier score less that of saying one half of every name: above 0 the map does harm.
    """

    groups: tuple[Group, ...]
    error: float
    brier: float
    excess: LiveMean


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
    probabilities : LiveProbabilities or None
        None where no bundle with a map has been judged.
    drift : tuple of Drift
        Features beyond the limits of the bundle's own training history.
    realised_r : LiveMean
        Mean outcome of the top fifth by score in R, each name's own deviation of 20 sessions.
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
    probabilities: LiveProbabilities | None = None
    drift: tuple[Drift, ...] = ()
    realised_r: LiveMean = NOTHING

    @property
    def sentence(self) -> str:
        """One line for a person."""
        if self.ic.mean is None:
            return f"{self.slot}: {self.evenings} evenings, none judged yet"
        band = f", promised {self.low:+.4f} to {self.high:+.4f}: {self.word}" if self.low is not None else ""
        wins = f"; top fifth above the median {self.win_rate.mean:.1%}" if self.win_rate.mean is not None else ""
        risk = f", {self.realised_r.mean:+.3f} R" if self.realised_r.mean is not None else ""
        said = f"; P(up) off by {self.probabilities.error:.1%}" if self.probabilities else ""
        said += " and worse than one half" if self.probabilities and (self.probabilities.excess.low or 0.0) > 0.0 else ""
        drift = f"; drifting: {', '.join(one.name for one in self.drift)}" if self.drift else ""
        return f"{self.slot}: IC {self.ic.mean:+.4f} over {self.sessions} sessions{band}{wins}{risk}{said}{drift}"

    def metrics(self) -> dict[str, float]:
        """Return its numbers by name, for a tracking server."""
        found = {"live ic": self.ic.mean, "live ic low": self.ic.low, "live ic high": self.ic.high, "live net": self.net.mean}
        found |= {"promised ic low": self.low, "promised ic high": self.high, "live win rate": self.win_rate.mean}
        found |= {"live realised r": self.realised_r.mean}
        if self.probabilities:
            found |= {"live calibration error": self.probabilities.error, "live brier": self.probabilities.brier}
            found |= {"live excess brier": self.probabilities.excess.mean}
        return {name: value for name, value in found.items() if value is not None} | {"features drifting": float(len(self.drift))}


def map_of(bundle: Bundle) -> Maps:
    """Return the map of a bundle whose scores say how likely a name is above the median; nothing for any other."""
    line = bundle.manifest.heads[0]
    known = line.calibration
    return {bundle.sha256: known} if isinstance(line.head, ScoreHead) and known is not None and known.event == EVENT else {}


@dataclass(frozen=True, eq=False)
class LiveScores:
    """The delivered scores of a slot, (T, N) on the axes of their bars, what followed, and what they made of it."""

    evenings: tuple[EveningScores, ...]
    bars: Bars
    scores: Floats
    following: Opens
    seen: Lived

    @property
    def net(self) -> dict[date, float]:
        """Net return of the decile book by session, as far as it is known."""
        known = np.isfinite(self.seen.ic)
        days = self.bars.sessions[self.seen.rows[known]].astype(object).tolist()
        return dict(zip(days, self.seen.net[known].tolist(), strict=True))

    def labels(self, k: int) -> Iterator[tuple[date, tuple[str, ...], Floats]]:
        """Yield session, names and returns over k opens of the evenings of which that is known since a few sessions at most."""
        held = held_over(self.following, k)
        column = {symbol: place for place, symbol in enumerate(self.bars.symbols)}
        for evening in self.evenings[-(k + NEWS_SESSIONS) :]:
            row = held[self.bars.index(evening.asof)]
            yield evening.asof, evening.symbols, np.array([row[column[one]] if one in column else np.nan for one in evening.symbols])


def live_scores(
    slot: str, bundle: Bundle, store: ObjectStore, data: Path, keyset: Keyset, asof: date, others: Collection[str]
) -> LiveScores | None:
    """Read the scores that a slot's model delivered, at most a year of them, and what came of them; None where there are none.

    `others` are the SHA-256 of the manifests of bundles of other models: its life begins after the last of theirs.
    """
    manifest = read_manifest(data)
    days = manifest.calendar.between(manifest.first, asof)
    delivered = [found for day in days[-LIFE_SESSIONS:] if (found := _evening(store, slot, day, keyset)) is not None]
    evenings = delivered[max((place + 1 for place, one in enumerate(delivered) if one.bundle_sha256 in others), default=0) :]
    if not evenings:
        return None
    bars = load_bars(data, manifest, days[max(0, days.index(evenings[0].asof) - RISK_SESSIONS - 1)], asof)
    scores, following = _said(evenings, bars), opens(bars)
    return LiveScores(tuple(evenings), bars, scores, following, lived(scores, following, bundle.manifest.horizon_sessions))


def live_figures(slot: str, bundle: Bundle, found: LiveScores, data: Path, asof: date, maps: Maps) -> LiveFigures:
    """Judge the delivered scores of a slot, with the maps of the bundles that scored, as far as they are known."""
    expected, seen, outcomes = expected_of(bundle), found.seen, found.following.outcomes()
    said_by = {found.bars.index(one.asof): maps[one.bundle_sha256] for one in found.evenings if one.bundle_sha256 in maps}
    ic = seen.ic[np.isfinite(seen.ic)]
    band = expected.band("ic", len(ic)) if expected is not None and len(ic) else None
    mean = float(ic.mean()) if len(ic) else None
    word = "" if band is None or mean is None else "BELOW" if mean < band[0] else "ABOVE" if mean > band[-1] else "INSIDE"
    return LiveFigures(
        slot,
        found.evenings[0].asof,
        len(found.evenings),
        len(ic),
        _interval(seen.ic),
        None if band is None else band[0],
        None if band is None else band[-1],
        word,
        _interval(_of_top(found.scores, outcomes, lambda top, all_names: (top > np.median(all_names)).mean())),
        _interval(seen.net),
        _is_alarm(seen.ic, expected),
        judged_probabilities(found.scores, found.following, bundle.manifest.horizon_sessions, said_by),
        _drift(bundle, read_manifest(data), data, asof),
        _interval(_of_top(found.scores, in_risk(outcomes), lambda top, _: top.mean())),
    )


def _evening(store: ObjectStore, slot: str, day: date, keyset: Keyset) -> EveningScores | None:
    """Return what was delivered for an evening, by the keys that counted on it: one that has ended since did sign it then."""
    name = scores_name(slot, day)
    content = store.get(name)
    return None if content is None else open_scores(content, keyset, day, name)


def _said(evenings: list[EveningScores], bars: Bars) -> Floats:
    """Scores on the axes of the bars, (T, N); NaN where nothing was said."""
    column = {symbol: place for place, symbol in enumerate(bars.symbols)}
    scores = np.full(bars.close.shape, np.nan)
    for evening in evenings:
        row = bars.index(evening.asof)
        for symbol, value in zip(evening.symbols, evening.scores, strict=True):
            if symbol in column:
                scores[row, column[symbol]] = value
    return scores


def held_over(following: Opens, k: int) -> Floats:
    """Return from the next open to that k opens later, shape (T, N); NaN where it is not known."""
    held = np.where(following.fills, 1.0, np.nan)
    for step in range(k):
        known_rows = max(0, len(held) - step)  # a champion of yesterday has fewer rows than its horizon has opens
        held[:known_rows] *= 1.0 + following.earned[step:]
        held[known_rows:] = np.nan
    return held - 1.0


def judged_probabilities(scores: Floats, following: Opens, k: int, maps: Mapping[int, AppliedCalibration]) -> LiveProbabilities | None:
    """Judge what the map of each row said: that an order at the next open is above its session's median k opens later.

    Examples
    --------
    >>> from signals.bundle.calibration import PlattMap
    >>> known = AppliedCalibration(event="up", map=PlattMap(slope=0.0, intercept=0.0))
    >>> earned = np.array([[0.01, -0.01], [np.nan, np.nan], [np.nan, np.nan]])
    >>> following = Opens(earned, np.ones((3, 2), dtype=bool), np.zeros((3, 2), dtype=bool))
    >>> found = judged_probabilities(np.ones((3, 2)), following, 1, {0: known, 1: known})
    >>> [(one.rows, one.said, one.came) for one in found.groups]
    [(1, 0.5, 1.0), (1, 0.5, 0.0)]
    >>> found.error, found.brier, found.excess
    (0.5, 0.25, LiveMean(mean=0.0, low=None, high=None))
    >>> judged_probabilities(np.ones((3, 2)), following, 5, {0: known}) is None
    True
    """
    held = held_over(following, k)
    said, up, rows = [np.empty(0)], [np.empty(0)], [np.empty(0, dtype=np.int64)]
    for row, known in maps.items():
        there = np.isfinite(scores[row]) & np.isfinite(held[row])
        found = probabilities(ScoreHead(), known, scores[row, there][:, None])
        if found is not None and there.any():
            said.append(found[:, 0])
            up.append((held[row, there] > np.median(held[row, there])).astype(np.float64))
            rows.append(np.full(int(there.sum()), row))
    p, seen, sessions = np.concatenate(said), np.concatenate(up), np.concatenate(rows)
    if not len(p):
        return None
    excess = excess_brier(p, 0.5, seen, sessions, k)
    error = expected_calibration_error(seen, p, bins=BINS)
    return LiveProbabilities(
        groups_of(p, seen, sessions, k, BINS), error, brier_score(seen, p), _around(excess.mean, excess.standard_error)
    )


def _drift(bundle: Bundle, manifest: Manifest, data: Path, asof: date) -> tuple[Drift, ...]:
    """Features of the newest sessions beyond their limits; none of a sleeve that reads other datasets, which its device watches."""
    sleeve, reach = sleeve_of(bundle), manifest.calendar.between(manifest.first, asof)
    if sleeve.joined or not bundle.drift_reference.get("features"):
        return ()
    bars = load_bars(data, manifest, reach[-(sleeve.lookback_sessions + WINDOW_SESSIONS - 1) :][0], asof)
    found = trailing_psi(read_reference(bundle.drift_reference), sleeve.panel(bars), []).features
    return tuple(sorted((one for one in found if one.is_exceeded), key=lambda one: -one.ratio))


def in_risk(outcomes: Floats) -> Floats:
    """Outcomes in R: by the name's own deviation of the 20 outcomes that were known at the time; NaN where fewer were.

    The outcome of an evening is known two opens later, so the two before it have no part in its unit.

    Examples
    --------
    >>> moves = np.where(np.arange(30) % 2, -0.02, 0.02)[:, None]
    >>> in_risk(moves)[20:24, 0].round(6).tolist()
    [nan, nan, 1.0, -1.0]
    """
    found = np.full(outcomes.shape, np.nan)
    for row in range(RISK_SESSIONS + 2, len(outcomes)):
        before = outcomes[row - RISK_SESSIONS - 2 : row - 2]
        risk = np.where(np.isfinite(before).all(axis=0), before.std(axis=0), np.nan)
        found[row] = np.divide(outcomes[row], risk, out=np.full(outcomes.shape[1], np.nan), where=risk > 0.0)
    return found


def _of_top(scores: Floats, outcomes: Floats, figure: Callable[[Floats, Floats], Any]) -> Floats:
    """A figure of the outcomes of each session's top fifth, and of all names; NaN where nothing is known."""
    found = np.full(len(scores), np.nan)
    for row, (said, came) in enumerate(zip(scores, outcomes, strict=True)):
        known = np.isfinite(said) & np.isfinite(came)
        if known.sum() >= 1 / TOP_SHARE:
            top = np.argsort(said[known])[-int(known.sum() * TOP_SHARE) :]
            found[row] = float(figure(came[known][top], came[known]))
    return found


def _interval(values: Floats) -> LiveMean:
    known = values[np.isfinite(values)]
    if not len(known):
        return NOTHING
    return _around(float(known.mean()), float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else float("nan"))


def _around(mean: float, standard_error: float) -> LiveMean:
    wide = 1.96 * standard_error
    return LiveMean(mean, mean - wide, mean + wide) if np.isfinite(wide) else LiveMean(mean, None, None)


def _is_alarm(ic: Floats, expected: Expectation | None) -> bool:
    if expected is None or not len(ic):
        return False
    promised, bound = (np.full(len(ic), value) for value in (expected.ic.promised, expected.ic.bound))
    return judge(ic, promised, bound).alarm is not None
