"""The charts of the screens, built from the rows of views."""

import math
from collections.abc import Iterable, Sequence
from itertools import cycle, pairwise
from typing import Any

from appliance.tui.columns import Tone
from appliance.tui.ledger_source import ScreenAnswer
from appliance.tui.plot import Chart, ChartLine, Stroke
from appliance.views.view import ViewRow

NO_OUTCOME = "no outcome is known yet"


def value(answer: ScreenAnswer) -> Chart:
    """The account on paper and with real costs, inside the range that was expected of it, and what the universe made."""
    rows = answer.view("performance").rows[::-1]
    path = {row["session"]: row for row in answer.view("performance").facts.get("path") or ()}
    expected = [path.get(row["session"], {}) for row in rows]
    lines = [
        ChartLine("universe", _numbers(rows, "benchmark"), Tone.PLAIN, Stroke.DASH_DOT),
        ChartLine("real", _numbers(rows, "restated_nav"), Tone.WARN, Stroke.DASHED),
        ChartLine("paper", _numbers(rows, "paper_nav"), Tone.GOOD),
    ]
    if path:
        lines = [
            ChartLine("90 % expected", _numbers(expected, "lower"), Tone.DIM, Stroke.DOTTED),
            ChartLine("", _numbers(expected, "upper"), Tone.DIM, Stroke.DOTTED),
            *lines,
        ]
    return Chart("NAV USD", tuple(lines), empty="one session more, and there is a curve", span=_span(rows))


def drawdown(answer: ScreenAnswer) -> Chart:
    """How far the account lay below its highest value."""
    rows = answer.view("performance").rows[::-1]
    below = tuple(None if row["drawdown"] is None else float(str(row["drawdown"]).removesuffix("%")) for row in rows)
    return Chart("below the top, %", (ChartLine("", below, Tone.BAD),), "{:.1f}", span=_span(rows))


def parts(answer: ScreenAnswer) -> Chart:
    """The cumulative parts of the result."""
    rows = answer.view("attribution").rows[::-1]
    chosen = (
        ("total", Tone.PLAIN, Stroke.SOLID),
        ("selection", Tone.GOOD, Stroke.DASHED),
        ("market", Tone.WARN, Stroke.DOTTED),
        ("costs", Tone.BAD, Stroke.DASH_DOT),
    )
    lines = tuple(ChartLine(name, _summed(rows, name), tone, stroke) for name, tone, stroke in chosen)
    return Chart("summed up, USD", lines, span=_span(rows))


def price(answer: ScreenAnswer) -> Chart:
    """The prices that were recorded of a symbol, and each session's fills at their mean price."""
    rows = answer.view("symbol").rows[::-1]
    fills = answer.view("symbol").facts.get("fills", ())
    lines = [ChartLine("", _numbers(rows, "price"))]
    for side, name, tone, mark in (("buy", "bought", Tone.GOOD, Stroke.UP), ("sell", "sold", Tone.BAD, Stroke.DOWN)):
        paid: dict[str, list[float]] = {}
        for fill in fills:
            if fill["side"] == side:
                paid.setdefault(fill["session"], []).append(float(fill["price"]))
        points = tuple(sum(of) / len(of) if (of := paid.get(row["session"])) else None for row in rows)
        lines.append(ChartLine(name, points, tone, mark))
    return Chart("price USD", tuple(lines), "{:.2f}", empty="no price of it", span=_span(rows))


def distribution(answer: ScreenAnswer) -> Chart:
    """How many names each sleeve scored in each step of z."""
    names: dict[str, list[float]] = {}
    for row in answer.view("signals").facts.get("distribution", ()):
        names.setdefault(row["sleeve"], []).append(float(row["names"]))
    strokes = cycle((Stroke.SOLID, Stroke.DASHED, Stroke.DOTTED, Stroke.DASH_DOT))
    lines = tuple(ChartLine(sleeve, tuple(counts), Tone.GOOD, next(strokes)) for sleeve, counts in names.items())
    return Chart("names by z", lines, "{:.0f}", empty="nothing is scored", span=("z below -2.5", "above +2.5"))


def deciles(answer: ScreenAnswer) -> Chart:
    """What the names of each decile of the score returned beyond the mean of all, in basis points a session; of the first sleeve."""
    first = list(_sleeves(answer).values())[:1]
    values = tuple(1e4 * float(value) for facts in first for value in facts.get("deciles") or ())
    lines = (ChartLine("", values, Tone.GOOD),)
    return Chart("mean excess return by decile of score", lines, "{:+.0f} bps", NO_OUTCOME, ("lowest scores", "highest"))


def session_ic(answer: ScreenAnswer) -> Chart:
    """Rank IC of each session by itself, without its mean; of the first sleeve."""
    rows = [row for facts in list(_sleeves(answer).values())[:1] for row in facts.get("life") or () if row["ic"] is not None]
    lines = (ChartLine("", _numbers(rows, "ic"), Tone.PLAIN),)
    return Chart("rank IC of each session", lines, "{:+.2f}", NO_OUTCOME, _span(rows))


def z_of_symbol(answer: ScreenAnswer) -> Chart:
    """Scores of a symbol over time."""
    rows = answer.view("symbol").rows[::-1]
    return Chart("z of the score", (ChartLine("", _numbers(rows, "z"), Tone.PLAIN),), "{:+.1f}", empty="not scored", span=_span(rows))


def rank_ic(answer: ScreenAnswer) -> Chart:
    """Mean rank IC so far within the predicted range."""
    return _lived(answer, "ic", "mean rank IC", "{:+.3f}")


def cost(answer: ScreenAnswer) -> Chart:
    """Mean trading cost so far within the predicted range; of several sleeves the second one's rank IC, for the cost is the book's."""
    if len(_sleeves(answer)) > 1:
        return _lived(answer, "ic", "mean rank IC", "{:+.3f}", place=1)
    return _lived(answer, "cost", "cost of trading, bps", "{:.1f}")


def _sleeves(answer: ScreenAnswer) -> dict[str, Any]:
    facts = answer.view("expectation").facts
    return facts.get("sleeves") or {"": facts}


def _lived(answer: ScreenAnswer, figure: str, title: str, unit: str, place: int = 0) -> Chart:
    sleeve, facts = (list(_sleeves(answer).items()) or [("", {})])[place]
    title = f"{title}, {sleeve}" if sleeve else title
    lived = list((facts.get("lived") or {}).get(figure) or ())
    fans = facts.get("fans") or {}
    after, bands = list(fans.get("after") or ()), list(fans.get(figure) or ())
    count = len(lived)
    low, middle, high = (
        tuple(_between(after, [band[place] for band in bands], n) for n in range(1, count + 1))
        for place in (0, len(bands[0]) // 2 if bands else 0, -1)
    )
    lines = (
        ChartLine("promised 90 %", low, Tone.DIM, Stroke.DOTTED),
        ChartLine("", high, Tone.DIM, Stroke.DOTTED),
        ChartLine("", middle, Tone.DIM, Stroke.DASHED),
        ChartLine("lived", tuple(lived), Tone.GOOD),
    )
    since = str(facts.get("since", ""))
    return Chart(title, lines, unit, span=(since, f"{count} sessions"))


def _between(after: Sequence[int], values: Sequence[float], sessions: int) -> float | None:
    """The value after so many sessions, between the promised ones by the logarithm of their number, as promised."""
    for i, (left, right) in enumerate(pairwise(after)):
        if left <= sessions <= right:
            share = math.log(sessions / left) / math.log(right / left)
            return values[i] + share * (values[i + 1] - values[i])
    return None


def _span(rows: Sequence[ViewRow]) -> tuple[str, str]:
    """The first and the last session."""
    return (str(rows[0]["session"]), str(rows[-1]["session"])) if rows else ("", "")


def _numbers(rows: Iterable[ViewRow], key: str) -> tuple[float | None, ...]:
    return tuple(None if row.get(key) is None else float(row[key]) for row in rows)


def _summed(rows: Iterable[ViewRow], key: str) -> tuple[float | None, ...]:
    total, found = 0.0, []
    for row in rows:
        total += float(row[key])
        found.append(total)
    return tuple(found)
