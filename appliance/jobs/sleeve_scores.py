"""The recorded scores of every traded sleeve, with the bundle that sizes each, as the blend that a plan is made of."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TypedDict

import numpy as np

from appliance.bundles.signed_documents import load_document
from appliance.bundles.slots import Slot, is_rehearsal, load_slot, traded_slots
from appliance.config import ApplianceConfig, MissingSleeve
from appliance.context import Deps
from appliance.controls.tripwires import NOT_YET, Figure
from appliance.ledger import scores as score_rows
from appliance.monitoring.expectation import GONE, broken_promise
from appliance.safety.halt import warn
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from portfolio.policy.blend import Blend, SizedScores, blended, is_too_much
from portfolio.risk.kelly import SizingCoefficient
from signals.bundle import Bundle, BundleManifest
from signals.errors import BundleRefused, DataNotUsable
from signals.market.sessions import Calendar
from signals.monitoring.expectation import policy_book_of
from signals.scoring.scores import Scores
from signals.scoring.signed import STACK_DOCUMENT, StackWeights


class SleevePlanFields(TypedDict, total=False):
    """The fields of `PlanFigures` on the sleeves; those of several sleeves, or of a stack, only where there are."""

    lineage: str
    sleeves: dict[str, float]
    lineages: dict[str, str]
    missing: dict[str, str]
    sources: dict[str, str]
    weighed_by: str


@dataclass(frozen=True)
class TradedSleeves:
    """Scores and bundles of the traded sleeves for one session.

    Attributes
    ----------
    bundles : mapping of sleeve to Bundle
        Of the sleeves with scores.
    missing : mapping of sleeve to sentence
        Why a configured sleeve has none.
    weighed_by : str
        Which stack gave the weights; empty where the settings did.
    promises : mapping of sleeve to Figure
        Evidence against what each bundle's model promised, over that which refutes it.
    """

    blend: Blend
    bundles: Mapping[str, Bundle]
    missing: Mapping[str, str]
    weighed_by: str = ""
    promises: Mapping[str, Figure] = field(default_factory=dict)

    @property
    def lineages(self) -> dict[str, str]:
        """Each configured sleeve's model; empty for one that says nothing this session."""
        return {**{name: bundle.manifest.lineage for name, bundle in self.bundles.items()}, **dict.fromkeys(self.missing, "")}

    @property
    def broken_promise(self) -> Figure:
        """The worst of them; of several reasons why none is known, the first."""
        known = [figure for figure in self.promises.values() if isinstance(figure, float)]
        return max(known) if known else next(iter(self.promises.values()), NOT_YET)

    @property
    def weakest(self) -> BundleManifest:
        """Manifest of a bundle that is unproven, if there is one, else of the first."""
        manifests = [bundle.manifest for bundle in self.bundles.values()]
        return next((manifest for manifest in manifests if manifest.refusal), manifests[0])

    def figures(self) -> SleevePlanFields:
        """Return the fields of `PlanFigures` on the sleeves."""
        found: SleevePlanFields = {
            "lineage": next(iter(self.bundles.values())).manifest.lineage,
            "sleeves": {part.scores.sleeve: part.weight for part in self.blend.parts},
        }
        if len(self.bundles) + len(self.missing) > 1:
            found["lineages"] = self.lineages
            found["missing"] = dict(self.missing)
            found["sources"] = {part.scores.sleeve: part.scores.source for part in self.blend.parts}
        if self.weighed_by:
            found["weighed_by"] = self.weighed_by
        return found


def gather_sleeves(session: date, asof: date, deps: Deps) -> TradedSleeves:
    """Read the scores of every configured sleeve and load what sizes them.

    Raises
    ------
    BundleRefused
        A device of one sleeve has no bundle that it may trade.
    DataNotUsable
        There are no scores, more than half of the weight has none, or any is missing where the settings refuse that.
    """
    parts: list[SizedScores] = []
    bundles: dict[str, Bundle] = {}
    missing: dict[str, str] = {}
    weights, weighed_by = weights_in_force(session, asof, deps)
    for slot in traded_slots(deps.config):
        if slot.sleeve not in weights:  # the stack gives it none
            continue
        try:
            bundle = load_slot(slot, deps.folder, deps.fs, asof, deps.config, deps.calendar)
            scores = _recorded(slot, asof, bundle, deps)
        except (BundleRefused, DataNotUsable) as error:
            if len(weights) == 1:
                raise
            missing[slot.name] = str(error)
            continue
        bundles[slot.name] = bundle
        manifest, book = bundle.manifest, policy_book_of(bundle)
        ic = SizingCoefficient(manifest.ic.mean, manifest.ic.t, book.t if book else None, is_rehearsal(manifest.role, deps.config))
        parts.append(SizedScores(scores, ic, manifest.horizon_sessions, weights[slot.sleeve]))
    promises = {name: broken_promise(session, deps, bundle) for name, bundle in bundles.items()}
    stopped = left_out(no_longer_valid(bundles, promises, deps.config.tripwires.max_broken_promise), missing, weights, deps.config)
    bundles = {name: bundle for name, bundle in bundles.items() if name not in stopped}
    missing |= stopped
    parts = [part for part in parts if part.scores.sleeve in bundles]
    _report_missing(session, missing, deps)
    lacking = {name: weights[name] for name in missing}
    promises = {name: promises[name] for name in bundles}
    return TradedSleeves(blended(parts, lacking, deps.config.portfolio.fixed_ic), bundles, missing, weighed_by, promises)


def weights_in_force(session: date, asof: date, deps: Deps) -> tuple[dict[str, float], str]:
    """Return the weights by which the sleeves count, and which stack gave them: empty where the settings do.

    A stack that is asked for and refused is notified, and the settings hold.
    """
    if not deps.config.stack:
        return deps.config.weights, ""
    try:
        found = load_stack(deps.folder, deps.fs, asof, deps.config, deps.calendar)
    except BundleRefused as error:
        body = f"{error}. The weights of the settings hold"
        warn(deps, f"stack-weights-{session}", "the stack does not weigh the sleeves", body)
        return deps.config.weights, ""
    return dict(found.weights), f"stack {found.seq}"


def no_longer_valid(bundles: Mapping[str, Bundle], promises: Mapping[str, Figure], most_broken: float) -> dict[str, str]:
    """Return the sleeves whose bundle expired or whose model broke its promise, with why."""
    gone = {
        name: f"it is {GONE}: the evidence is {figure:.3g} times what refutes it"
        for name, figure in promises.items()
        if isinstance(figure, float) and figure > most_broken
    }
    return gone | {
        name: f"its bundle is {bundle.age_sessions} sessions old and expired after {bundle.age_limit_sessions}"
        for name, bundle in bundles.items()
        if bundle.age_sessions > bundle.age_limit_sessions
    }


def left_out(gone: Mapping[str, str], missing: Collection[str], weights: Mapping[str, float], config: ApplianceConfig) -> dict[str, str]:
    """Return which of the sleeves that are no longer valid the blend leaves out, with why.

    None where the session would be refused without them, for then no position could be closed, every day again: the tripwires of
    their age and their promise decide, and reduce the whole book.
    """
    lost = math.fsum(weights[name] for name in (*missing, *gone))
    is_refused = config.missing_sleeve is MissingSleeve.REFUSE or is_too_much(lost, math.fsum(weights.values()))
    return {} if is_refused else dict(gone)


def _recorded(slot: Slot, asof: date, bundle: Bundle, deps: Deps) -> Scores:
    """The scores of asof as they were recorded, by the bundle that is in force or one before it."""
    rows = sorted(score_rows.load(deps.ledger, asof, slot.name), key=lambda row: row.symbol)
    if not rows:
        raise DataNotUsable(f"there are no scores of {asof}", fix="Run `appliance score`")
    values = np.array([row.score for row in rows])
    return Scores(asof, slot.sleeve, tuple(row.symbol for row in rows), values, rows[0].source)


def _report_missing(session: date, missing: Mapping[str, str], deps: Deps) -> None:
    """Notify which sleeves say nothing; refuse the session where the settings ask for all of them."""
    if not missing:
        return
    said = "; ".join(f"{name}: {why}" for name, why in missing.items())
    if deps.config.missing_sleeve is MissingSleeve.REFUSE:
        raise DataNotUsable(f"every sleeve must have scores: {said}", fix="See why, or set `missing_sleeve: reduce` in config.yml")
    warn(deps, f"unscored-{session}", "sleeves without scores", f"{said}. Their share of the book stays unallocated")


def load_stack(folder: StateFolder, fs: Fs, asof: date, config: ApplianceConfig, calendar: Calendar) -> StackWeights:
    """Return the stack's weights that were kept in `state/bundles/stack/weights.json`, verified again.

    Raises
    ------
    BundleRefused
        They are refused, or name a sleeve that this device does not trade.
    """
    found = load_document(STACK_DOCUMENT, folder, fs, asof, calendar)
    if strange := sorted(set(found.weights) - set(config.sleeves)):
        raise BundleRefused(f"the stack weighs {strange[0]}, which this device does not trade", fix="Add it to `sleeves` in config.yml")
    return found
