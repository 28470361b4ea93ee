"""D6: what a session writes to the card stays far below 200 MB; 1,000 names are in benchmarks/RESULTS.md."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.device import Workbench
from tests.fakes.store import SYMBOLS, Published
from tests.flow.test_restore import keeps_backups

MEGABYTE = 2**20
MOST = 24 * MEGABYTE  # 48 names, with the state of the exchange that this device hosts


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder on the disk of the checkout: what is written to memory is charged to nobody."""
    disk = Path(__file__).resolve().parents[2] / "var"
    disk.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=disk) as folder:
        yield Path(folder)


def charged() -> int:
    """Bytes of writing that the kernel has charged this process for."""
    found = re.search(r"^write_bytes: (\d+)", Path("/proc/self/io").read_text(), re.M)
    assert found is not None
    return int(found[1])


def test_a_session_writes_a_small_part_of_the_cards_daily_budget(
    make: Callable[..., Workbench], published: Published, tmp_path: Path
) -> None:
    """The second session: the first one brings the whole history. Its backup is among what is written."""
    before = charged()
    (tmp_path / "probe").write_bytes(bytes(MEGABYTE))
    if charged() - before < MEGABYTE:
        pytest.skip("this file system is memory, or nobody counts what is written to it: D6 is not measured")
    bench, (first, second) = make(published), published.sessions(2)
    keeps_backups(bench, tmp_path / "elsewhere")
    assert bench("arm", "--yes").code == 0
    assert bench("run-day", "--session", str(first)).code == 0
    before = charged()
    assert bench("run-day", "--session", str(second)).code == 0
    written = charged() - before
    assert 0 < written < MOST, f"{written / MEGABYTE:.1f} MB for {SYMBOLS} names"
