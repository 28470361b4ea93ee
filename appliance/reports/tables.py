"""Markdown tables, and money as a person reads it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from signals.text.plain_text import markdown


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Return a Markdown table; the columns in `numbers` are aligned to the right."""
    rule = ["---:" if i in numbers else "---" for i in range(len(heads))]
    lines = [heads, rule, *([markdown(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def money(text: str, *, signed: bool = False) -> str:
    """Return USD with thousands separated, to the cent."""
    value = Decimal(text)
    return f"{value:+,.2f}" if signed else f"{value:,.2f}"
