"""Evening job of asof: updates the market store and the bundles from the published stores."""

from __future__ import annotations

from datetime import date

from appliance.bundles.accepted_roles import bundle_policy, sought_roles
from appliance.bundles.pull import BundlePull, DataPull, is_current, pull_bundle, pull_data, pull_keyset
from appliance.bundles.slots import BundleSlot, SlotPull, pull_slot
from appliance.bundles.store import BundleStore
from appliance.config import BarsFrom
from appliance.context import Deps
from appliance.jobs.preconditions import require_closed
from appliance.ledger.figures import PullFigures
from appliance.market import publication_differences
from appliance.market.dataset_mark import DatasetMark
from appliance.market.vendor_sessions import CompletionResult, complete
from appliance.safety.halt import notify
from appliance.schedule.job import JobReport, JobStatus
from appliance.storage.published_sources import verified_manifest
from appliance.system.ports import Severity
from signals.errors import BundleRefused, InvariantBroken, StoreUnreachable
from signals.market.manifest import Manifest


def pull(session: date, deps: Deps) -> JobReport:
    """Bring data up to the last session whose close the device's clock has passed.

    Raises
    ------
    StoreUnreachable
        A store cannot be read, or asof is not published yet: try again until the deadline.
    BundleRefused
        The published bundle is refused and none is in force.
    BrokerUnreachable, BadBars
        Bars are asked of Alpaca, and it does not answer, or not in the shape of bars.
    BadDataset
        The published dataset is not signed by the data keys, or not what its manifest vouches for; the market store stays
        as it was.
    """
    asof = require_closed(session, deps)
    bundles, own = deps.sources.bundles(), BundleStore(deps.folder.bundles, deps.fs)
    # First, so that a revocation arrives whatever else is published, missing or garbage.
    if refusal := pull_keyset(bundles, own):
        notify(deps, Severity.WARN, f"keyset-{session}", "the published key set is refused", refusal)
    store = deps.sources.data()
    manifest = verified_manifest(store, own.keyset(), asof, deps.config.stores.data)
    is_completed = deps.config.stores.bars is BarsFrom.ALPACA
    if manifest.last < asof and not is_completed:
        raise StoreUnreachable(
            f"bars of {asof} are not published yet",
            where=f"{manifest.name} ends {manifest.last}",
            fix="Publish the dataset; pull tries again until its deadline",
        )
    now = deps.clock.now()
    if deps.market.set_aside_damaged():
        notify(
            deps,
            Severity.WARN,
            f"market-{session}",
            "the market store was damaged",
            "It is rebuilt from the published dataset; the damaged file is kept next to it.",
        )
    mark = DatasetMark(deps.folder.bundles, deps.fs)
    mark.require_successor(manifest, deps.market.dataset())
    through = min(manifest.last, deps.calendar.last_closed(now))
    done = DataPull(manifest.snapshot_id, manifest.version, through)
    if not (is_completed and is_current(deps.market, manifest, through)):
        done = pull_data(store, deps.market, manifest, through, deps.folder.incoming, now)
    mark.advance(manifest)
    deps.sources.remember(manifest, deps.folder)
    _tell_differences(session, deps)
    added = _completed(manifest, asof, deps) if is_completed else CompletionResult()
    if refusal:  # nothing new is put in force under a key set that may be behind
        bundle = BundlePull(_in_force(own, refusal), is_new=False, refusal=refusal)
        return _report(session, asof, deps, done, added, bundle, [])
    policy = bundle_policy(asof, deps.config, deps.calendar)
    bundle = pull_bundle(bundles, own, policy, deps.folder.incoming, sleeves=tuple(policy.sleeves), roles=sought_roles(deps.config))
    if bundle.refusal:
        notify(deps, Severity.WARN, f"bundle-{session}", "the published bundle is refused", bundle.refusal)
    slots = [pull_slot(slot, bundles, deps.folder, deps.fs, asof, deps.config, deps.calendar) for slot in BundleSlot]
    for one in slots:
        if one.refusal:
            notify(deps, Severity.WARN, f"bundle-{one.slot}-{session}", f"the {one.slot} bundle is refused", one.refusal)
    return _report(session, asof, deps, done, added, bundle, slots)


def _in_force(own: BundleStore, refusal: str) -> str:
    current = own.current()
    if current is None:
        raise BundleRefused(f"no bundle is in force, and the published key set is refused: {refusal}")
    return current.folder


def _report(
    session: date, asof: date, deps: Deps, done: DataPull, added: CompletionResult, bundle: BundlePull, slots: list[SlotPull]
) -> JobReport:
    """Say what came of it."""
    audit = deps.market.audit(asof)
    status = audit.status.value if audit else "absent"
    clauses = [f"{done.changed_sessions + len(added.sessions)} sessions taken over, {asof} is {status}"]
    if added.derived:
        clauses.append(f"{len(added.derived)} of this device's own derived again over the newer dataset")
    snapshot = deps.market.snapshot(asof)
    if snapshot and snapshot.completed:
        clauses.append(f"{len(snapshot.completed)} sessions are this device's own, unsigned")
    clauses.append(f"bundle {bundle.in_force}{' is new' if bundle.is_new else ''}")
    if bundle.refusal:
        clauses.append(f"refused: {bundle.refusal}")
    clauses += [one.summary for one in slots if one.summary]
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
            "bundle": bundle.in_force,
            "bundle_refusal": bundle.refusal,
            **{f"{one.slot}_bundle": one.name for one in slots if one.name},
        },
    )
    return JobReport("pull", session, JobStatus.DONE, "; ".join(clauses), figures)


def _tell_differences(session: date, deps: Deps) -> None:
    """Say what is published otherwise than this device had it, once; until it is said it stays noted."""
    connection = deps.market.connection()
    found = publication_differences.differences(connection)
    if found:
        notify(
            deps,
            Severity.WARN,
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
        notify(deps, Severity.WARN, f"actions-{asof}", "corporate actions that the books cannot represent", "; ".join(added.unsupported))
    return added
