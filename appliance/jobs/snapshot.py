"""Which bytes a job decides on, with the document that proves it on disk before anything is decided."""

from __future__ import annotations

from datetime import date

from appliance.context import Deps
from appliance.market.snapshot import Snapshot
from appliance.market.vendor_record import keep_snapshot
from signals.errors import DataNotUsable


def held_snapshot(asof: date, deps: Deps) -> Snapshot:
    """Return what the market store holds up to `asof`, its document kept where sessions were completed here.

    Raises
    ------
    DataNotUsable
        The store is empty, or a session has no record of what was told of it.
    """
    snapshot = deps.market.snapshot(asof)
    if snapshot is None:
        raise DataNotUsable("the market store is empty", fix="Run `appliance pull`")
    keep_snapshot(deps.fs, deps.folder.completed, asof, snapshot)
    return snapshot
