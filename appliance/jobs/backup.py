"""Job after the close: copies the ledger to another place, verifies the copy, and deletes old copies."""

from datetime import date

from appliance.backup.copies import listed, retire, shorter, take
from appliance.backup.vault import vault_at
from appliance.context import Deps
from appliance.safety.halt import warn
from appliance.schedule.job import JobReport, JobStatus
from signals.errors import BadBackup, StoreUnreachable

BACKUP = "backup"


def backup(session: date, deps: Deps) -> JobReport:
    """Take one, and say what it holds.

    Raises
    ------
    StoreUnreachable
        The place did not take it whole: try again until the deadline. Earlier backups are as they were.
    """
    config = deps.config.backup
    if not config.to:
        return JobReport(BACKUP, session, JobStatus.DONE, "no place for backups is set: backup.to in config.yml is empty")
    vault = vault_at(config, deps.state, deps.credentials)
    try:
        done = take(deps.ledger, vault, deps.folder.copies, at=deps.clock.now(), code_version=deps.code_version)
    except BadBackup as error:
        raise StoreUnreachable(
            f"the place for backups does not keep what it was given: {error}",
            where=config.to,
            fix="Look at that disk; it is tried again until the deadline",
        ) from None
    try:
        gone = retire(vault, done, config)
        if fuller := shorter(done, listed(vault)):
            warn(
                deps,
                f"shorter-{session}",
                "the ledger holds less than an earlier backup",
                f"that of {fuller.at:%Y-%m-%d %H:%M} UTC holds more; no old one is deleted. Was the ledger lost?",
            )
    except (StoreUnreachable, BadBackup) as error:
        gone = ()
        warn(deps, f"retention-{session}", "old backups could not be deleted", str(error))
    summary = f"{sum(done.rows.values())} rows in {done.size / 2**20:.1f} MB, read back; {len(gone)} old ones deleted"
    figures = {"name": done.name, "size": done.size, "sha256": done.sha256, "rows": dict(done.rows), "gone": list(gone)}
    return JobReport(BACKUP, session, JobStatus.DONE, summary, figures)
