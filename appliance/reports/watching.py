"""The report's part on whether things go as expected: where the result came from, and how the model does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from appliance.reports.tables import money, table
from signals.text.plain_text import markdown

FAN = ("live", "low", "median", "high")
DRIFTING = 8


def attribution(content: Mapping[str, Any]) -> str:
    """Return the sections of the sessions attributed since the last report; empty when there is none."""
    return "\n\n".join(_session(row) for row in content.get("attribution", ()))


def _session(row: Mapping[str, Any]) -> str:
    lines = [[part, money(amount, signed=True)] for part, amount in row["parts"].items()]
    lines.append(["sum", money(row["total"], signed=True)])
    costs = ", ".join(f"{name} {money(amount, signed=True)}" for name, amount in row["costs"].items())
    said = [f"## Where the result of {row['session']} came from", "", table(["part", "USD"], lines, numbers=(1,)), "", f"Costs: {costs}."]
    if row["data"] == "RED":
        said.append("The bars of this session are RED: what the market and sectors did is in the selection.")
    said += [f"Selection, {word}: {_named(row[word])}." for word in ("best", "worst") if row[word]]
    return "\n".join(said)


def _named(amounts: Sequence[Sequence[str]]) -> str:
    return ", ".join(f"{markdown(symbol)} {money(amount, signed=True)}" for symbol, amount in amounts)


def expectation(content: Mapping[str, Any]) -> str:
    """Return the section on the model's life beside its promise."""
    found = content.get("expectation")
    if not found:
        return ""
    test = found["test"]
    rows = [
        [row["figure"], str(row["sessions"]), *(_figure(row["figure"], row[key]) for key in FAN), row["verdict"]]
        for row in found["figures"]
    ]
    said = (
        f"Lived since {found['since']}: {markdown(test['says'])}. Evidence against it {test['wealth']:.2f} now, "
        f"at most {test['highest']:.2f}; from {test['alarm_at']:.0f} on it is gone. "
        "Chance of a false alarm over its life: 5 %."
    )
    heads = ["figure", "sessions", "lived", "low", "median", "high", "where"]
    return "\n".join(
        [
            "## Expected and realised",
            "",
            said,
            "",
            table(heads, rows, numbers=(1, 2, 3, 4, 5)),
            "",
            "![expected and realised](expectation.svg)",
        ]
    )


def warning(content: Mapping[str, Any]) -> str:
    """Return the banner of a model that is no longer what was promoted; empty while it is."""
    found = content.get("expectation")
    if not found or found["test"]["alarmed_on"] is None:
        return ""
    return f"> **This is {markdown(found['test']['says'])}**: so since {found['test']['alarmed_on']}."


def drift(content: Mapping[str, Any]) -> str:
    """Return the section on drift: what uses most of its limit."""
    found = content.get("drift")
    if not found:
        return ""
    rows = [[row["name"], *(_plain(row[key]) for key in ("psi", "limit", "used")), row["verdict"]] for row in found["rows"][:DRIFTING]]
    drifted = sum(row["verdict"] == "DRIFTED" for row in found["rows"])
    said = f"{drifted} of {len(found['rows'])} figures drifted, over {found['window_sessions']} sessions."
    lines = ["## Drift", "", said, "", table(["figure", "PSI", "limit", "used", ""], rows, numbers=(1, 2, 3))]
    return "\n".join(lines)


def _figure(name: str, value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if name == "ic" else f"{value:.2f}" if name == "cost" else f"{value:.2%}"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
