"""`trainer score-daily`: computes and signs the evening's scores for devices that pull them."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from signals.text.console import emit, progress
from trainer.clock import now
from trainer.commands.options import OURS, PUBLISHING, WORKSPACE, AsJson, Data, Keys, dated
from trainer.publishing.daily_scores import ScoringRequest, deliver
from trainer.publishing.stores import Endpoint, S3Credentials, dataset_store


def score_daily_command(
    data: Data = OURS,
    keys: Keys = OURS,
    to: Annotated[str, typer.Option(help="Store that devices pull from: a folder or s3://bucket/prefix.", show_default=WORKSPACE)] = OURS,
    store: Annotated[str, typer.Option(help="Store whose newest bundles score.", show_default="that of --to")] = "",
    bundle: Annotated[
        Path | None, typer.Option(help="One bundle's folder, in place of the newest published one.", show_default=False)
    ] = None,
    asof: Annotated[date | None, dated("Session to score.", show_default="the dataset's last")] = None,
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Score the published bundles at the close of a session and deliver the scores to devices with `scoring: pulled`.

    Writes `scores/<sleeve>_<asof>.json`, a page `.md` beside it for people, and the like for a published risk or shadow
    bundle. Run again it changes nothing; where the data or the bundle changed it delivers a new revision.
    """
    stores = dataset_store(store or to, endpoint, credentials), dataset_store(to, endpoint, credentials)
    with progress("scoring", as_json=as_json):
        found = deliver(ScoringRequest(data, keys, asof, now()), *stores, bundle)
    rows = [
        {
            "name": one.name,
            "asof": one.payload.asof,
            "sleeve": one.payload.sleeve,
            "names": len(one.payload.symbols),
            "revision": one.payload.revision,
            "bundle_sha256": one.payload.bundle_sha256,
            "snapshot_id": one.payload.snapshot_id,
            "is_new": one.is_new,
        }
        for one in found
    ]
    said = [f"{row['name']}: {row['names']} names, revision {row['revision']}" + ("" if row["is_new"] else " (as it was)") for row in rows]
    emit({"delivered": rows}, as_json=as_json, text="\n".join(said))


def register(app: typer.Typer) -> None:
    """Add the command of this file to `app`."""
    app.command("score-daily", rich_help_panel=PUBLISHING)(score_daily_command)
