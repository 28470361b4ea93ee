"""The device's whole day on aarch64, carried out by qemu-user, beside the same day on this machine.

A market is generated (or yours curated), a model trained on it, signed and published, here. Then, for each Python that
Raspberry Pi OS has had and each core of a Pi that is wanted:

1. a release for aarch64 is installed in a Debian that has no compiler and no network, by the device's own program;
2. every feature of every session and the scores of the newest year are computed there and here, and compared;
3. the golden vectors of the bundle are reproduced there, in the device's limited child process;
4. the sessions are run there and here, every job of them, and the orders, fills and values compared.

    make arm                    # as root; needs qemu-user-static and debootstrap, and the network of both indexes
    make arm DATA=FILE.parquet  # features, scores and orders of your bars
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from appliance.schedule.timetable import JOBS
from tests.arm.comparing import compared, unlike
from tests.arm.emulated import SUITES, Board, Broken, ended, missing, registered, root

REPOSITORY = Path(__file__).resolve().parents[2]
CPUS = ("cortex-a72", "cortex-a76")
ORDER = ("symbol", "side", "quantity", "when", "reference", "filled", "price", "state", "reason")
BASE, STORE, STATE, WITNESS = "opt/appliance", "srv/store", "srv/state", "srv/witness.npz"
IC = "0.03"
LACKING = "missing on this machine: {}; install the packages qemu-user-static and debootstrap"
Program = Callable[..., str]


@dataclass(frozen=True)
class Bench:
    """What both machines work on.

    Attributes
    ----------
    store : Path
        A published store: `data/`, bundles, `keyset.json` and the root key `root.pub`.
    sessions : tuple of date
        The trade sessions.
    """

    store: Path
    sessions: tuple[date, ...]

    @property
    def bundle(self) -> Path:
        """Folder of the bundle in the store."""
        latest = json.loads((self.store / "equities_xs/evaluation/latest.json").read_bytes())
        return self.store / "equities_xs/evaluation" / str(latest["folder"])


def here(module: str) -> Program:
    """A program of this repository, on this machine."""
    return lambda *words: ended([sys.executable, "-m", module, *words])


def say(words: str) -> None:
    """Tell the person who waits."""
    print(f"{time.strftime('%H:%M:%S')} {words}", flush=True)


def published(scratch: Path, bars: Path | None, sessions: int) -> Bench:
    """Curate, train, sign and publish on this machine; the last sessions are kept for trading."""
    trainer = here("trainer")
    vendor = ["--bars", str(bars), "--min-symbols", "30"]
    if bars is None:
        say("generating a market")
        trainer("generate", "--seed", "7", "--to", str(scratch / "vendor"))
        vendor = ["--bars", str(scratch / "vendor/bars.parquet"), "--basis", "raw", "--actions", str(scratch / "vendor/actions.parquet")]
    say("curating and training")
    data, run, keys, store = (scratch / name for name in ("curated", "run", "keys", "store"))
    trainer("ingest", *vendor, "--to", str(data))
    listed = trainer("sessions", "--data", str(data), "--last", str(sessions + 1)).split()
    trainer("train", "--sleeve", "equities_xs", "--data", str(data), "--end", listed[0], "--seeds", "1", "--run", str(run))
    trainer("keys", "--to", str(keys))
    trainer("publish", "--run", str(run), "--role", "evaluation", "--keys", str(keys), "--to", str(store))
    trainer("publish-data", "--data", str(data), "--keys", str(keys), "--to", str(store / "data"))
    shutil.copy(keys / "root.pub", store)
    return Bench(store, tuple(date.fromisoformat(day) for day in listed[1:]))


def traded(appliance: Program, store: str, state: str, sessions: Sequence[date]) -> dict[str, Any]:
    """Run the sessions on a new device; return what it ordered and what the account was worth."""
    where = ("--state", state)
    appliance("init", "--venue", "exchange", "--store", store, "--trust", f"{store}/root.pub", "--fixed-ic", IC, *where)
    appliance("arm", "--session", str(sessions[0]), "--yes", *where)
    orders = []
    for day in sessions:
        appliance("run-day", "--session", str(day), *where)
        rows = json.loads(appliance("blotter", "--session", str(day), "--limit", "5000", "--json", *where))["rows"]
        orders += sorted(rows, key=lambda row: (row["symbol"], row["client_order_id"]))
    last = ("--session", str(sessions[-1]))
    return {
        "orders": orders,
        "value": json.loads(appliance("performance", *last, "--json", *where))["rows"],
        "jobs": json.loads(appliance("runs", *last, "--json", *where))["rows"],
    }


def apart(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Orders, values and ends of jobs that are not the same on both machines."""
    if not ours["orders"]:
        return ["nothing was ordered, so nothing is shown"]
    found = [f"order: {words}" for words in unlike(ours["orders"], theirs["orders"], ORDER)]
    found += [f"value: {words}" for words in unlike(ours["value"], theirs["value"], ("session", "paper_nav"))]
    return found + [f"job: {words}" for words in unlike(ours["jobs"], theirs["jobs"], ("session", *JOBS))]


def release(python: str, scratch: Path) -> tuple[Path, int]:
    """Build a release for aarch64; return its archive and its size in bytes."""
    say(f"building a release for aarch64 and Python {python}")
    words = ended(
        [sys.executable, str(REPOSITORY / "ansible/release.py"), "--machine", "aarch64", "--python", python, "--to", str(scratch)]
    )
    built = json.loads(words)
    return Path(built["archive"]), int(built["bytes"])


def installed(python: str, folder: Path, scratch: Path) -> tuple[Path, int]:
    """Install a release in a fresh aarch64 root by the device's own program; return the root, and the bytes carried."""
    target = scratch / f"root-{python}"
    ended(["cp", "-a", "--reflink=auto", str(root(python, folder)), str(target)])
    archive, size = release(python, scratch)
    incoming = target / BASE / "incoming"
    incoming.mkdir(parents=True)
    ended(["tar", "-C", str(incoming), "-xf", str(archive)])
    program = REPOSITORY / "ansible/roles/appliance/files/appliance_release.py"
    shutil.copy(program, target / "root/appliance_release.py")
    say(f"Python {python}: installing it without compiler and network")
    Board(target, CPUS[0]).run("/usr/bin/python3", "/root/appliance_release.py", "install", f"/{BASE}/incoming")
    (found,) = (target / BASE / "releases").iterdir()
    (target / BASE / "current").symlink_to(f"releases/{found.name}")
    (target / "srv").mkdir(exist_ok=True)
    shutil.copy(REPOSITORY / "tests/arm/witness.py", target / "srv/witness.py")
    return target, size


def faults_of(board: Board, bench: Bench, ours: dict[str, Any], witness: Path, record: dict[str, Any]) -> list[str]:
    """Compare one core with this machine; return what is not as it must be."""
    bundle = f"/{STORE}/{bench.bundle.relative_to(bench.store)}"
    program = f"/{BASE}/current/bin"
    began = time.monotonic()
    board.run(f"{program}/python3", "/srv/witness.py", "--data", f"/{STORE}/data", "--bundle", bundle, "--to", f"/{WITNESS}")
    difference = compared(witness, board.root / WITNESS)
    record |= {"difference": asdict(difference), "witness_s": round(time.monotonic() - began, 1)}
    say(f"  {difference}; golden vectors reproduced; {record['witness_s']:.0f} s")
    began = time.monotonic()
    shutil.rmtree(board.root / STATE, ignore_errors=True)
    theirs = traded(lambda *words: board.run(f"{program}/appliance", *words), f"/{STORE}", f"/{STATE}", bench.sessions)
    record |= {"orders": len(theirs["orders"]), "day_s": round(time.monotonic() - began, 1)}
    found = [*difference.faults(), *apart(ours, theirs)]
    said = "the same orders, fills and values" if not found else f"{len(found)} faults"
    say(f"  {len(theirs['orders'])} orders in {len(bench.sessions)} sessions, {said}; {record['day_s']:.0f} s")
    return found


def main() -> int:
    """Run it; exit code 1 where a rule does not hold, 2 where it cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", choices=tuple(SUITES), action="append", help="all where absent")
    parser.add_argument("--cpu", action="append", help=f"{' and '.join(CPUS)} where absent")
    parser.add_argument("--bars", type=Path, help="your own bars instead of a generated market")
    parser.add_argument("--sessions", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=REPOSITORY / "var/arm", help="roots are kept here")
    asked = parser.parse_args()
    if lacking := missing():
        print(LACKING.format(", ".join(lacking)), file=sys.stderr)
        return 2
    began, results, faults = time.monotonic(), [], []
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="arm-", dir=asked.folder) as name, registered():
        scratch = Path(name)
        bench = published(scratch, asked.bars, asked.sessions)
        say("the day on this machine")
        ours = traded(here("appliance"), str(bench.store), str(scratch / "state"), bench.sessions)
        witness = scratch / "witness.npz"
        here("tests.arm.witness")("--data", str(bench.store / "data"), "--bundle", str(bench.bundle), "--to", str(witness))
        for python in asked.python or SUITES:
            board, size = installed(python, asked.folder, scratch)
            shutil.copytree(bench.store, board / STORE)
            for cpu in asked.cpu or CPUS:
                say(f"Python {python} on {cpu}")
                record: dict[str, Any] = {"python": python, "cpu": cpu, "release_bytes": size}
                faults += [f"{python} {cpu}: {words}" for words in faults_of(Board(board, cpu), bench, ours, witness, record)]
                results.append(record)
    print(json.dumps({"results": results, "faults": faults, "seconds": round(time.monotonic() - began)}, indent=1))
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as broken:
        print(broken, file=sys.stderr)
        sys.exit(1)
