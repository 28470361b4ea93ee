"""Persistent scores and their overlapping labels, whose outcomes mean what a signal of known strength makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tests.fakes.labelled import samples_of
from trainer.samples.samples import Samples
from trainer.validation.deciles import decile_curve, decile_of
from trainer.validation.ic import rank_ic

K, SESSIONS, NAMES = 5, 300, 40
PERSISTENCE = 0.95


@dataclass(frozen=True, eq=False)
class History:
    """Rows, their scores and outcomes, one each; by session the rank IC; and the decile curve."""

    rows: Samples
    scores: np.ndarray
    k: int = K

    @property
    def outcomes(self) -> np.ndarray:
        """Whether each row beat its session's median."""
        return np.asarray(self.rows.target > 0, dtype=np.float64)

    @property
    def middle(self) -> int:
        """First session of the later half."""
        return len(np.unique(self.rows.t0)) // 2

    @property
    def ic(self) -> np.ndarray:
        """Rank IC by session."""
        return rank_ic(self.rows.dense(self.scores), self.rows.dense(self.rows.label))

    @property
    def curve(self) -> np.ndarray:
        """Mean label by score decile."""
        return decile_curve(decile_of(self.rows.dense(self.scores)), self.rows.dense(self.rows.label))


def honest(strength: float, seed: int, sessions: int = SESSIONS, names: int = NAMES) -> History:
    """Scores whose next return is `strength` times the score, beside luck with fat tails."""
    rng = np.random.default_rng(seed)
    score = np.empty((sessions + K + 2, names))
    score[0] = rng.normal(size=names)
    for day in range(1, len(score)):
        score[day] = PERSISTENCE * score[day - 1] + np.sqrt(1 - PERSISTENCE**2) * rng.normal(size=names)
    returns = strength * score + rng.standard_t(4, size=score.shape)
    label = np.array([returns[day + 1 : day + 1 + K].sum(axis=0) for day in range(sessions)])
    target = label - np.median(label, axis=1, keepdims=True)
    t0 = np.repeat(np.arange(sessions), names)
    rows = samples_of(
        sessions=np.busday_offset(np.datetime64("2020-01-01"), np.arange(sessions + K + 2), roll="forward"),
        symbols=tuple(f"N{i:02d}" for i in range(names)),
        names=("f",),
        t0=t0,
        t1=t0 + K + 1,
        column=np.tile(np.arange(names), sessions),
        features=np.zeros((len(t0), 1), np.float32),
        label=label.ravel(),
        target=target.ravel(),
        weight=np.ones(len(t0)),
    )
    return History(rows, score[:sessions].ravel())


def planted(strength: float, seed: int) -> History:
    """The same, but the scores turn round in the later half."""
    one = honest(strength, seed)
    return replace(one, scores=np.where(one.rows.t0 < one.middle, one.scores, -one.scores))
