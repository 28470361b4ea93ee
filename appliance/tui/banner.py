"""The top of every screen: one line that says whether all is well, and one that says what is not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from appliance.tui.formatting import in_words
from appliance.tui.ledger_source import Answer
from appliance.views.overview import DaemonState, Mode, Overview
from signals.market.sessions import NEW_YORK
from signals.text.plain_text import clean, clean_lines

OLD_AFTER_SECONDS = 10.0
"""Age of a reading from which the screen says that it is old and is drawn dim."""


class Level(StrEnum):
    """How loudly a line speaks."""

    GOOD = "good"
    LOOK = "look"
    ALARM = "alarm"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Standing:
    """What the top of the screen says.

    Attributes
    ----------
    level : Level
    symbol, word, sentence : str
        The banner: all three say the same, so that no colour has to.
    right : str
        Session and time, at the right.
    notice : str
        A second, full-width line; empty when there is nothing to add.
    is_old : bool
        What is shown below may no longer be so.
    """

    level: Level
    symbol: str
    word: str
    sentence: str
    right: str = ""
    notice: str = ""
    is_old: bool = False


READING = Standing(Level.UNKNOWN, "…", "READING", "the ledger is being read")


def standing(answer: Answer | None, age_seconds: float, note: str = "") -> Standing:
    """Say how things stand, from the last answer and its age.

    Parameters
    ----------
    answer : Answer or None
        None before the first one.
    age_seconds : float
        Since the last answer that held no trouble of ours: the reading may be waiting for a lock.
    note : str
        A line that stands when nothing more urgent does.
    """
    is_old = age_seconds > OLD_AFTER_SECONDS
    why = _told(answer) if answer is not None and answer.trouble is not None else "the ledger does not answer"
    old = f"STALE: last read {int(age_seconds)} s ago; {why}" if is_old else ""
    if answer is None:
        return Standing(READING.level, READING.symbol, READING.word, READING.sentence, notice=old, is_old=is_old)
    time = f"{answer.now.astimezone(NEW_YORK):%H:%M} NY" if answer.now else ""
    right = f"{answer.session or ''}  {time}".strip()
    if answer.overview is None:
        trouble = answer.trouble
        word, what = (trouble.condition.value, trouble.what) if trouble else ("UNKNOWN", "nothing could be read")
        fix = f"\n{what}.\nNext: {trouble.fix}.\n" if trouble else ""
        return Standing(Level.UNKNOWN, "?", word, "whether all is well is not known", right, fix, is_old)
    shown = answer.overview
    notice = old or _notice(answer, shown) or note
    level, symbol, sentence = _state(shown)
    return Standing(level, symbol, shown.mode.value, sentence, right, notice, is_old or shown.is_stale)


def _state(shown: Overview) -> tuple[Level, str, str]:
    if shown.mode is Mode.HALTED:
        if shown.latch.is_fresh:
            return Level.LOOK, "■", "never armed: nothing is sent until you run `appliance arm`"
        return Level.ALARM, "■", f"{shown.latch.name}: {shown.latch.reason}"
    if shown.mode is Mode.REDUCE:
        return Level.LOOK, "▼", "only orders that lower a position are sent"
    if shown.concerns:
        count = len(shown.concerns)
        return Level.LOOK, "!", f"{count} thing{'s' if count > 1 else ''} to look at: {shown.concerns[0]}"
    return Level.GOOD, "✔", "all is well"


def _notice(answer: Answer, shown: Overview) -> str:
    if shown.daemon is DaemonState.ABSENT:
        return "DAEMON DOWN: it was never seen here. Next: systemctl start appliance"
    if shown.daemon is DaemonState.SILENT:
        seen = shown.daemon_at
        silent = f"silent for {in_words(answer.read_at - seen)}" if seen else "its health file is damaged"
        return f"DAEMON DOWN: {silent}. Next: systemctl status appliance"
    if shown.is_stale:
        return f"STALE DATA: newest scores of {shown.asof}, {shown.behind_sessions} sessions behind. Next: look at 6 Jobs"
    return _told(answer)


def _told(answer: Answer) -> str:
    trouble = answer.trouble
    return f"{trouble.condition.value}: {trouble.what}. Next: {trouble.fix}" if trouble is not None else ""


class Banner(Static):
    """The state line; its one input is `standing`."""

    standing: reactive[Standing] = reactive(READING)

    def watch_standing(self, said: Standing) -> None:
        """Draw the line and take the level's colours."""
        self.set_classes(f"-{said.level.value}")
        self.refresh()

    def render(self) -> Content:
        """The line, its sentence cut so that the right part is seen; that gives way before the state does."""
        width = self.size.width - 2
        said = self.standing
        state = f"{said.symbol} {said.word}"
        left = f"{state}  {clean(said.sentence)}"
        room = width - len(said.right) - 2
        if room < len(state):
            return Content(left[:width])
        if len(left) > room:
            left = left[: max(0, room - 1)] + "…"
        return Content(f"{left:<{max(room, 0)}}  {said.right}")


class Notice(Static):
    """The second line; gone when there is nothing to say."""

    standing: reactive[Standing] = reactive(READING)

    def watch_standing(self, said: Standing) -> None:
        """Show or hide the line."""
        self.display = bool(said.notice)
        self.set_class(said.level is Level.UNKNOWN or said.is_old or "DOWN" in said.notice, "-loud")
        self.update(Content(clean_lines(said.notice)))
