"""Evening job of asof: updates the market store and the bundles from the published stores."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from appliance.bundles.former_layout import move_former
from appliance.bundles.pull import DataPull, is_current, pull_data, pull_keyset
from appliance.bundles.signed_documents import pull_document
from appliance.bundles.slots import SlotPull, in_force, pull_slot, slot_store, slots_of, traded_slots
from appliance.bundles.store import BundleStore
from appliance.config import BarsFrom
from appliance.context import Deps
from appliance.jobs.preconditions import asof_of, require_closed
from appliance.ledger.figures import PullFigures
from appliance.market import publication_differences
from appliance.market.dataset_mark import DatasetMark
from appliance.market.vendor_sessions import CompletionResult, complete
from appliance.safety.halt import warn
from appliance.schedule.job import JobReport, JobStatus
from appliance.storage.published_sources import verified_manifest
from signals.errors import BundleRefused, InvariantBroken, StoreUnreachable
from signals.market.manifest import Manifest
from signals.scoring.signed import SIZING_DOCUMENT, STACK_DOCUMENT, DocumentKind


def pull(session: date, deps: Deps) -> JobReport:
    """Bring data up to the last session whose close the device's clock has passed.

    Raises
    ------
    StoreUnreachable
        A store cannot be read, or asof is not published yet: try again until the deadline.
    BundleRefused
        No traded sleeve has a bundle: the published ones are refused, or there are none.
    BrokerUnreachable, BadBars
        Bars are asked of Alpaca, and it does not answer, or not in the shape of bars.
    BadDataset
        The published dataset is not signed by the data keys, or not what its manifest vouches for; the market store stays
        as it was.
    """
    asof = require_closed(session, deps)
    bundles, own = deps.sources.bundles(), BundleStore(deps.folder.bundles, deps.fs)
    move_former(deps.folder, deps.fs)
    # First, so that a revocation arrives whatever else is published, missing or garbage.
    if refusal := pull_keyset(bundles, own):
        warn(deps, f"keyset-{session}", "the published key set is refused", refusal)
    store = deps.sources.data()
    manifest = verified_manifest(store, own.keyset(), asof, deps.config.stores.data)
    is_completed = deps.config.stores.bars is BarsFrom.ALPACA
    calendar = manifest.calendar
    is_asof = calendar.days[-1] < session or calendar.between(asof, session) == (asof, session)
    if is_asof and manifest.last < asof and not is_completed:
        raise StoreUnreachable(
            f"bars of {asof} are not published yet",
            where=f"{manifest.name} ends {manifest.last}",
            fix="Publish the dataset; pull tries again until its deadline",
        )
    now = deps.clock.now()
    if deps.market.set_aside_damaged():
        warn(
            deps,
            f"market-{session}",
            "the market store was damaged",
            "It is rebuilt from the published dataset; the damaged file is kept next to it.",
        )
    mark = DatasetMark(deps.folder.bundles, deps.fs)
    mark.require_successor(manifest, deps.market.dataset())
    if not is_asof:  # an unscheduled closure: from the next process on everything goes by the calendar without it
        deps.sources.remember(manifest, deps.folder)
        raise StoreUnreachable(
            f"by the published calendar {asof} is not the session before {session}",
            where=f"{manifest.name} version {manifest.version}",
            fix="Its calendar is taken over; pull again goes by it",
        )
    through = min(manifest.last, deps.calendar.last_closed(now))
    done = DataPull(manifest.snapshot_id, manifest.version, through)
    if not (is_completed and is_current(deps.market, manifest, through)):
        done = pull_data(store, deps.market, manifest, through, deps.folder.incoming, now)
    mark.advance(manifest)
    deps.sources.remember(manifest, deps.folder)
    _report_differences(session, deps)
    added = _completed(manifest, asof, deps) if is_completed else CompletionResult()
    if refusal:  # nothing new is put in force under a key set that may be behind
        slots = [SlotPull(slot, in_force(slot_store(slot, deps.folder, deps.fs))) for slot in traded_slots(deps.config)]
    else:
        slots = [pull_slot(slot, bundles, deps.folder, deps.fs, asof, deps.config, deps.calendar) for slot in slots_of(deps.config)]
    for one in slots:
        if one.refusal:
            warn(deps, f"bundle-{one.slot.key}-{session}", f"the {one.slot.name} bundle is refused", one.refusal)
    _require_any(slots, deps, refusal)
    wanted = ((deps.config.stack, STACK_DOCUMENT), (deps.config.sizing, SIZING_DOCUMENT))
    documents = [_document(kind, session, asof, deps) for is_asked, kind in wanted if is_asked and not refusal]
    return _report(session, deps, done, added, PulledBundles(slots, refusal, "; ".join(filter(None, documents))))


@dataclass(frozen=True)
class PulledBundles:
    """Pulled bundle of each slot, refusal of the published key set, and result of pulling the other signed documents."""

    slots: Sequence[SlotPull]
    refusal: str = ""
    documents: str = ""


def _document(kind: DocumentKind[Any], session: date, asof: date, deps: Deps) -> str:
    try:
        return pull_document(kind, deps.sources.bundles(), deps.folder, deps.fs, asof, deps.calendar)
    except BundleRefused as error:
        title = f"the published {kind.noun} is refused"
        is_stack = kind.place == STACK_DOCUMENT.place
        warn(deps, f"stack-{session}" if is_stack else f"sizing-{session}", title, str(error))
        return f"{kind.noun} refused: {error}"


def _require_any(slots: list[SlotPull], deps: Deps, refusal: str) -> None:
    """Raise what is wrong where no traded sleeve has a bundle at all."""
    traded = [one for one in slots if one.slot in traded_slots(deps.config)]
    if any(one.name for one in traded):
        return
    if refusal:
        raise BundleRefused(f"no bundle is in force, and the published key set is refused: {refusal}")
    if said := "; ".join(one.refusal for one in traded if one.refusal):
        raise BundleRefused(said)
    raise StoreUnreachable("no bundle is published", where=", ".join(deps.config.sleeves), fix="Run `trainer publish`")


def _report(session: date, deps: Deps, done: DataPull, added: CompletionResult, bundles: PulledBundles) -> JobReport:
    """Say what came of it."""
    asof, traded = asof_of(session, deps), traded_slots(deps.config)
    slots, refusal, documents = bundles.slots, bundles.refusal, bundles.documents
    audit = deps.market.audit(asof)
    status = audit.status.value if audit else "absent"
    clauses = [f"{done.changed_sessions + len(added.sessions)} sessions taken over, {asof} is {status}"]
    if added.derived:
        clauses.append(f"{len(added.derived)} of this device's own derived again over the newer dataset")
    snapshot = deps.market.snapshot(asof)
    if snapshot and snapshot.completed:
        clauses.append(f"{len(snapshot.completed)} sessions are this device's own, unsigned")
    if refusal:
        clauses.append(f"refused: {refusal}")
    own = f"{traded[0].name} " if len(traded) == 1 else ""  # of one sleeve nobody needs the name
    clauses += [one.summary.replace(own, "") if own and one.slot in traded else one.summary for one in slots if one.summary]
    clauses += [f"no {one.slot.name} bundle is published" for one in slots if one.slot in traded and not (one.name or one.refusal)]
    clauses += [documents] if documents else []
    figures = PullFigures(
        asof=asof,
        status=status,
        reasons=tuple(audit.reasons) if audit else (),
        version=done.version,
        snapshot_id=snapshot.id if snapshot else None,
        completed=len(snapshot.completed) if snapshot else 0,
        others={
            **vars(done),
            **vars(added),
            "bundle": ", ".join(one.name for one in slots if one.slot in traded and one.name),
            "bundle_refusal": refusal or "; ".join(one.refusal for one in slots if one.slot in traded and one.refusal),
            "bundles": {one.slot.name: one.name for one in slots if one.name},
        },
    )
    return JobReport("pull", session, JobStatus.DONE, "; ".join(clauses), figures)


def _report_differences(session: date, deps: Deps) -> None:
    """Say what is published otherwise than this device had it, once; until it is said it stays noted."""
    connection = deps.market.connection()
    found = publication_differences.differences(connection)
    if found:
        warn(
            deps,
            f"published-{session}",
            "what was published differs from what this device had",
            f"{'; '.join(one.sentence() for one in found)}. The published rows hold now; the orders of these evenings"
            " were decided on the others, which `appliance trace` names.",
        )
        publication_differences.drop_differences(connection)


def _completed(manifest: Manifest, asof: date, deps: Deps) -> CompletionResult:
    if deps.open_bars is None:
        raise InvariantBroken("a device that asks a vendor for bars was opened without one")
    added = complete(deps.market, deps.open_bars(), manifest, deps.calendar, asof, deps.fs, deps.folder.completed)
    if added.unsupported:
        warn(deps, f"actions-{asof}", "corporate actions that the books cannot represent", "; ".join(added.unsupported))
    return added
