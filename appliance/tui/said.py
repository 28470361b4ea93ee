"""Text in tones, gathered piece by piece; the theme gives the colours when it is drawn."""

from __future__ import annotations

from textual.content import Content

from appliance.tui.columns import Tone
from signals.text.plain_text import clean_lines

STYLES = {Tone.GOOD: "$text-success", Tone.BAD: "bold $text-error", Tone.WARN: "$text-warning", Tone.DIM: "$foreground 65%", Tone.PLAIN: ""}


class Said:
    """A growing text."""

    def __init__(self, text: str = "", tone: Tone = Tone.PLAIN) -> None:
        self._parts: list[tuple[str, str]] = [(clean_lines(text), STYLES[tone])]

    def append(self, text: str, tone: Tone = Tone.PLAIN, *, is_bold: bool = False) -> Said:
        """Add a piece and return the whole."""
        self._parts.append((clean_lines(text), f"bold {STYLES[tone]}".strip() if is_bold else STYLES[tone]))
        return self

    @property
    def plain(self) -> str:
        """The text without tones."""
        return "".join(text for text, _ in self._parts)

    @property
    def content(self) -> Content:
        """What a widget draws."""
        return Content.assemble(*(part for part in self._parts if part[0]))
