"""Count what a cosmic-ray session has killed; exits 1 below nine in ten. Arguments: the session's database."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from typing import Final

LEAST: Final = 0.90
QUERY: Final = """
SELECT m.start_pos_row, m.operator_name, r.test_outcome FROM mutation_specs m JOIN work_results r USING (job_id)
WHERE r.worker_outcome <> 'SKIPPED' ORDER BY m.start_pos_row
"""


def main() -> int:
    """Print the survivors and the score, and return the exit status."""
    with closing(sqlite3.connect(sys.argv[1])) as session:
        rows = list(session.execute(QUERY))
    survivors = [(line, operator) for line, operator, outcome in rows if outcome != "KILLED"]
    for line, operator in survivors:
        print(f"survived: line {line}, {operator.removeprefix('core/')}")
    score = 1 - len(survivors) / len(rows)
    print(f"{len(rows) - len(survivors)} of {len(rows)} killed: {score:.1%}")
    return int(score < LEAST)


if __name__ == "__main__":
    raise SystemExit(main())
