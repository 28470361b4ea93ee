"""`trainer score-daily`: computes and signs the evening's scores for devices that pull them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import typer

from signals.errors import FixInput
from signals.text.console import emit
from trainer.clock import now
from trainer.publishing.daily_scores import ScoringRequest, deliver
from trainer.publishing.stores import Endpoint, S3Credentials, dataset_store


def score_daily_command(
    data: Path = typer.Option(..., help="Dataset that devices pull."),
    keys: Path = typer.Option(..., help="Folder made by `trainer keys`."),
    to: str = typer.Option(..., help="Store that devices pull from: a folder or s3://bucket/prefix."),
    store: str = typer.Option("", help="Store whose newest bundles score.", show_default="that of --to"),
    bundle: Path = typer.Option(None, help="One bundle's folder, in place of the newest published one."),
    asof: str = typer.Option("", metavar="YYYY-MM-DD", help="Session to score.", show_default="the dataset's last"),
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: bool = typer.Option(False, "--json"),
) -> None:
    """Score the published bundles at the close of a session and deliver the scores to devices with `scoring: pulled`.

    Writes `scores/<sleeve>_<asof>.json`, and the like for a published risk or shadow bundle. Run again it changes
    nothing; where the data or the bundle changed it delivers a new revision.
    """
    found = deliver(
        ScoringRequest(data, keys, _session(asof), now()),
        dataset_store(store or to, endpoint, credentials),
        dataset_store(to, endpoint, credentials),
        bundle,
    )
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
    app.command("score-daily")(score_daily_command)


def _session(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise FixInput(f"{text!r} is not a date", where="--asof", fix="Write it as YYYY-MM-DD") from None
