"""The sizing policy of a session: the one that was delivered, or the multiplier of the last plan where it is refused; and shadow draws."""

from collections.abc import Collection
from datetime import date

import numpy as np

from appliance.bundles.signed_documents import load_document
from appliance.context import Deps
from appliance.ledger import job_runs, plans
from appliance.ledger.arms import seed_of
from appliance.ledger.figures import DrawnSize, PlanFigures
from appliance.safety.halt import warn
from execution import morning
from portfolio.policy.sizing import GRID, PLANS_READ, STATE, Sizing, SizingPolicy
from portfolio.weights import TargetWeights
from signals.errors import BundleRefused
from signals.scoring.shadow_logs import drawn_level
from signals.scoring.signed import SIZING_DOCUMENT, SizingDocument

PLANS_BACK = 30  # sessions, beyond which the whole book of a plan says nothing of this one's


def sizing_in_force(session: date, asof: date, deps: Deps) -> Sizing | None:
    """Return what multiplies the target book; None where the settings ask for no policy: the book is whole.

    A policy that is refused is notified, and the multiplier of the last plan holds: a refusal enlarges no book.
    """
    if not (deps.config.sizing or deps.config.draw_sizes):
        return None
    runs = job_runs.newest(deps.ledger, "plan", deps.calendar.previous(session), PLANS_BACK)  # none where none is near
    made = [(run.session, figures) for run in runs if (figures := run.read(PlanFigures)).decisions is not None]
    books = morning.whole_books(
        [(day, plan.whole) for day, plan in made[-PLANS_READ:] if plan.whole is not None],
        session,
        deps.calendar,
        lambda day: deps.market.actions(day, asof),
    )
    if deps.config.draw_sizes:
        return Sizing(refusal="multipliers are drawn in shadow alone", books=books)  # for its state: the book is whole
    last = plans.before(deps.ledger, session)
    said = [plan.multiplier for day, plan in made if last is not None and day == last.session and plan.multiplier is not None]
    before = min([1.0 if last is None else last.multiplier, *said])  # a plan of an earlier release has it in its job's record alone
    try:
        found = load_document(SIZING_DOCUMENT, deps.folder, deps.fs, asof, deps.calendar)
        return Sizing(before, policy_of(found, deps.config.sleeves), source=f"sizing policy {found.seq}", books=books)
    except BundleRefused as error:
        body = f"{error}. The multiplier of the last plan holds: {before:g}"
        warn(deps, f"sizing-policy-{session}", "the sizing policy is refused", body)
        return Sizing(before, None, str(error), books=books)


def drawn_size(session: date, targets: TargetWeights, deps: Deps) -> DrawnSize | None:
    """Draw a multiplier of the whole book in shadow; None where none is asked for, or the book's state is not known whole."""
    if not deps.config.draw_sizes or targets.state is None or not np.isfinite(targets.state).all():
        return None
    earlier = job_runs.find(deps.ledger, deps.calendar.previous(session), "plan")
    last = None if earlier is None else earlier.read(PlanFigures).drawn
    seed = seed_of(deps.ledger, deps.clock.now())
    level, propensity = drawn_level(seed, targets.asof, len(GRID))
    before, state = 1.0 if last is None else last.multiplier, tuple(targets.state.tolist())
    return DrawnSize(targets.asof, before, GRID[level], propensity, seed, state, deps.config.venue.is_hosted)


def policy_of(found: SizingDocument, sleeves: Collection[str]) -> SizingPolicy:
    """Return the policy that a document holds; raise `BundleRefused` where its grid, state or sleeve are none of this device's."""
    for what, is_strange in (
        ("grid", found.grid != GRID),
        ("state", not set(found.names) <= set(STATE)),  # one of an earlier version reads those that it was learned from
        ("sleeve", found.sleeve not in sleeves),
    ):
        if is_strange:
            fix = "Learn and publish one by the version that this device has, of a sleeve that it trades"
            raise BundleRefused(f"the policy is of another {what} than this device's", where=SIZING_DOCUMENT.file, fix=fix)
    return SizingPolicy(found.names, np.array(found.centre), np.array(found.scale), np.array(found.coefficients))
