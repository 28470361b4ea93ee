"""Exports table rows as JSON or CSV, to the clipboard or to a file."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from appliance.views.view import ViewRow
from signals.files import write_atomic
from signals.text.wording import csv_cell


def as_json(rows: Sequence[ViewRow]) -> str:
    """One object for one row, else a list."""
    return json.dumps(rows[0] if len(rows) == 1 else list(rows), default=str, sort_keys=True)


def as_csv(rows: Sequence[ViewRow]) -> str:
    """A header and one line a row, no cell of which a spreadsheet computes; empty for no rows."""
    if not rows:
        return ""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: csv_cell(value) for key, value in row.items()} for row in rows)
    return stream.getvalue()


def write(path: Path, rows: Sequence[ViewRow], form: str) -> Path:
    """Write the rows to `path`; raise `OSError` when the disk does not take them."""
    text = json.dumps(list(rows), default=str, sort_keys=True) + "\n" if form == "json" else as_csv(rows)
    write_atomic(path, text.encode())
    return path.resolve()
