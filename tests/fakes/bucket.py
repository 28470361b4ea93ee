"""Two versions of a dataset, with a bundle each, in a bucket; and a device that pulls them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from appliance.bundles.store import BundleStore
from appliance.jobs.pull import pull
from appliance.runtime.device import opened
from appliance.schedule.job import JobReport
from appliance.system.state_folder import DurableFs
from signals.market.manifest import FileRole, Manifest, PriceBasis
from signals.storage.places import Place
from signals.storage.s3 import Objects, S3Config, S3Keys
from tests.fakes.seaweed import BUCKET, READER, WRITER, Proxy, Server
from tests.fakes.store import publish_bundle, recipe, sign_data
from trainer.curation.config import CurationConfig
from trainer.curation.generated import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping

END = date(2025, 6, 30)
PLACE = "equities_xs/evaluation"
FASTER = {"attempts": 1, "connect_seconds": 1.0, "read_seconds": 0.6}


def objects(server: Server | Proxy, place: str, keys: tuple[str, str] = WRITER) -> Objects:
    config = S3Config(endpoint=server.endpoint, **FASTER)  # type: ignore[arg-type]
    return Objects.opened(Place.parse(f"s3://{BUCKET}/{place}"), config, S3Keys(*keys))


def credentials(folder: Path, keys: tuple[str, str] = READER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    names = ("s3-key-id", "s3-secret-key", "alpaca-key-id", "alpaca-secret-key")
    for name, content in zip(names, (*keys, "unused", "unused"), strict=True):
        (folder / name).write_text(content + "\n")
    return folder


@dataclass(frozen=True)
class Publications:
    """A dataset at version 1 and at version 2 that adds sessions, with a bundle for each."""

    first: Path
    second: Path
    earlier: Manifest
    later: Manifest


def publish_twice(root: Path) -> Publications:
    bars, actions = generate(11, 24, 330, END).write(root / "vendor")
    data = root / "second" / "data"
    whole = pq.read_table(bars)
    pq.write_table(whole.filter(pc.less(whole["date"], datetime(2025, 6, 20))), root / "cut.parquet")
    versions = []
    for source, folder in ((root / "cut.parquet", root / "first"), (bars, root / "second")):
        versions.append(
            ingest(
                DeliveryFiles(source, actions),
                data,
                DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig(), name="market"),
            )
        )
        sign_data(data)
        last = versions[-1].calendar.offset(versions[-1].last, -10)
        publish_bundle(root / "second", recipe(data, last, seq=len(versions)))
        if folder.name == "first":
            shutil.copytree(root / "second", folder)
    return Publications(root / "first", root / "second", *versions)


def day_after(manifest: Manifest) -> date:
    return manifest.calendar.next(manifest.last)


@dataclass
class Device:
    """A device that holds version 1 and whose settings now name the store of version 2, behind the proxy."""

    state: Path
    keys: Path
    session: date

    def pull(self) -> JobReport:
        with opened(self.state, credentials=self.keys) as device, device.deps() as deps:
            return pull(self.session, deps)

    def sessions(self) -> tuple[int, date]:
        store = duckdb.connect(str(self.state / "market.duckdb"), read_only=True)
        found = store.execute("SELECT count(*), max(session) FROM bars").fetchone()
        store.close()
        assert found is not None
        return found[0], found[1]

    def bundle(self) -> str:
        standing = BundleStore(self.state / "bundles" / "equities_xs", DurableFs(), keys=self.state / "bundles").current()
        return standing.folder if standing else ""

    def kept(self) -> list[str]:
        incoming = self.state / "incoming"
        return sorted(p.relative_to(incoming).as_posix() for p in incoming.rglob("*") if p.is_file())


def point_at(device: Device, place: str, endpoint: str) -> None:
    path = device.state / "config.yml"
    settings = yaml.safe_load(path.read_text())
    settings["stores"] |= {"data": f"s3://{BUCKET}/{place}/data", "bundles": f"s3://{BUCKET}/{place}"}
    settings["stores"]["s3"]["endpoint"] = endpoint
    path.write_text(yaml.safe_dump(settings))


def new_bars(publications: Publications) -> str:
    """The one bars file that version 2 adds."""
    before = {record.path for record in publications.earlier.of_role(FileRole.BARS)}
    (found,) = [r.path for r in publications.later.of_role(FileRole.BARS) if r.path not in before]
    return found


def names_below(server: Server, prefix: str) -> set[str]:
    client: Any = server.client(WRITER)
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
    return {row["Key"] for page in pages for row in page.get("Contents", ())}
