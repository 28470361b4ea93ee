"""The shadow bundle's recorded scores: a table for a person, a log for the trainer."""

from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path

from appliance.ledger import Ledger
from appliance.ledger.scores import SHADOW
from appliance.views.view import View, ViewRow
from signals.files import sha256_of
from signals.scoring.shadow_logs import ShadowEvening, ShadowLog

COLUMNS = ("session", "asof", "names", "bundle", "what")
ALERT = "score-%shadow-%"  # as the scoring job names what went wrong with it; the release before named no sleeve
ISO_DATE = len("2024-03-11")
NOTHING = "no shadow has been scored on this device"


def shadow_log(ledger: Ledger, bundles: Path, venue: str, *, is_rehearsal: bool) -> ShadowLog | None:
    """Gather everything that was recorded of shadows; None where nothing was.

    Parameters
    ----------
    bundles : Path
        `state/bundles`, which holds those of every slot.
    venue : str
        Where this device trades.
    is_rehearsal : bool
        Whether it hosts its exchange, and time with it.
    """
    evenings = _evenings(ledger)
    if not evenings:
        return None
    runs = ledger.read(date, "SELECT session FROM job_runs WHERE job = 'score'") or [one.asof for one in evenings]
    return ShadowLog(
        venue=venue,
        is_rehearsal=is_rehearsal,
        first_session=min(runs),
        last_session=max(runs),
        evenings=evenings,
        manifests=_manifests(bundles, {one.source for one in evenings}),
        faults=_faults(ledger),
    )


def shadow(log: ShadowLog | None) -> View:
    """Return the log as a table, newest first: scored evenings and faults."""
    if log is None:
        return View(COLUMNS, (), NOTHING)
    names = {digest: f"{bundle.seq}-{bundle.bundle_id}" for digest, bundle in log.bundles().items()}
    rows: list[ViewRow] = [
        {"session": None, "asof": str(one.asof), "names": len(one.scores), "bundle": names.get(one.source, one.source), "what": "scored"}
        for one in log.evenings
    ]
    rows += [{"session": str(day), "asof": None, "names": 0, "bundle": None, "what": why} for day, why in log.faults.items()]
    rows.sort(key=lambda row: str(row["asof"] or row["session"]), reverse=True)
    return View(COLUMNS, tuple(rows), NOTHING, facts={"venue": log.venue, "is_rehearsal": log.is_rehearsal, "evenings": len(log.evenings)})


def _evenings(ledger: Ledger) -> tuple[ShadowEvening, ...]:
    query = "SELECT figures, finished_at FROM job_runs WHERE job = 'score' AND status = 'done'"
    ended = {str(figures.get("asof")): at for figures, at in ledger.read(tuple[Mapping[str, object], datetime], query)}
    found: dict[tuple[str, str], dict[str, float]] = {}
    query = "SELECT asof, source, symbol, score FROM scores WHERE sleeve LIKE ? ORDER BY asof, source, symbol"
    for asof, source, symbol, score in ledger.read(tuple[str, str, str, float], query, (SHADOW,)):
        found.setdefault((asof, source), {})[symbol] = score
    return tuple(
        ShadowEvening(asof=date.fromisoformat(asof), source=source, recorded_at=ended.get(asof), scores=scores)
        for (asof, source), scores in found.items()
    )


def _faults(ledger: Ledger) -> dict[date, str]:
    """The job's report on each trade session: that all scoring failed, or the shadow's only."""
    query = "SELECT session, summary FROM job_runs WHERE job = 'score' AND status NOT IN ('done', 'running')"
    found = dict(ledger.read(tuple[date, str], query))
    for key, body in ledger.read(tuple[str, str], "SELECT key, body FROM alerts WHERE key LIKE ? ORDER BY id", (ALERT,)):
        found[date.fromisoformat(key[-ISO_DATE:])] = body
    return dict(sorted(found.items()))


def _manifests(bundles: Path, sources: set[str]) -> dict[str, str]:
    contents = [path.read_bytes() for path in sorted(bundles.glob("**/shadow/*/manifest.json"))]
    return {sha256_of(content): content.decode() for content in contents if sha256_of(content) in sources}
