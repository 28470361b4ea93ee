"""The page docs/features.md, written from the catalogue: `python -m signals.indicators.document > docs/features.md`."""

from itertools import groupby

from signals.indicators.catalogue import CATALOGUE

HEAD = """# Features of minute bars

Written from `signals/indicators/catalogue.py` by `python -m signals.indicators.document`; a test holds it current.

Each is computed down a column of bars, from bars up to its own row alone: a session alone gives what all sessions give, to the
bit, and a restart changes nothing. No value depends on the unit of prices or volumes. NaN means not defined (too few bars, an
empty range, no quotes). n is the window in bars. The last column names the functions of TA-Lib that give the same within 1e-10.
"""


def document() -> str:
    """Return the page."""
    parts = [HEAD, f"{len(CATALOGUE)} features.\n"]
    for family, rows in groupby(CATALOGUE, key=lambda row: row.family):
        lines = [f"| `{row.name}` | {row.text} | {row.units} | {row.window} | {row.reference} |" for row in rows]
        parts += [f"## {family}\n", "| name | what it is | units | n | TA-Lib |\n|---|---|---|---|---|\n" + "\n".join(lines) + "\n"]
    return "\n".join(parts)


if __name__ == "__main__":
    print(document(), end="")  # noqa: T201  # what a person asked this module to print
