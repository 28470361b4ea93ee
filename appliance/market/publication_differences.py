"""Differences between a newly published dataset and the sessions that the device had completed itself.

Entry points: `set_aside` (before the published rows come), `record_differences` (after), `differences`, `drop_differences`.

Invariants
----------
1. A session that the new dataset holds comes from the dataset only: no row that the device completed stays in it.
2. A session after the dataset's last one is rebuilt from its vendor record, over the new dataset.
3. Differences are recorded with the rows that cause them, until they have been reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NAMED = 5
# `completed`: the record from which each session after the published ones was built. `differences`: not reported yet.
TABLES = """
CREATE TABLE IF NOT EXISTS completed (session DATE, sha256 VARCHAR, status VARCHAR);
CREATE TABLE IF NOT EXISTS differences (session DATE, symbol VARCHAR);
"""
OWN = "session > (SELECT max(through) FROM snapshot)"
DIFFERENT = """
INSERT INTO differences
WITH ours AS (SELECT {columns} FROM own WHERE session <= ?),
     theirs AS (SELECT {columns} FROM bars WHERE session <= ? AND session IN (SELECT session FROM owned))
SELECT DISTINCT session, symbol FROM ((FROM ours EXCEPT FROM theirs) UNION ALL (FROM theirs EXCEPT FROM ours))
"""


@dataclass(frozen=True)
class PublishedDifference:
    """A session in which the published dataset differs from what this device had completed.

    Attributes
    ----------
    symbols : tuple of str
        Names with another row, or a row on one side only; sorted.
    """

    session: date
    symbols: tuple[str, ...]

    def sentence(self) -> str:
        """In words, for a person."""
        more = ", ..." if len(self.symbols) > NAMED else ""
        return f"{self.session}: {len(self.symbols)} names ({', '.join(self.symbols[:NAMED])}{more})"


def set_aside(connection: DuckDBPyConnection) -> None:
    """Take the completed sessions out of the bars and the audits; nothing to do in an empty store."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE own AS SELECT * FROM bars WHERE {OWN}")
    connection.execute(f"CREATE OR REPLACE TEMP TABLE owned AS SELECT session FROM audits WHERE {OWN}")
    connection.execute(f"DELETE FROM bars WHERE {OWN}")
    connection.execute(f"DELETE FROM audits WHERE {OWN}")


def record_differences(connection: DuckDBPyConnection, columns: str, through: date) -> None:
    """Compare what was set aside with the rows published up to `through`, and drop the records of those."""
    connection.execute("DELETE FROM differences WHERE session IN (SELECT session FROM owned)")
    connection.execute(DIFFERENT.format(columns=columns), [through, through])
    connection.execute("DELETE FROM completed WHERE session <= ?", [through])


def differences(connection: DuckDBPyConnection) -> tuple[PublishedDifference, ...]:
    """Return the differences that were not reported yet, oldest first."""
    rows = connection.execute("SELECT session, list(symbol ORDER BY symbol) FROM differences GROUP BY session ORDER BY session").fetchall()
    return tuple(PublishedDifference(session, tuple(symbols)) for session, symbols in rows)


def drop_differences(connection: DuckDBPyConnection) -> None:
    """Drop the differences: they have been reported."""
    connection.execute("DELETE FROM differences")
