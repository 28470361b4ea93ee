"""F43: a damaged market store is built anew from what is published, and nothing is traded on it meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from tests.fakes.device import Workbench
from tests.fakes.store import Published

Make = Callable[..., Workbench]


def flipped(path: Path) -> None:
    """Flip bytes all over the file, its first blocks spared: it opens, and its bars cannot be read."""
    content = bytearray(path.read_bytes())
    for place in range(3 * 4096 + 100, len(content), 2048):
        content[place] ^= 0xFF
    path.write_bytes(bytes(content))


def cut(path: Path) -> None:
    """Leave the first half."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def overwritten(path: Path) -> None:
    """Leave nothing of a database."""
    path.write_bytes(b"not a database" * 1000)


def emptied(path: Path) -> None:
    """Lose all bars but those of the newest 60 sessions: a file without a fault, whose look-backs are shorter than they say."""
    with duckdb.connect(str(path)) as store:
        store.execute("DELETE FROM bars WHERE session <= (SELECT session FROM audits ORDER BY session DESC LIMIT 1 OFFSET 60)")


def thinned(path: Path) -> None:
    """Lose one bar of one session of a month ago."""
    with duckdb.connect(str(path)) as store:
        ago = "(SELECT session FROM audits ORDER BY session DESC LIMIT 1 OFFSET 20)"
        store.execute(f"DELETE FROM bars WHERE session = {ago} AND symbol = (SELECT min(symbol) FROM bars WHERE session = {ago})")


UNREADABLE, LOST = "the market store cannot be read", "that were audited"


@pytest.mark.parametrize(
    ("damage", "said"), [(flipped, UNREADABLE), (cut, UNREADABLE), (overwritten, UNREADABLE), (emptied, LOST), (thinned, LOST)]
)
def test_a_damaged_market_store_is_never_traded_on_and_is_rebuilt_by_the_next_pull(
    make: Make, published: Published, damage: Callable[[Path], None], said: str
) -> None:
    """F43: after the evening's pull the file is spoilt: the session is skipped; the next one has every bar again."""
    first, second = map(str, published.sessions(2))
    bench = make(published)
    assert bench("pull", "--session", first).code == 0
    store = bench.state / "market.duckdb"
    damage(store)
    done = bench("score", "--session", first)
    assert done.code == 3 and said in done.out, (done.out, done.err)
    bench("reconcile", "--session", first)
    assert bench("plan", "--session", first).code == 3
    assert bench.rows("SELECT count(*) FROM intents") == [(0,)]
    assert bench("arm", "--session", second, "--yes").code == 0
    assert store.with_suffix(".damaged").is_file(), "the damaged file is kept"
    assert ("the market store was damaged",) in bench.rows("SELECT title FROM alerts")
    sound = make(published, "sound")
    for command in ("pull", "score"):
        assert sound(command, "--session", second).code == 0
    scores = "SELECT asof, symbol, score FROM scores ORDER BY symbol"
    assert bench.rows(scores) == sound.rows(scores)
    assert bench.rows("SELECT count(*) FROM plans WHERE session = ?", second) == [(1,)]
