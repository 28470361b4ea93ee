"""A generated market with a drift after breakouts, as a panel of its securities, with what an oracle knows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache

import numpy as np
from scipy.ndimage import uniform_filter1d

from signals.events.panel import Kind
from signals.market.bars import Bars, Flags, Floats, days_array
from signals.sleeves.events import EVENTS, event_figures
from trainer.curation.generated import generate
from trainer.labels.horizon import Rows
from trainer.learners.base import FitDevice
from trainer.learners.lgbm import LightGbm
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import learner_of
from trainer.samples.samples import samples
from trainer.tasks.event_arms import EVENT_ARMS, ArmsFigures, ArmsRecipe, arms_figures, at_rows
from trainer.tasks.event_gate import EVENT_GATE, EventTrades, GateRecipe, trades_of
from trainer.validation.clustered import auc
from trainer.validation.ic import Mean
from trainer.validation.splits.oof import walk_forward

END = date(2024, 12, 31)
GROUPS, YOUNG = 5, 61


def panel(seed: int, symbols: int, sessions: int, strength: float) -> tuple[Bars, Floats]:
    """Bars of the securities, each a column whatever its symbols were, and the drift after each breakout."""
    made = generate(seed, symbols, sessions, END, strength=0.0, with_defects=False, events=strength)
    truth, lives = made.truth, made.lives
    column = {name: i for names in (lives.symbol, lives.later_symbol) for i, name in enumerate(names)}
    table = made.bars
    place = np.array([column[name] for name in table["symbol"].to_pylist()])
    row = np.searchsorted(days_array(truth.sessions), table["date"].to_numpy().astype("datetime64[D]"))
    panels = {}
    for name in ("open", "high", "low", "close", "volume"):
        panels[name] = np.full(truth.alive.shape, np.nan)
        panels[name][row, place] = table[name].to_numpy().astype(np.float64)
    eligible = truth.alive & (np.cumsum(truth.alive, axis=0) >= YOUNG) & np.isfinite(panels["close"])
    names = tuple(f"S{i:04d}" for i in range(symbols))
    bars = Bars(
        days_array(truth.sessions),
        names,
        **panels,
        total_return=truth.total_return,
        overnight_return=np.zeros(truth.alive.shape),
        eligible=eligible,
    )
    return bars, truth.edge


known_panel = cache(panel)
"""The same, made once a process; nobody changes it."""


def with_paths(bars: Bars, seed: int, dip_atr: float = 0.0) -> Bars:
    """Highs and lows redrawn as those of a Brownian path from each open to its close: no offset of an entry is then worth anything.

    With a `dip_atr`, the session after a breakout on more volume than usual first goes so many ATR against it: the planted offset.
    """
    rng, body = np.random.default_rng(seed), np.log(bars.close / bars.open)
    spread = np.sqrt(np.maximum(uniform_filter1d(np.nan_to_num(body) ** 2, 41, axis=0), 0.0))
    reach = [np.sqrt(body**2 - 2.0 * spread**2 * np.log(rng.random(body.shape))) for _ in range(2)]
    drawn = replace(bars, high=bars.open * np.exp((body + reach[0]) / 2.0), low=bars.open * np.exp((body - reach[1]) / 2.0))
    if not dip_atr:
        return drawn
    high, low, known = drawn.high.copy(), drawn.low.copy(), event_figures(drawn)
    t, column = np.nonzero(planted(known))
    t, column = t[t + 1 < len(high)], column[t + 1 < len(high)]
    depth = dip_atr * np.exp(known["event_atr"][t, column])
    opened, is_long = drawn.open[t + 1, column], known["event_side"][t, column] > 0
    low[t + 1, column] = np.where(is_long, np.minimum(low[t + 1, column], opened * (1.0 - depth)), low[t + 1, column])
    high[t + 1, column] = np.where(is_long, high[t + 1, column], np.maximum(high[t + 1, column], opened * (1.0 + depth)))
    return replace(drawn, high=high, low=low)


def planted(figures: Mapping[str, Floats]) -> Flags:
    """Breakouts on more volume than usual."""
    found: Flags = (figures["event_kind"] == Kind.BREAKOUT) & (figures["event_volume"] > 0.0)
    return found


@dataclass(frozen=True, eq=False)
class JudgedMarket:
    """Events that have a walk-forward score: the scores, their trades, and the drift that an oracle knows, from each event's side."""

    score: Floats
    trades: EventTrades
    edge: Floats

    @property
    def hit(self) -> Flags:
        """Whether a barrier ended the trade."""
        return self.trades.target | self.trades.stop

    def direction(self, score: Floats) -> Mean:
        """AUC of a score among the events that hit a barrier."""
        return auc(score[self.hit], self.trades.target[self.hit], self.trades.session[self.hit], self.trades.ends[self.hit])


def judged(seed: int, symbols: int, sessions: int, strength: float) -> JudgedMarket:
    """Figures, labels and walk-forward scores of a generated market by the recipe of the sleeve."""
    bars, edge = known_panel(seed, symbols, sessions, strength)
    config = GateRecipe()
    bars = replace(bars, joined=event_figures(bars))
    rows = samples(EVENTS.panel(bars), EVENT_GATE.labels(bars, config, ()), min_names=1)
    forward = walk_forward(rows, learner_of(config, seed, FitDevice.CPU), groups=GROUPS, workers=1, step=lambda _: None)
    seen = np.isfinite(forward)
    side = bars.joined["event_side"][rows.t0, rows.column]
    trades = trades_of(rows, bars, config.label, ())
    return JudgedMarket(forward[seen], trades.at(seen), (edge[rows.t0, rows.column] * side)[seen])


def expected_r(known: JudgedMarket, edge: Floats) -> Floats:
    """R before costs that events of these drifts are worth, by the mean of a market's events of about the same drift."""
    cuts = np.quantile(known.edge, np.linspace(0.0, 1.0, 21))[1:-1]
    place = np.searchsorted(cuts, known.edge)
    worth = np.bincount(place, known.trades.realised_r, 20) / np.maximum(np.bincount(place, minlength=20), 1)
    found: Floats = worth[np.searchsorted(cuts, edge)]
    return found


def judged_arms(seed: int, symbols: int, sessions: int, dip_atr: float, trees: LightGbmConfig) -> tuple[ArmsFigures, Rows, Flags]:
    """Figures of the arms of entries, the chosen arm of each judged event, and whether its offset was planted."""
    bars = with_paths(known_panel(seed, symbols, sessions, 0.0)[0], seed + 1, dip_atr)
    bars = replace(bars, joined=event_figures(bars))
    config = ArmsRecipe()
    rows = samples(EVENTS.panel(bars), EVENT_ARMS.labels(bars, config, ()), min_names=1)
    net, met = at_rows(rows, bars, config.label, ())
    learner = LightGbm(trees, 1)
    said = [walk_forward(replace(rows, target=own), learner, groups=3, workers=2, step=lambda _: None) for own in net]
    found, gained = arms_figures(np.array(said), net, met, rows.t0, rows.t1)
    seen = np.isfinite(gained)
    return found, np.array(said)[:, seen].argmax(axis=0), planted(bars.joined)[rows.t0, rows.column][seen]
