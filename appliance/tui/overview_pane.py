"""The overview screen: six panels drawn from one overview value."""

from collections.abc import Callable
from itertools import zip_longest

from textual.app import ComposeResult
from textual.containers import Container
from textual.reactive import reactive
from textual.widgets import Sparkline, Static

from appliance.tui import formatting
from appliance.tui.columns import Tone
from appliance.tui.formatting import TonedText
from appliance.tui.ledger_source import ScreenAnswer
from appliance.views.overview import Overview
from appliance.views.tripwire_checks import NEAR
from appliance.views.view import ViewRow, percent
from signals.market.sessions import NEW_YORK

LABEL = 10
JOB_WIDTH = 19


def account(shown: Overview) -> TonedText:
    """Value and exposure of the account, from one agreement with the broker."""
    text, held = TonedText(), shown.account
    _line(text, "equity", "-" if held.equity is None else f"{held.equity:,.2f} USD")
    if held.day_pnl is not None and held.day_return is not None:
        mark = "▲" if held.day_pnl > 0 else "▼" if held.day_pnl < 0 else "="
        tone = Tone.GOOD if held.day_pnl > 0 else Tone.BAD if held.day_pnl < 0 else Tone.PLAIN
        _line(text, "day", f"{mark} {formatting.signed_money(held.day_pnl)} ({held.day_return:+.2%})", tone)
    of = "" if shown.real_nav_of in (None, held.session) else f", {shown.real_nav_of:%d %b}"
    _line(text, "real NAV", "-" if shown.real_nav is None else f"{shown.real_nav:,.2f} USD{of}")
    _line(text, "gross/net", f"{_share(held.gross)} / {_share(held.net)}")
    _line(text, "positions", str(held.positions if held.positions is not None else "-"))
    return text


def next_job_panel(shown: Overview, answer: ScreenAnswer) -> TonedText:
    """The next job, and the data and bundle it uses."""
    text = TonedText()
    if answer.now is None:
        _line(text, "next job", "unknown: so is the venue's time", Tone.WARN)
    elif shown.next_job is None:
        _line(text, "next job", "unknown: no calendar can be read", Tone.WARN)
    else:
        at = shown.next_job.at.astimezone(NEW_YORK)
        _line(text, "next job", f"{shown.next_job.job} for {shown.next_job.session}")
        _line(text, "", f"in {formatting.duration(shown.next_job.at - answer.now)}, {at:%a %H:%M}")
    behind = shown.behind_sessions
    late = "" if behind is None else "fresh" if behind == 0 else f"{behind} BEHIND"
    tone = Tone.BAD if behind else formatting.tone_of_word(shown.data_status)
    _line(text, "data", f"{formatting.marked(shown.data_status)} {shown.asof or ''} {late}", tone)
    _line(text, "bundle", shown.bundle or "none in force", Tone.PLAIN if shown.bundle else Tone.BAD)
    if shown.bundle:
        tone = Tone.PLAIN if shown.bundle_role == "champion" else Tone.WARN
        _line(text, "", f"{shown.bundle_role}, age {(shown.bundle_age or 'unknown').removesuffix(' sessions')}", tone)
    _line(text, "daemon", formatting.marked(shown.daemon.value), formatting.tone_of_word(shown.daemon.value))
    return text


def concerns(shown: Overview) -> TonedText:
    """Concerns for a person, worst first."""
    if not shown.concerns:
        text = TonedText("✔ nothing needs a look", Tone.GOOD)
    else:
        text = TonedText()
        for i, sentence in enumerate(shown.concerns):
            text.append(("\n" if i else "") + f"! {sentence}", Tone.WARN)
    if shown.agreed:
        text.append(f"\n· {shown.agreed}", Tone.DIM)
    return text


def jobs(shown: Overview) -> TonedText:
    """How the jobs of the newest session ended."""
    text = TonedText()
    if not shown.jobs:
        return text.append("no job has run", Tone.DIM)
    half = (len(shown.jobs) + 1) // 2
    for left, right in zip_longest(shown.jobs[:half], shown.jobs[half:]):
        text.append("\n" if text.plain else "")
        for row in (left, right):
            if row is not None:
                entry = f"{formatting.MARKS[formatting.tone_of_word(row['status'])]} {_job(row)}"
                text.append(f"{entry:<{JOB_WIDTH}}", formatting.tone_of_word(row["status"]))
    return text


def near_limits(shown: Overview) -> TonedText:
    """Checks that tripped or come near their limit, then those that use most of it."""
    loud = [row for row in shown.near if row["tripped"] != "ok" or (row["used"] or 0) >= NEAR]
    text = TonedText() if loud else TonedText("✔ no check is near its limit", Tone.GOOD)
    for row in shown.near:
        word = "TRIPPED" if row["tripped"] != "ok" else "near" if row in loud else ""
        tone = Tone.BAD if row["tripped"] != "ok" else Tone.WARN if row in loud else Tone.DIM
        text.append(("\n" if text.plain else "") + f"{row['name']:<16} {formatting.used(row['used'])} {word}".rstrip(), tone)
    return text


class OverviewPanel(Static):
    """A framed text of the overview; its one input is `answer`."""

    answer: reactive[ScreenAnswer | None] = reactive(None)

    def __init__(self, name: str, title: str, draw: Callable[[Overview, ScreenAnswer], TonedText]) -> None:
        super().__init__(id=name, classes="panel", markup=False)
        self.border_title = title
        self._draw = draw

    def watch_answer(self, answer: ScreenAnswer | None) -> None:
        """Draw what the answer says."""
        if answer is not None and answer.overview is not None:
            self.update(self._draw(answer.overview, answer).content)


class OverviewPane(Container):
    """The overview."""

    answer: reactive[ScreenAnswer | None] = reactive(None)

    def __init__(self) -> None:
        super().__init__(id="overview", classes="pane")
        self._is_composed = False

    def compose(self) -> ComposeResult:
        """Six panels."""
        yield OverviewPanel("account", "account", lambda shown, _: account(shown))
        yield OverviewPanel("coming", "next", next_job_panel)
        with Container(id="curve", classes="panel"):
            yield Sparkline([], summary_function=lambda bucket: bucket[-1])
            yield Static(id="range", markup=False)
        yield OverviewPanel("jobs", "jobs", lambda shown, _: jobs(shown))
        yield OverviewPanel("concerns", "look at", lambda shown, _: concerns(shown))
        yield OverviewPanel("near", "tripwires", lambda shown, _: near_limits(shown))

    def on_mount(self) -> None:
        """Show what was answered before there were panels."""
        self._is_composed = True
        self.watch_answer(self.answer)

    def watch_answer(self, answer: ScreenAnswer | None) -> None:
        """Hand the answer on."""
        if answer is None or answer.overview is None or not self._is_composed:
            return
        for panel in self.query(OverviewPanel):
            panel.answer = answer
        curve = answer.overview.curve
        self.query_one(Sparkline).data = list(curve)
        self.query_one(Sparkline).display = bool(curve)
        self.query_one("#curve").border_title = f"paper NAV, {len(curve)} sessions"
        entry = f"{min(curve):,.0f} to {max(curve):,.0f} USD" if curve else "no session has closed yet"
        self.query_one("#range", Static).update(entry)
        of = answer.overview.account.of
        self.query_one("#account").border_title = f"account, {of}" if of else "account"
        self.query_one("#jobs").border_title = f"jobs of {answer.overview.session}" if answer.overview.session else "jobs"


def _line(text: TonedText, label: str, value: str, tone: Tone = Tone.PLAIN) -> None:
    text.append(("\n" if text.plain else "") + f"{label:<{LABEL}}", Tone.DIM).append(value, tone)


def _job(row: ViewRow) -> str:
    name = str(row["job"]).replace("reconcile_", "recon. ")
    return name if row["status"] == "done" else f"{name} {row['status']}"


def _share(value: float | None) -> str:
    return "-" if value is None else percent(value)
