"""The banner at the top of every screen: overall state in one line, and a notice below it."""

from dataclasses import dataclass
from enum import StrEnum

from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from appliance.tui.formatting import duration
from appliance.tui.ledger_source import ScreenAnswer
from appliance.tui.screens import DEEPER, SCREENS
from appliance.views.overview import DaemonState, Overview, TradingMode
from signals.market.sessions import NEW_YORK
from signals.text.wording import clean, clean_lines

OLD_AFTER_SECONDS = 10.0
"""Age of a reading from which the screen says that it is old and is drawn dim."""


class Level(StrEnum):
    """How loudly a line speaks."""

    GOOD = "good"
    LOOK = "look"
    ALARM = "alarm"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class BannerState:
    """The content of the banner and the notice.

    Attributes
    ----------
    symbol, word, sentence : str
        The banner: all three say the same, so that no colour has to.
    right : str
        Session and time, at the right.
    notice : str
        A second, full-width line; empty when there is nothing to add.
    is_old : bool
        The data shown below may be outdated.
    """

    level: Level
    symbol: str
    word: str
    sentence: str
    right: str = ""
    notice: str = ""
    is_old: bool = False


READING = BannerState(Level.UNKNOWN, "…", "READING", "the ledger is being read")


def banner_state(answer: ScreenAnswer | None, age_seconds: float, note: str = "") -> BannerState:
    """Derive the banner from the last answer and its age.

    Parameters
    ----------
    answer : ScreenAnswer or None
        None before the first one.
    age_seconds : float
        Since the last answer that held no trouble of ours: the reading may be waiting for a lock.
    note : str
        A line that is shown when nothing more urgent is.
    """
    is_old = age_seconds > OLD_AFTER_SECONDS
    why = _trouble(answer) if answer is not None and answer.trouble is not None else "the ledger does not answer"
    old = f"STALE: last read {int(age_seconds)} s ago; {why}" if is_old else ""
    if answer is None:
        return BannerState(READING.level, READING.symbol, READING.word, READING.sentence, notice=old, is_old=is_old)
    time = f"{answer.now.astimezone(NEW_YORK):%H:%M} NY" if answer.now else ""
    right = f"{answer.session or ''}  {time}".strip()
    if answer.overview is None:
        trouble = answer.trouble
        word, what = (trouble.condition.value, trouble.what) if trouble else ("UNKNOWN", "nothing could be read")
        fix = f"\n{what}.\nNext: {trouble.fix}.\n" if trouble else ""
        return BannerState(Level.UNKNOWN, "?", word, "whether all is well is not known", right, fix, is_old)
    shown = answer.overview
    notice = old or _notice(answer, shown) or note
    level, symbol, sentence = _state(shown)
    return BannerState(level, symbol, shown.mode.value, sentence, right, notice, is_old or shown.is_stale)


def _state(shown: Overview) -> tuple[Level, str, str]:
    if shown.mode is TradingMode.HALTED:
        if shown.latch.is_fresh:
            return Level.LOOK, "■", "never armed: nothing is sent until you run `appliance arm`"
        return Level.ALARM, "■", f"{shown.latch.name}: {shown.latch.reason}"
    if shown.mode is TradingMode.REDUCE:
        return Level.LOOK, "▼", "only orders that lower a position are sent"
    if shown.concerns:
        count = len(shown.concerns)
        return Level.LOOK, "!", f"{count} thing{'s' if count > 1 else ''} to look at: {shown.concerns[0]}"
    return Level.GOOD, "✔", "all is well"


def _notice(answer: ScreenAnswer, shown: Overview) -> str:
    if shown.daemon is DaemonState.ABSENT:
        return "DAEMON DOWN: it was never seen here. Next: systemctl start appliance"
    if shown.daemon is DaemonState.SILENT:
        seen = shown.daemon_at
        silent = f"silent for {duration(answer.read_at - seen)}" if seen else "its health file is damaged"
        return f"DAEMON DOWN: {silent}. Next: systemctl status appliance"
    if shown.is_stale:
        return f"STALE DATA: newest scores of {shown.asof}, {shown.behind_sessions} sessions behind. Next: look at 6 Jobs"
    return _trouble(answer)


def _trouble(answer: ScreenAnswer) -> str:
    trouble = answer.trouble
    return f"{trouble.condition.value}: {trouble.what}. Next: {trouble.fix}" if trouble is not None else ""


class Banner(Static):
    """The state line; its one input is `banner_state`."""

    banner_state: reactive[BannerState] = reactive(READING)

    def watch_banner_state(self, shown: BannerState) -> None:
        """Draw the line and take the level's colours."""
        self.set_classes(f"-{shown.level.value}")
        self.refresh()

    def render(self) -> Content:
        """The line, its sentence cut so that the right part is seen; that gives way before the state does."""
        width = self.size.width - 2
        shown = self.banner_state
        state = f"{shown.symbol} {shown.word}"
        left = f"{state}  {clean(shown.sentence)}"
        room = width - len(shown.right) - 2
        if room < len(state):
            return Content(left[:width])
        if len(left) > room:
            left = left[: max(0, room - 1)] + "…"
        return Content(f"{left:<{max(room, 0)}}  {shown.right}")


class Notice(Static):
    """The second line; gone when there is nothing to say."""

    banner_state: reactive[BannerState] = reactive(READING)

    def watch_banner_state(self, shown: BannerState) -> None:
        """Show or hide the line."""
        self.display = bool(shown.notice)
        self.set_class(shown.level is Level.UNKNOWN or shown.is_old or "DOWN" in shown.notice, "-loud")
        self.update(Content(clean_lines(shown.notice)))


Parts = list[str]


class ScreenBar(Static):
    """The bar of screens; its one input is the name of the one in front."""

    current: reactive[str] = reactive("overview")

    def render(self) -> str:
        """Keys and names; the one in front in full and marked."""
        width = self.app.size.width - 2
        wide, narrow = self._drawn("  ", use_titles=True), self._drawn(" ", use_titles=False)
        return wide if Content.from_markup(wide).cell_length <= width else narrow

    def _drawn(self, gap: str, *, use_titles: bool) -> str:
        parts: Parts = []
        for screen in SCREENS:
            name = screen.title if use_titles else screen.short
            if screen.name == self.current:
                parts.append(f"[b reverse]{screen.key} {name}[/]")
            else:
                parts.append(f"[@click=app.show('{screen.name}')]{screen.key} {name}[/]")
        parts += [f"[b reverse]{screen.short}[/]" for screen in DEEPER if screen.name == self.current]
        return gap.join(parts)


class KeyBar(Static):
    """The keys that work on the screen in front, whose name is its one input."""

    current: reactive[str] = reactive("overview")

    def render(self) -> Content:
        """Keys and what they do; a click on one is the key."""
        found = [Content("")]
        for binding in self.app.BINDINGS:
            if isinstance(binding, Binding) and binding.show and self.app.check_action(binding.action.partition("(")[0], ()):
                found.append(
                    Content.from_markup(
                        f"[b $footer-key-foreground]$key[/][@click=app.simulate_key('{binding.key}')] $what[/]",
                        key=binding.key_display or binding.key,
                        what=binding.description,
                    )
                )
        return Content(" ").join(found[1:])
