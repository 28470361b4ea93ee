"""The screen of events: who said what, what such trades would have made, and the bars before the event under the cursor as candles."""

from itertools import groupby, zip_longest

from textual.geometry import Size

from appliance.tui.captions import WIDE
from appliance.tui.columns import Tone, as_text
from appliance.tui.formatting import TonedText, tone_of_side
from appliance.tui.ledger_source import ScreenAnswer
from appliance.views.view import ViewRow
from signals.events.recorded import SIZE, candles

FACTS = {  # of a row that a narrow grid has no room for
    "stop_70": "70 % stay within", "target_60": "40 % go beyond", "entry": "best entry", "sim_conf": "likeness of analogs",
    "hist_rr_pct": "analogs made, R", "strength": "strength", "pole_katr": "pole, ATR", "third": "third by dollars",
}  # fmt: skip
GLYPHS = dict(zip(((0, 0), (1, 1), (0, 1), (1, 0), (2, 2), (0, 2), (2, 0), (1, 2), (2, 1)), " │╷╵┃╻╹╽╿", strict=True))  # 1 wick, 2 body


def head(answer: ScreenAnswer, width: int) -> TonedText:
    """Which bundle said what, and what trades of such events would have made."""
    found = answer.view("events")
    if not found.rows:
        return TonedText()
    text = TonedText(f"{len(found.rows)} events at the close of {found.facts['asof']}, {found.facts['note']}\n")
    if width < WIDE:
        parts = [(sleeve, why.startswith("bundle ")) for sleeve, _, why in (one.partition(": ") for one in found.facts["said"])]
        spoke, silent = ([sleeve for sleeve, has in parts if has is wanted] for wanted in (True, False))
        text.append(f"judged by {', '.join(spoke) or 'no bundle'}{'; not by ' + ', '.join(silent) if spoke and silent else ''}", Tone.DIM)
    else:
        text.append("\n".join(found.facts["said"]), Tone.DIM)
    return made(answer, width, text.append("\n"))


def made(answer: ScreenAnswer, width: int, text: TonedText | None = None) -> TonedText:
    """What trades of the events of each kind would have made before costs, and since when; dim where that is within two errors of 0."""
    facts, text, is_wide = answer.view("outcomes").facts, text or TonedText(), width >= WIDE
    if kinds := facts.get("kinds"):
        text.append(f"mean R before costs since {facts['since']}{':' if is_wide else ''}")
    for place, kind in enumerate(kinds or ()):
        mean, error = ("-" if kind[name] is None else f"{kind[name]:{form}}" for name, form in (("mean_r", "+.2f"), ("error", ".2f")))
        counts = f"{kind['ended']} ended, {kind['targets']} at the target, {kind['stops']} at the stop"
        said = f"{kind['kind']:<24}{mean} ± {error:<6}{counts}" if is_wide else f"{kind['kind']} {mean} ± {error}"
        is_clear = kind["error"] is not None and abs(kind["mean_r"]) > 2 * kind["error"]
        text.append("\n" if is_wide else "; " if place else ": ").append(said, Tone.PLAIN if is_clear else Tone.DIM)
    return text


def event(row: ViewRow, room: Size) -> TonedText:
    """Everything that is said of the event, and the 64 bars up to it: next to one another where there is room for both."""
    said = [(title, as_text(row[key])) for key, title in FACTS.items() if row.get(key) is not None]
    text = TonedText(f"{row['symbol']} {row['kind']} ").append(str(row["side"]), tone_of_side(row["side"]))
    drawn = _drawn(row["picture"], min(32, max(1, room.height * 2 // 5))) if row.get("picture") else []
    if room.width < WIDE:
        text.append("".join(f"; {title} {value}" for title, value in said))
        said = []
    for line, fact in zip_longest(drawn, said):
        text.append("\n")
        for glyphs, tone in line or [(" " * SIZE * bool(drawn), Tone.PLAIN)]:
            text.append(glyphs, tone)
        if fact:
            text.append(f"  {fact[0]:<20}", Tone.DIM).append(fact[1])
    return text


def _drawn(picture: str, lines: int) -> list[list[tuple[str, Tone]]]:
    """The picture's candles in so many lines of 64 characters, each two steps high, as runs of one tone."""
    found, step = candles(picture), SIZE / (2 * lines)
    drawn = []
    for line in range(lines if found else 0):
        cells = []
        for one in found:
            spans = [(half * step, (half + 1) * step) for half in (2 * line, 2 * line + 1)]
            upper, lower = ((one.high < end and one.low >= at) + (one.top < end and one.bottom >= at) for at, end in spans)
            cells.append((GLYPHS[upper, lower], Tone.GOOD if one.is_rising else Tone.BAD))
        drawn.append([("".join(glyph for glyph, _ in run), tone) for tone, run in groupby(cells, key=lambda cell: cell[1])])
    return drawn
