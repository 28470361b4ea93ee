"""A device's evenings over the line: the first sync of ten years, the daily one, and one evening asked of a vendor.

    .venv/bin/python benchmarks/sync.py [--symbols 500] [--sessions 2520] [--runs 3]

A generated market is curated twice (to the session before the last, and whole), published to a SeaweedFS server on
loopback, and pulled by fresh processes with a key that may only read. The bare peer fetches the same objects with boto3
and has DuckDB read them into a table: no resuming, no hashing, no durability, no comparing with what was held. The
vendor's evening is asked of the embedded exchange over HTTP through alpaca-py.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from execution.exchange.api.exchange import Exchange  # noqa: E402
from execution.exchange.core.clock import ExchangeVirtualClock  # noqa: E402
from execution.exchange.market.market import MarketData as ServedMarket  # noqa: E402
from signals.market.manifest import FileRole, Manifest, PriceBasis  # noqa: E402
from signals.storage.places import Place  # noqa: E402
from signals.storage.s3 import Objects, S3Config, S3Keys  # noqa: E402
from tests.fakes import exchange as fake  # noqa: E402
from tests.fakes.seaweed import BUCKET, READER, WRITER, Server, serving  # noqa: E402
from tests.fakes.store import SIGNER  # noqa: E402
from trainer.curation.config import CurationConfig  # noqa: E402
from trainer.curation.generated import generate  # noqa: E402
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest  # noqa: E402
from trainer.curation.store import BucketStore  # noqa: E402
from trainer.curation.vendors.mapping import Mapping  # noqa: E402
from trainer.publishing.dataset import publish_data  # noqa: E402

END = date(2025, 6, 30)
PROBE = """
import json, resource, time
usage = resource.getrusage(resource.RUSAGE_SELF)
peak = next(int(line.split()[1]) for line in open('/proc/self/status') if line[:5] == 'VmHWM')
print(json.dumps({**found, 'wall_s': time.monotonic() - begun, 'cpu_s': usage.ru_utime + usage.ru_stime,
                  'peak_mb': peak / 1024}))
"""
PULL = """
import sys, time
begun = time.monotonic()
from datetime import UTC, date, datetime
from pathlib import Path
from appliance.config import StoresConfig
from appliance.market.store import MarketStore
from appliance.storage.published_sources import PublishedSources, unverified_manifest
from appliance.bundles.pull import pull_data
place, endpoint, keys, state = sys.argv[1:5]
store = PublishedSources(StoresConfig(data=place, bundles=place, s3={'endpoint': endpoint}), Path(keys)).data()
manifest = unverified_manifest(store)
market = MarketStore(Path(state) / 'market.duckdb', manifest.calendar)
done = pull_data(store, market, manifest, manifest.last, Path(state) / 'incoming', datetime(2026, 1, 1, tzinfo=UTC))
market.close()
found = {'files': done.files, 'bytes': done.transferred, 'sessions': done.changed_sessions}
"""
BARE = """
import sys, time
begun = time.monotonic()
import boto3, duckdb
from botocore.config import Config
from pathlib import Path
bucket, endpoint, key, secret, state, *names = sys.argv[1:]
client = boto3.client('s3', endpoint_url=endpoint, region_name='us-east-1', aws_access_key_id=key,
                      aws_secret_access_key=secret, config=Config(s3={'addressing_style': 'path'}))
paths = []
for name in names:
    path = Path(state) / name.rsplit('/', 1)[-1]
    path.write_bytes(client.get_object(Bucket=bucket, Key=name)['Body'].read())
    paths.append(str(path))
store = duckdb.connect(str(Path(state) / 'bare.duckdb'), config={'threads': 1, 'memory_limit': '96MB'})
store.execute('CREATE TABLE bars AS SELECT * FROM read_parquet(?)', [paths])
store.close()
found = {'files': len(paths), 'bytes': sum(Path(p).stat().st_size for p in paths)}
"""
EVENING = """
import sys, time
begun = time.monotonic()
from datetime import date
from pathlib import Path
from appliance.system.clock import SystemClock
from appliance.market.vendor_sessions import complete
from appliance.config import StoresConfig
from appliance.system.state_folder import DurableFs
from appliance.market.store import MarketStore
from appliance.storage.published_sources import PublishedSources, unverified_manifest
from appliance.bundles.pull import is_current
from execution.brokers.market_data import AlpacaData, Keys
place, endpoint, keys, url, state, asof = sys.argv[1:]
manifest = unverified_manifest(PublishedSources(StoresConfig(data=place, bundles=place, s3={'endpoint': endpoint}), Path(keys)).data())
market = MarketStore(Path(state) / 'market.duckdb', manifest.calendar)
assert is_current(market, manifest, manifest.last)
source = AlpacaData(url, Keys('k', 's'), SystemClock())
done = complete(market, source, manifest, manifest.calendar, date.fromisoformat(asof), DurableFs(),
                Path(state) / 'completed')
market.close()
found = {'sessions': len(done.sessions), 'rows': done.rows, 'bytes': 0}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=2520)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sync-") as scratch:
        root = Path(scratch)
        versions = curated(root, options.symbols, options.sessions)
        with serving(root / "weed") as server:
            for name in versions:
                store = BucketStore(place_of(server, name))
                publish_data(root / name, store, SIGNER)
            keys = root / "keys"
            keys.mkdir()
            for file, content in zip(("s3-key-id", "s3-secret-key"), READER, strict=True):
                (keys / file).write_text(content)
            rows = [measured(root, server, keys, versions) for _ in range(options.runs)]
    for workload in rows[0]:
        told = {key: statistics.median(row[workload][key] for row in rows) for key in rows[0][workload]}
        print(f"{workload:<28} " + "  ".join(f"{key} {value:,.2f}" for key, value in told.items()))


def curated(root: Path, symbols: int, sessions: int) -> dict[str, Manifest]:
    """The dataset to the session before the last, and the whole one."""
    bars, actions = generate(5, symbols, sessions, END).write(root / "vendor")
    table = pq.read_table(bars)
    pq.write_table(table.filter(pc.less(table["date"], datetime(END.year, END.month, END.day))), root / "cut.parquet")
    return {
        name: ingest(
            DeliveryFiles(source, actions),
            root / name,
            DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig(), name="market"),
        )
        for name, source in (("yesterday", root / "cut.parquet"), ("today", bars))
    }


def place_of(server: Server, name: str) -> Objects:
    config = S3Config(endpoint=server.endpoint)
    return Objects.opened(Place.parse(f"s3://{BUCKET}/store/{name}"), config, S3Keys(*WRITER))


def measured(root: Path, server: Server, keys: Path, versions: dict[str, Manifest]) -> dict[str, dict[str, float]]:
    """One round of every workload, each in a process of its own."""
    yesterday, today = versions["yesterday"], versions["today"]
    state = root / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()

    def pull(name: str) -> dict[str, float]:
        return ran(PULL, f"s3://{BUCKET}/store/{name}", server.endpoint, str(keys), str(state))

    found = {"first sync": pull("yesterday")}
    asked = state.with_name("asked")
    shutil.rmtree(asked, ignore_errors=True)
    shutil.copytree(state, asked)
    found["daily sync"] = pull("today")
    found["nothing new"] = pull("today")
    every = [f"store/yesterday/{record.path}" for record in yesterday.of_role(FileRole.BARS)]
    bare = root / "bare"
    shutil.rmtree(bare, ignore_errors=True)
    bare.mkdir()
    found["first sync, bare peer"] = ran(BARE, BUCKET, server.endpoint, *READER, str(bare), *every)
    served = Exchange(
        ServedMarket.from_dataset(root / "today"), ExchangeVirtualClock(today.calendar.session(today.last).close + timedelta(hours=1))
    )
    with fake.serving(served) as url:
        place = f"s3://{BUCKET}/store/yesterday"
        found["evening asked of a vendor"] = ran(EVENING, place, server.endpoint, str(keys), url, str(asked), str(today.last))
    return found


def ran(program: str, *arguments: str) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program + PROBE, *arguments], env=environment, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {key: float(value) / (1e6 if key == "bytes" else 1) for key, value in answer.items()}


if __name__ == "__main__":
    begun = time.monotonic()
    main()
    print(f"in all {time.monotonic() - begun:.0f} s")
