"""Formats values for the screens: status marks, grouped digits, bars, durations and toned text."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation

from textual.content import Content

from appliance.tui.columns import Tone, as_text
from appliance.views.view import Cell
from signals.text.wording import clean_lines

GOOD_WORDS = frozenset({"done", "filled", "ok", "GREEN", "alive", "ARMED", "info", "INSIDE", "within", "working", "acked"})
BAD_WORDS = frozenset(
    {"failed", "halted", "TRIPPED", "RED", "HALTED", "refused", "venue_rejected", "unknown", "page", "silent", "lapsed", "DRIFTED"}
)
WARN_WORDS = frozenset(
    {
        "skipped",
        "AMBER",
        "warn",
        "REDUCE",
        "expired",
        "canceled",
        "denied",
        "partial",
        "not ended",
        "absent",
        "BELOW",
        "ABOVE",
        "evaluation",
    }
)
MARKS = {Tone.GOOD: "✔", Tone.BAD: "✘", Tone.WARN: "!", Tone.DIM: "·", Tone.PLAIN: "·"}
STYLES = {Tone.GOOD: "$text-success", Tone.BAD: "bold $text-error", Tone.WARN: "$text-warning", Tone.DIM: "$foreground 65%", Tone.PLAIN: ""}
BAR_WIDTH = 10
EIGHTHS = "▏▎▍▌▋▊▉█"


def tone_of_word(value: Cell) -> Tone:
    """The tone of a status word."""
    text = str(value)
    if text in GOOD_WORDS:
        return Tone.GOOD
    if text in BAD_WORDS:
        return Tone.BAD
    return Tone.WARN if text in WARN_WORDS else Tone.PLAIN


def tone_of_sign(value: Cell) -> Tone:
    """Good above zero, bad below, dim at zero or where nothing is known."""
    text = str(value or "")
    if text.startswith("+") and text.strip("+0.%,"):
        return Tone.GOOD
    return Tone.BAD if text.startswith("-") and text.strip("-0.%,") else Tone.DIM


def tone_of_side(value: Cell) -> Tone:
    """Long and buy in one tone, short and sell in another; the word is always there."""
    return {"LONG": Tone.GOOD, "buy": Tone.GOOD, "SHORT": Tone.WARN, "sell": Tone.WARN}.get(str(value), Tone.DIM)


def dim(_value: Cell) -> Tone:
    """Always dim."""
    return Tone.DIM


def marked(value: Cell) -> str:
    """A status word with its mark: the word is enough, the mark is for the eye."""
    return f"{MARKS[tone_of_word(value)]} {as_text(value)}"


def money(value: Cell | Decimal) -> str:
    """USD with grouped digits, exactly as recorded."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return as_text(value if not isinstance(value, Decimal) else None)
    sign = "+" if str(value).startswith("+") and number > 0 else ""
    return f"{sign}{number:,}"


def gain(value: Cell) -> str:
    """USD with a sign and grouped digits, from a number that may have none."""
    try:
        return signed_money(Decimal(str(value)))
    except InvalidOperation:
        return as_text(value)


def tone_of_gain(value: Cell) -> Tone:
    """Good above zero, bad below, dim at zero or where nothing is known."""
    return tone_of_sign(gain(value))


def signed_money(value: Decimal) -> str:
    """USD with a sign and grouped digits."""
    return f"{value:+,.2f}"


def figure(value: Cell) -> str:
    """A measured number with four significant digits."""
    try:
        return f"{float(str(value)):.4g}"
    except ValueError:
        return as_text(value)


def share(value: Cell) -> str:
    """A share in per cent."""
    return f"{value:.1%}" if isinstance(value, float) else as_text(value)


def yes_or_no(value: Cell) -> str:
    """A claim as a word."""
    return as_text(value) if value is None else "yes" if value else "no"


def first_unit(value: Cell) -> str:
    """A distance in the first of its units."""
    return as_text(value).partition(",")[0]


def z(value: Cell) -> str:
    """A number of standard deviations, with its sign."""
    return f"{value:+.3f}" if isinstance(value, float) else as_text(value)


def bar(share: float | None, width: int = BAR_WIDTH) -> str:
    """A bar for a share of a limit, full at 1 and above."""
    if share is None:
        return " " * width
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest - 1] if rest else "")).ljust(width)


def used(value: Cell) -> str:
    """The share of a limit that is used, as a bar and in per cent."""
    if not isinstance(value, (int, float)):
        return f"{'':{BAR_WIDTH}} {'-':>4}"
    return f"{bar(float(value))} {value:>4.0%}"


def tone_of_used(value: Cell) -> Tone:
    """Warn from four fifths of a limit, bad past it."""
    if not isinstance(value, (int, float)):
        return Tone.DIM
    return Tone.BAD if value > 1 else Tone.WARN if value >= 0.8 else Tone.PLAIN


def clock_time(value: Cell) -> str:
    """An ISO instant as HH:MM:SS UTC."""
    try:
        return f"{datetime.fromisoformat(str(value)):%H:%M:%S}"
    except ValueError:
        return as_text(value)


def day_and_time(value: Cell) -> str:
    """An ISO instant as MM-DD HH:MM:SS UTC."""
    try:
        return f"{datetime.fromisoformat(str(value)):%m-%d %H:%M:%S}"
    except ValueError:
        return as_text(value)


def short_hash(value: Cell) -> str:
    """The first 12 characters of a hash."""
    return as_text(value)[:12]


def duration(span: timedelta) -> str:
    """A time to come or gone, in the two largest units."""
    seconds = int(abs(span).total_seconds())
    days, seconds = divmod(seconds, 86_400)
    hours, seconds = divmod(seconds, 3_600)
    minutes, seconds = divmod(seconds, 60)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"


class TonedText:
    """A growing text."""

    def __init__(self, text: str = "", tone: Tone = Tone.PLAIN) -> None:
        self._parts: list[tuple[str, str]] = [(clean_lines(text), STYLES[tone])]

    def append(self, text: str, tone: Tone = Tone.PLAIN, *, is_bold: bool = False) -> TonedText:
        """Add a piece and return the whole."""
        self._parts.append((clean_lines(text), f"bold {STYLES[tone]}".strip() if is_bold else STYLES[tone]))
        return self

    @property
    def plain(self) -> str:
        """The text without tones."""
        return "".join(text for text, _ in self._parts)

    @property
    def content(self) -> Content:
        """The content for a widget."""
        return Content.assemble(*(part for part in self._parts if part[0]))
