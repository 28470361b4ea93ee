"""Remembered sort orders of the screens, stored in a file of the user; an unreadable file is ignored."""

import json
from collections.abc import Mapping
from pathlib import Path

from appliance.tui.row_filter import Arrangement
from appliance.tui.screens import BY_NAME
from signals.files import write_atomic
from signals.text import strict_json

MOST_BYTES = 10_000


def read(path: Path) -> dict[str, Arrangement]:
    """Return the sort of each screen by its name; only of screens and columns that there are."""
    try:
        content = path.read_bytes()
        rows = strict_json.loads(content) if len(content) <= MOST_BYTES else {}
    except (OSError, ValueError):
        return {}
    found = {}
    for name, row in rows.items() if isinstance(rows, dict) else ():
        match row:
            case [str(key), bool(descending)] if name in BY_NAME and key in {column.key for column in BY_NAME[name].columns}:
                found[name] = Arrangement("", key, descending)
    return found


def write(path: Path, sorts: Mapping[str, Arrangement]) -> None:
    """Keep the sort of each screen that has one; raise `OSError` where the file cannot be written."""
    rows = {name: [how.sort, how.descending] for name, how in sorts.items() if how.sort}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(rows).encode())
