"""A slice of the aarch64 day, short enough for every change: one Python, one core, a small market.

Every feature and score of the market is computed by an emulated Cortex-A72 and by this machine, and compared; the
bundle's golden vectors are reproduced there, and learners that were trained here and exported say there what their models
say here (`--families all` for the networks too). Where the kernel can be taught to run aarch64 programs, one whole session
is traded on both as well, and the orders compared. What the device installs is unpacked for it, not installed by it:
that is `make arm`'s to show.

    make arm-slice              # as root; needs qemu-user-static and debootstrap; three minutes the first time
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.arm.comparing import compared
from tests.arm.day import CPUS, LACKING, REPOSITORY, STATE, STORE, WITNESS, Bench, apart, here, release, say, traded
from tests.arm.emulated import Board, Broken, NotRegistered, ended, missing, registered, root
from tests.arm.graphs import bound, chosen, distances, written
from tests.fakes.store import publish_store

PYTHON = "3.11"
GRAPHS = "srv/graphs"
SITE = f"usr/local/lib/python{PYTHON}/dist-packages"


def laid_out(device: Path, store: Path, scratch: Path) -> None:
    """Unpack a release for aarch64 into the root, and put the witness and the store beside it."""
    archive, _ = release(PYTHON, scratch)
    ended(["tar", "-C", str(scratch), "-xf", str(archive)])
    for folder in (SITE, STORE, STATE):
        shutil.rmtree(device / folder, ignore_errors=True)
    for wheel in sorted((scratch / "wheelhouse").glob("*.whl")):
        shutil.unpack_archive(wheel, device / SITE, "zip")
    shutil.copytree(store, device / STORE)
    shutil.copy(REPOSITORY / "tests/arm/witness.py", device / "srv/witness.py")


def graphs(board: Board, data: Path, asked: str, scratch: Path) -> list[str]:
    """What graphs of trained learners say on the board that their models do not say here."""
    names, absent = chosen(asked)
    if absent:
        say(f"  NOT RUN: {', '.join(absent)}: torch is installed by `make test-deep`")
    said = written(scratch / "graphs", data, names)
    shutil.rmtree(board.root / GRAPHS, ignore_errors=True)
    shutil.copytree(scratch / "graphs", board.root / GRAPHS)
    shutil.copy(REPOSITORY / "tests/arm/graphs_witness.py", board.root / "srv/graphs_witness.py")
    board.run_direct("/usr/bin/python3", "/srv/graphs_witness.py", "--folder", f"/{GRAPHS}", "--to", f"/{GRAPHS}/said.npz")
    apart = distances(said, board.root / GRAPHS / "said.npz")
    say(f"  {len(apart)} learners' graphs: {', '.join(f'{name} {value:.1e}' for name, value in apart.items())}")
    return [f"{name} is {value:.1e} away, more than {bound(name):.0e}" for name, value in apart.items() if not value <= bound(name)]


def main() -> int:
    """Run it; exit code 1 where a rule does not hold, 2 where it cannot be run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default="tabular", help="names of learners, or all")
    asked = parser.parse_args()
    if lacking := missing():
        print(LACKING.format(", ".join(lacking)), file=sys.stderr)
        return 2
    folder = REPOSITORY / "var/arm"
    with tempfile.TemporaryDirectory(prefix="arm-") as name:
        scratch = Path(name)
        store = publish_store(scratch / "store")
        bench = Bench(store.root, tuple(store.sessions(1)))
        say(f"Python {PYTHON} on {CPUS[0]}")
        board = Board(root(PYTHON, folder), CPUS[0])
        laid_out(board.root, store.root, scratch)
        words = (
            "--data",
            f"/{STORE}/data",
            "--bundle",
            f"/{STORE}/{bench.bundle.relative_to(bench.store)}",
            "--to",
            f"/{WITNESS}",
            "--alone",
        )
        board.run_direct("/usr/bin/python3", "/srv/witness.py", *words)
        here("tests.arm.witness")("--data", str(bench.store / "data"), "--bundle", str(bench.bundle), "--to", str(scratch / "witness.npz"))
        difference = compared(scratch / "witness.npz", board.root / WITNESS)
        say(f"  {difference}; golden vectors reproduced")
        faults = difference.faults() + graphs(board, bench.store / "data", asked.families, scratch)
        try:
            with registered():
                ours = traded(here("appliance"), str(bench.store), str(scratch / "state"), bench.sessions)
                theirs = traded(
                    lambda *words: board.run("/usr/bin/python3", "-m", "appliance", *words), f"/{STORE}", f"/{STATE}", bench.sessions
                )
        except NotRegistered as reason:
            say(f"  NOT RUN: the traded session: {reason}")
        else:
            faults += apart(ours, theirs)
            say(f"  {len(theirs['orders'])} orders in {len(bench.sessions)} session, {len(faults)} faults")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Broken as broken:
        print(broken, file=sys.stderr)
        sys.exit(1)
