"""The report's part on whether things go as expected: where the result came from, and how the model does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.reports.tables import money, table


def attribution(content: Mapping[str, Any]) -> str:
    """Return the sections of the sessions attributed since the last report; empty when there is none."""
    return "\n\n".join(_session(row) for row in content.get("attribution", ()))


def _session(row: Mapping[str, Any]) -> str:
    lines = [[part, money(amount, signed=True)] for part, amount in row["parts"].items()]
    lines.append(["**sum**", money(row["total"], signed=True)])
    costs = ", ".join(f"{name} {money(amount, signed=True)}" for name, amount in row["costs"].items())
    said = [f"## Where the result of {row['session']} came from", "", table(["part", "USD"], lines, numbers=(1,)), "",
            f"Costs: {costs}."]  # fmt: skip
    if row["data"] == "RED":
        said.append("The bars of this session are RED: what the market and sectors did is in the selection.")
    said += [f"Selection, {word}: {_named(row[word])}." for word in ("best", "worst") if row[word]]
    return "\n".join(said)


def _named(amounts: Sequence[Sequence[str]]) -> str:
    return ", ".join(f"{symbol} {money(amount, signed=True)}" for symbol, amount in amounts)
