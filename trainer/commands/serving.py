"""`trainer score-daily | serve | outlook`: scores of published bundles for devices, and outlooks of rows or bars."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from signals.bundle import read_folder
from signals.bundle.manifest import MANIFEST_NAME
from signals.code_version import release
from signals.errors import FixInput
from signals.files import sha256_of
from signals.market.dataset import manifest_path, read_manifest
from signals.minutes.bars import MinuteBars
from signals.serving.options import Certificate, Key, Listen, Names, Port, RowsHelp, To
from signals.serving.scores import ServedModel
from signals.text.console import emit, progress
from trainer.clock import now
from trainer.commands.options import OURS, PUBLISHING, AsJson, Data, Keys, Store, dated, registered
from trainer.publishing.daily_scores import ScoringRequest, deliver, verified
from trainer.publishing.keys import KEYSET_NAME, load_keyset
from trainer.publishing.stores import Endpoint, S3Credentials, dataset_store

Bundle = Annotated[Path, typer.Option(help="Folder of the bundle that scores.")]


class TrainerModel:
    """The bundle of a folder, with the dataset and the folder of `trainer keys` that it is verified by."""

    def __init__(self, folder: Path, data: Path, keys: Path) -> None:
        self._folder, self._data, self._keys = folder, data, keys

    def identity(self) -> str:
        """Hash of the bundle's manifest, of the keys that count and of the dataset, whose sessions make bundle and keys old."""
        files = (self._folder / MANIFEST_NAME, self._keys / KEYSET_NAME, manifest_path(self._data, None))
        return sha256_of(b"|".join(path.read_bytes() if path.is_file() else b"" for path in files))

    def load(self) -> ServedModel:
        """Verify the bundle; raise `BundleRefused`, or `FixInput` where there is none."""
        if not (self._folder / MANIFEST_NAME).is_file():
            raise FixInput("this is not a bundle's folder", where=str(self._folder), fix="Name the folder that holds manifest.json")
        manifest = read_manifest(self._data)
        bundle = verified(read_folder(self._folder), load_keyset(self._keys), manifest, manifest.last)
        return ServedModel(bundle, manifest.calendar)


def serve(
    bundle: Bundle,
    data: Data = OURS,
    keys: Keys = OURS,
    listen: Listen = "127.0.0.1",
    port: Port = 8780,
    name: Names = None,
    certificate: Certificate = None,
    key: Key = None,
    token: Annotated[Path, typer.Option(help="File of the token; made where it is missing.")] = Path("var/serve-token"),
    index: Annotated[bool, typer.Option("--index", help="Find analogs by an index (HNSW) where its recall suffices.")] = False,
) -> None:
    """Serve a read-only API that says what a bundle expects of posted rows or bars.

    Every request needs the token of the file, as `Authorization: Bearer TOKEN`. The bundle is verified as a device would,
    with the calendar of the dataset, and again when its folder changes. `/openapi.json` describes the API.
    """
    from signals.serving.application import Api
    from signals.serving.gate import token_in
    from signals.serving.scores import operations
    from signals.serving.server import Address
    from signals.serving.server import serve as serve_api
    from trainer.runs.picture_bank import indexed

    at = Address(listen, port, tuple(name or ()), certificate, key)
    served = operations(TrainerModel(bundle, data, keys), indexed if index else None)
    serve_api(Api("trademl trainer", release(), served, token_in(token), hosts=at.hosts), at, token)


def outlook(
    bundle: Bundle,
    rows: Annotated[Path | None, RowsHelp] = None,
    bars: Annotated[Path | None, typer.Option(help="File of one instrument's minutes.", show_default=False)] = None,
    to: To = None,
    data: Data = OURS,
    keys: Keys = OURS,
    as_json: AsJson = False,
) -> None:
    """Say what a bundle expects of the rows or bars of a file: the same bytes as `serve` answers.

    Minutes (--bars) are for a bundle of the sleeve bars, restated for splits and rolls, as far back as its warm-up.
    """
    from signals.serving.scores import rows_or_bars, score_file, shown

    asked = rows or bars
    if asked is None or (rows and bars):
        raise FixInput("exactly one of --rows and --bars", fix="Name one file")
    found = score_file(TrainerModel(bundle, data, keys), asked, to, rows_or_bars if rows else _minutes)
    emit(found.result, as_json=as_json, text=shown(found))


def _minutes(path: Path, model: ServedModel) -> MinuteBars:
    from signals.serving.outlook import sleeve_of_minutes
    from trainer.samples.intraday import minutes_of_file

    return minutes_of_file(path, model.calendar.name, sleeve_of_minutes(model.bundle).hours)


def score_daily(
    data: Data = OURS,
    keys: Keys = OURS,
    to: Store = OURS,
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


register = registered({PUBLISHING: (score_daily, serve, outlook)})
