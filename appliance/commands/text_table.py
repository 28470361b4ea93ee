"""Formats rows as a plain-text table: aligned columns, numbers right-aligned, no wrapping."""

from collections.abc import Mapping, Sequence

from signals.text.wording import clean


def render(rows: Sequence[Mapping[str, object]], columns: Sequence[str], *, empty: str) -> str:
    """Return the rows as text, one line each under a header; `empty` when there is none."""
    if not rows:
        return empty
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in cells)) for i, column in enumerate(columns)]
    right = [all(_is_number(row.get(column)) for row in rows) for column in columns]

    def line(values: Sequence[str]) -> str:
        return "  ".join(v.rjust(w) if r else v.ljust(w) for v, w, r in zip(values, widths, right, strict=True)).rstrip()

    return "\n".join([line(list(columns)), line(["-" * w for w in widths]), *(line(values) for values in cells)])


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.6g}"
    return clean(value)


def _is_number(value: object) -> bool:
    if value is None or isinstance(value, bool):
        return value is None
    try:
        float(str(value))
    except ValueError:
        return False
    return True
