"""The task `event_arms`: at which offset from the next open the trade of an event is worth most.

An arm is an offset of the entry from the next open, in ATR, seen from the event's side: below 0 a better price, which may not come, above
0 a confirmation. A model an arm learns what it makes of each event, 0 R where its entry is not met; the arm with the highest expected R is
chosen, and the default, the open, stays unless that beats it in pairs. R is before costs: a trade that is not entered saves them, which
would pass here for the worth of an offset.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Literal, cast

import numpy as np

from signals.events.outcomes import Exit
from signals.events.panel import EventTable
from signals.events.recorded import OFFSETS, OutcomeRules
from signals.market.actions import Action
from signals.market.bars import Bars, Floats
from signals.models.heads import Head, ScoreHead
from signals.models.inference import SCORE
from signals.scoring.evidence import NAN
from signals.text.documents import to_json
from trainer.labels.horizon import Labels, Rows
from trainer.learners.base import EachTarget, FitDevice
from trainer.learners.export import export
from trainer.learners.parameters import LightGbmConfig
from trainer.recipes.base import RecipeConfig
from trainer.runs import artefacts
from trainer.runs.evidence import Evidence, EvidenceFields, OutOfFoldIc, at_least
from trainer.samples.samples import Material, Samples, seal_holdout
from trainer.search.arena import SearchMetric
from trainer.search.trial_log import Series
from trainer.tasks.base import TaskFindings, TrainingCase, on_figure, plain_report, without_ratios
from trainer.tasks.events import TREES, EventTask, EventTrade, event_labels, played, rows_in, session_sums, thirds
from trainer.validation.clustered import NONE, interval, low, per_event
from trainer.validation.ic import Mean
from trainer.validation.splits.oof import fit_all, scored, walk_forward

HEADS, ARMS = tuple(OFFSETS), tuple(OFFSETS.values())


class ArmsLabel(EventTrade):
    """The trade of an event, entered at an offset."""

    kind: Literal["event_arms"] = "event_arms"


class ArmsRecipe(RecipeConfig):
    """A recipe that learns what each arm is worth."""

    label: ArmsLabel = ArmsLabel()
    lightgbm: LightGbmConfig = TREES


@dataclass(frozen=True)
class ArmFigures:
    """One arm: how often its entry is met, its R an event, what that is above the default's, and how often it is chosen."""

    offset: float
    met: float
    mean_r: Mean
    above_default: Mean
    chosen: float


@dataclass(frozen=True)
class ArmsFigures:
    """All arms, and what the chosen ones are, walking forward.

    Attributes
    ----------
    uplift : Mean
        R an event above the default's, in pairs.
    right_style, commonest_style : float
        Share of events whose chosen style of entry (better price, open, confirmation) is that of the arm that was worth most, and what
        saying the commonest of these has.
    met, price_atr : float
        Share of entries that are met, and their mean distance from the open in ATR, seen from the side: below 0 is a better price.
    """

    uplift: Mean = NONE
    arms: tuple[ArmFigures, ...] = ()
    right_style: float = NAN
    commonest_style: float = NAN
    met: float = NAN
    price_atr: float = NAN

    @property
    def keeps_default(self) -> bool:
        """Whether nothing shows that another arm than the default should be taken."""
        return not low(self.uplift) > 0.0


uplift_bar = on_figure(
    at_least, "uplift", 0.0, "lower bound of the R above the default's, in pairs", lambda known: low(known.part("arms", ArmsFigures).uplift)
)


class EventArms(EventTask):
    """The offset of the entry at which an event's trade is worth most."""

    name = kind = "event_arms"
    config = ArmsRecipe
    bars = (uplift_bar,)

    def labels(self, bars: Bars, config: RecipeConfig, actions: tuple[Action, ...]) -> Labels:
        """Label each event by the R of the default arm, known once every arm is."""
        table, net, ends, _ = arms_of(bars, cast(ArmsRecipe, config).label, actions)
        return event_labels(bars, table, net[0], ends)

    def steps(self, config: RecipeConfig) -> int:
        """How many models of other arms `judge` fits."""
        return (len(ARMS) - 1) * config.cpcv.groups

    def judge(self, case: TrainingCase) -> TaskFindings:
        """Judge what is chosen against the default arm, in pairs."""
        label, source, rows, whole = cast(ArmsRecipe, case.config).label, case.material.source, case.proof.rows, case.material.rows
        shape = {"groups": case.config.cpcv.groups, "workers": case.request.workers}
        heads: dict[str, tuple[Head, bytes]] = {SCORE: (ScoreHead(), case.fitted.exported.onnx)}
        said = [case.proof.walk_forward]
        net, met = at_rows(rows, source.bars, label, source.actions)
        every, _ = at_rows(whole, source.bars, label, source.actions)
        for name, own, target in zip(HEADS[1:], net[1:], every[1:], strict=True):
            said.append(walk_forward(replace(rows, target=own), case.learner, **shape, step=case.step))
            heads[name] = ScoreHead(), export(fit_all(replace(whole, target=target), case.learner), whole.inputs()).onnx
            case.step(f"model {name}")
        found, gained = arms_figures(np.array(said), net, met, rows.day, rows.end_day)
        tried = case.recorded(session_sums(rows, gained))
        fields: EvidenceFields = {
            "ic": OutOfFoldIc(found.uplift.mean, found.uplift.standard_error, found.uplift.t, sessions=found.uplift.sessions),
            "trials": without_ratios(tried),
            "others": {"arms": to_json(found), "thirds": thirds(rows)},
        }
        warned = ("no arm is shown to be worth more than the default, the open: it stays",) if found.keeps_default else ()
        return TaskFindings(fields, warned, partial(plain_report, task=self), case.proof.oof.scores[0], artefacts.models(whole, heads))

    def metric(self, material: Material, config: RecipeConfig, rows: Samples) -> SearchMetric:
        """Return the R above the default's; a trial learns every arm."""
        net, _ = at_rows(rows, material.source.bars, cast(ArmsRecipe, config).label, material.source.actions)
        return SearchMetric("R above the default arm's", lambda said: session_sums(rows, above_default(said.T, net)), EachTarget, net.T)

    def sealed(self, material: Material, config: RecipeConfig, scores: Floats) -> Series:
        """Return the R above the default's in the sealed sessions, by models of the open rows."""
        rows, cpcv, seen = material.rows, config.cpcv, np.flatnonzero(np.isfinite(scores))
        opened, _ = seal_holdout(rows, cpcv.holdout_sessions, cpcv.embargo_sessions)
        learned = self.metric(material, config, opened).rows(opened)
        said = np.full((len(rows), len(ARMS)), np.nan)
        said[seen] = scored(fit_all(learned, EachTarget(self.learner(config, 1, FitDevice.CPU))), rows.inputs(seen))
        said[seen, 0] = scores[seen]
        return self.metric(material, config, rows).series(said)

    def lines(self, known: Evidence) -> list[tuple[str, str]]:
        """(what, figure) lines of the arms."""
        found = known.part("arms", ArmsFigures)
        lines = [("R above the default arm's, chosen by event", interval(found.uplift))]
        for one in sorted(found.arms, key=lambda arm: arm.offset):
            worth = f"R {interval(one.mean_r)}, above the default's {interval(one.above_default)}"
            lines.append((f"Arm {one.offset:+.2f} ATR", f"met {one.met:.0%}, {worth}, chosen {one.chosen:.0%}"))
        right, met, default = found.right_style, found.met, found.arms[0].met if found.arms else NAN
        return [
            *lines,
            ("Style of entry (better price, open, confirmation) as the best one's", f"{right:.1%} (commonest {found.commonest_style:.1%})"),
            ("Entries that are met, chosen and default", f"{met:.1%} and {default:.1%}; at {found.price_atr:+.3f} ATR from the open"),
            ("Arm that is taken", "the default, the open" if found.keeps_default else "the one with the highest expected R"),
        ]


def arms_of(bars: Bars, label: EventTrade, actions: tuple[Action, ...]) -> tuple[EventTable, Floats, Rows, np.ndarray]:
    """Play every arm: events, R (arms, n), the row at which all arms are known (-1 never), and whether each entry was met."""
    rules = [OutcomeRules(label.stop_atr, label.target_r, label.k, offset) for offset in ARMS]
    table, made = played(bars, actions, *rules)
    is_possible = made[0].t1 >= 0  # a name without a bar at the entry has no arms
    met = np.array([one.t1 >= 0 for one in made])
    missed = np.array([one.exit == Exit.NOT_ENTERED for one in made])
    made_r = np.where(met, np.array([one.realised_r for one in made]), 0.0)
    ends = np.array([np.where(one.t1 >= 0, one.t1, table.row + 1) for one in made]).max(axis=0)
    return table, made_r, np.where(is_possible & (met | missed).all(axis=0), ends, -1), met


def at_rows(rows: Samples, bars: Bars, label: EventTrade, actions: tuple[Action, ...]) -> tuple[Floats, np.ndarray]:
    """R of every arm and whether its entry was met, both (arms, n), in the order of the rows."""
    table, net, _, met = arms_of(bars, label, actions)
    mine = rows_in(table, bars, rows.t0, rows.column)
    return net[:, mine], met[:, mine]


def above_default(said: Floats, net: Floats) -> Floats:
    """R above the default's, (n,), of the arm of each event's highest expectation; of (arms, n) each, NaN where a model did not speak."""
    chosen = np.take_along_axis(net, said.argmax(axis=0)[None], axis=0)[0]
    return np.where(np.isfinite(said).all(axis=0), chosen - net[0], np.nan)


def arms_figures(said: Floats, net: Floats, met: np.ndarray, session: Rows, ends: Rows) -> tuple[ArmsFigures, Floats]:
    """Judge expectations; also return the R `above_default`."""
    gained = above_default(said, net)
    seen = np.isfinite(gained)
    choice, of, net, met = said[:, seen].argmax(axis=0), (session[seen], ends[seen]), net[:, seen], met[:, seen]
    arms = tuple(
        ArmFigures(offset, float(came.mean()), per_event(made, *of), per_event(made - net[0], *of), float((choice == number).mean()))
        for number, (offset, came, made) in enumerate(zip(ARMS, met, net, strict=True))
    )
    best, styles, entered = np.sign(ARMS)[net.argmax(axis=0)], np.sign(ARMS)[choice], met[choice, np.arange(len(choice))]
    commonest = max(((best == style).mean() for style in (-1.0, 0.0, 1.0)), default=NAN)
    price = np.array(ARMS)[choice][entered].mean()
    return ArmsFigures(per_event(gained[seen], *of), arms, *map(float, ((styles == best).mean(), commonest, entered.mean(), price))), gained


EVENT_ARMS = EventArms()
