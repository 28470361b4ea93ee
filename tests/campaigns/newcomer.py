"""A stranger's first hour, typed: from a fresh clone to an armed device with a plan for 100,000 USD, and no file edited.

`paper-exchange` takes Alpaca's place: its protocol, keys, 200 requests a minute, ten years of generated bars to yesterday's
close, a clock that is the wall's. Everything else is what a stranger has: git, make, python3 and a terminal. On the way the
network is lost, a download breaks, keys are wrong, and Ctrl-C comes at each question. Another account was used before, and
another device trades it.

Run it with `make newcomer`: it writes `docs/newcomer.md`, every screen of it.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import yaml
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import AssetStatus, OrderSide, TimeInForce
from alpaca.trading.requests import GetAssetsRequest, LimitOrderRequest, MarketOrderRequest

from appliance.setup.wizard import kind_of_machine
from appliance.system.time_sync import unsynchronised
from execution.orders import BOOK, IntentKey
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import xnys
from tests.fakes import steering
from tests.fakes.terminal import CTRL_C, Person
from trainer.curation.config import CurationConfig
from trainer.curation.generated.market import generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "newcomer.md"
SEED, NAMES, SESSIONS = 7, 110, 2520
KEY, SECRET, LIVE = "PKTESTTESTTESTTEST01", "canary" + "S3cretS3cretS3cretS3cretS3cretS3cr", "AKTESTTESTTESTTEST01"
COLUMNS = 150
# Characters and words a minute of somebody who is new here, and seconds over a question. Measured averages are higher: 52 words of five
# characters typed (Dhakal et al. 2018, 168,000 people), 238 words read (Brysbaert 2019, 190 studies).
TYPED, READ, THOUGHT = 200, 200, 10
MOST_MINUTES = 30  # of a person
BARS = "/v2/stocks/bars"
ENTER = "\n"
THIS_PROCESS_S = ("TRADEML_", "PYTHON", "VIRTUAL_ENV", "MAKE", "MFLAGS")  # of the environment: a stranger has none of them
ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")
NOT_SAID = re.compile(r"^(\x1b\[[0-9;]*m)*WARNING: Location .*\n", re.M)  # pip's remarks on where it looked
SETUP = "tests/flow/test_setup.py"
WRONG = (
    ("keys of a live account, a wrong pair, two that were exchanged", f"`{SETUP}`: *keys that are none are refused*"),
    ("an account with positions", f"`{SETUP}`: *positions of others are asked about*"),
    ("an account that another device trades", f"`{SETUP}`: *a second device is known by orders*"),
    ("an account that was reset", f"`{SETUP}`: *after a reset of the account*"),
    ("a network that is lost in setup", f"`{SETUP}`: *a lost network changes nothing*"),
    ("Ctrl-C at each question", f"`{SETUP}`: *ctrl c at each question*, by `make setup-terminal`"),
    ("a download that breaks, lies or is ended", "`tests/test_trainer/test_download.py`: *whatever interrupts it*"),
)


# Alpaca's place


@dataclass
class StandIn:
    """The exchange in Alpaca's place, as a process that can go away and come back at the same address."""

    data: Path
    state: Path
    port: int = 0
    url: str = ""
    process: subprocess.Popen[str] | None = None

    def begin(self, *clock: str) -> None:
        """Serve, by the wall's clock unless another is given."""
        settings = self.state.with_suffix(".yml")
        settings.write_text(yaml.safe_dump({"cash": "100000", "requests_a_minute": 200, "key_id": KEY, "secret_key": SECRET}))
        command = [sys.executable, "-m", "execution.exchange", "serve", "--data", str(self.data), "--config", str(settings)]
        command += ["--port", str(self.port), "--state", str(self.state), *(clock or ("--clock", "wall"))]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout is not None
        self.url = steering.told(self.process.stdout.readline())
        self.port = int(self.url.rpartition(":")[2])

    def end(self) -> None:
        """Go away."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()
            self.process = None

    @contextmanager
    def away(self) -> Iterator[None]:
        """Be away for the length of the block."""
        self.end()
        yield
        self.begin()

    @contextmanager
    def spoilt(self, **fault: object) -> Iterator[None]:
        """Have a fault strike for the length of the block; it did."""
        steering.ask(self.url, "POST", "faults", {"faults": [fault]})
        yield
        assert steering.ask(self.url, "GET", "faults")["strikes"], "the fault did not happen"
        steering.ask(self.url, "DELETE", "faults")

    def client(self) -> TradingClient:
        """Alpaca's own client on it."""
        return TradingClient(KEY, SECRET, url_override=self.url)


def market(root: Path) -> Manifest:
    """What the vendor has: ten years up to the newest session that is final."""
    now = datetime.now(UTC)
    last = xnys(now.date() - timedelta(days=20), now.date() + timedelta(days=20)).last_closed(now - timedelta(minutes=20))
    bars, actions = generate(SEED, NAMES, SESSIONS, last, with_defects=False).write(root / "vendor")[:2]
    terms = DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig(), name="market")
    return ingest(DeliveryFiles(bars, actions), root / "data", terms)


# A terminal


def screen(text: str) -> list[str]:
    """What a terminal of `COLUMNS` shows in the end of what was written to it; it is as long as it has to be."""
    rows: list[list[str]] = [[]]
    row = column = at = 0
    while at < len(text):
        if found := ESCAPE.match(text, at):
            at = found.end()
            if found[2] == "K":
                rows[row] = []
            elif found[2] == "A":
                row = max(0, row - int(found[1] or 1))
            continue
        sign, at = text[at], at + 1
        if sign == "\r":
            column = 0
        elif sign == "\n":
            row, column = row + 1, 0
        elif sign.isprintable():
            if column == COLUMNS:
                row, column = row + 1, 0
            while len(rows) <= row:
                rows.append([])
            rows[row] += [" "] * (column - len(rows[row]))
            rows[row][column : column + 1] = [sign]
            column += 1
        while len(rows) <= row:
            rows.append([])
    lines = ["".join(one).rstrip() for one in rows]
    while lines and not lines[-1]:
        lines.pop()
    return lines


@dataclass
class Newcomer:
    """Somebody at a terminal who writes down what it shows.

    Attributes
    ----------
    home : Path
        Where the clone and the desk are made.
    waited, spent : float
        Seconds of the commands, and what a person spends on typing, questions and reading, by the rates above; detours left out.
    """

    home: Path
    folder: Path
    page: list[str] = field(default_factory=list)
    waited: float = 0.0
    spent: float = 0.0
    commands: int = 0
    answers: int = 0
    detours: int = 0
    is_lost: bool = False

    @contextmanager
    def detour(self) -> Iterator[None]:
        """Do what nobody has to do for the length of the block."""
        self.is_lost = True
        yield
        self.is_lost = False

    def writes(self, *lines: str) -> None:
        """Write prose."""
        self.page += [*lines, ""]

    def runs(self, line: str, *talk: tuple[str, str], code: int = 0, seconds: float = 1800, shown: str = "") -> str:
        """Type a command, answer what it asks, write down its screen, and return it."""
        began, words = time.monotonic(), shlex.split(line)
        path = f"{self.home / 'trademl' / '.venv' / 'bin'}:{os.environ['PATH']}"
        own = {name: value for name, value in os.environ.items() if not name.startswith(THIS_PROCESS_S)}
        program = shutil.which(words[0], path=path)
        assert program is not None, f"{words[0]} is not installed"
        environment = own | {"PATH": path, "TERM": "xterm", "NO_COLOR": "1"}
        person = Person(self.folder, *words[1:], program=[program], environment=environment, columns=COLUMNS)
        for question, answer in talk:
            person.sees(question, seconds)
            person.waits(0.1)
            person.types(answer)
        ended = person.ends(seconds)
        took = time.monotonic() - began
        said = NOT_SAID.sub("", person.shown.replace("\r\n", "\n")).replace(str(self.home), "/home/you")
        command = textwrap.wrap(f"$ {shown or line}", 140, subsequent_indent="      ", break_on_hyphens=False)
        lines = [*(f"{one} \\" for one in command[:-1]), command[-1], *screen(said.replace("\n", "\r\n"))]
        assert ended == code, "\n".join([*lines, f"ended with {ended}"])
        assert SECRET not in person.shown and "Traceback" not in person.shown, person.shown
        took_words = f"    ({took:.0f} s{f', exit code {ended}' if ended else ''})"
        self.page += [*(f"    {one}".rstrip() for one in lines), took_words, ""]
        typed, words_read = len(line) + sum(map(len, (answer for _, answer in talk))), len(" ".join(lines).split())
        self.detours += self.is_lost
        if not self.is_lost:
            self.commands, self.answers, self.waited = self.commands + 1, self.answers + len(talk), self.waited + took
            self.spent += 60 * (typed / TYPED + words_read / READ) + THOUGHT * len(talk)
        print(f"{took:6.1f} s  {shown or line}  -> {ended}", flush=True)
        return " ".join(said.split())

    def leaves_at_each(self, line: str, questions: Sequence[tuple[str, str, bool]]) -> None:
        """Type Ctrl-C at each question of a command in turn, and go on with it; the third of a question is whether its answer is kept."""
        for number, (question, _, _) in enumerate(questions):
            before = [(q, a) for place, (q, a, is_kept) in enumerate(questions[:number]) if place == number - 1 or not is_kept]
            said = self.runs(line, *before, (question, CTRL_C), code=5)
            assert "you left at" in said and "no order was sent" in said and "again" in said, said


# The hour


def installs(you: Newcomer, repository: Path) -> None:
    """Clone and install."""
    you.writes("## A clone, and its programs")
    you.runs(f"git clone {repository} trademl", shown="git clone REPOSITORY trademl")
    you.folder = you.home / "trademl"
    you.runs("make install")
    you.writes("`make` is run in the clone (`cd trademl`); `source .venv/bin/activate` there puts the programs on the path.")
    you.folder = you.home


def gives_keys(you: Newcomer, url: str) -> None:
    """Keys: a live one, a wrong pair, Ctrl-C, the right pair."""
    you.writes(
        "## The keys of the paper account",
        "",
        "A folder for everything (`cd desk` then), and the keys, typed hidden. First the pair of a live account, sent nowhere; then a",
        "wrong one; then Ctrl-C at each question; then the right one.",
    )
    you.runs("trainer init --at desk")
    you.folder = you.home / "desk"
    line = f"appliance keys --url {url}"
    asked = ("Key id (PK...)", "Secret key")
    for key, secret, code, words in (
        (LIVE, SECRET, 2, "key of a live account"),
        (KEY, SECRET[::-1], 2, "401"),
        (CTRL_C, "", 5, "you left at the keys"),
        (KEY, CTRL_C, 5, "you left at the keys"),
        (KEY, SECRET, 0, "PAPER account ..."),
    ):
        answers = (key if key == CTRL_C else f"{key}\n", secret if secret == CTRL_C else f"{secret}\n")
        with you.detour() if code else nullcontext():
            said = you.runs(line, *zip(asked, answers[: 1 if key == CTRL_C else 2], strict=False), code=code)
        assert words in said, said


def downloads(you: Newcomer, alpaca: StandIn) -> None:
    """Ten years: without a network, broken in the middle, ended by Ctrl-C, and whole."""
    line = f"trainer download --credentials var/appliance/credentials --url {alpaca.url}"
    words = "The network is lost; it comes back, and answers break off; Ctrl-C; then it ends well."
    you.writes("## Ten years of bars and a universe", "", words)
    with you.detour(), alpaca.away():
        assert "what had come is kept" in you.runs(line, code=5)
    with you.detour(), alpaca.spoilt(kind="cut_body", path=BARS, skip=6, times=4):
        assert "what had come is kept" in you.runs(line, code=5)
    with you.detour(), alpaca.spoilt(kind="delay", path=BARS, times=100, seconds=0.5):
        assert "the same command goes on" in you.runs(line, ("daily bars", CTRL_C), code=5)
    you.runs(line)
    you.runs("trainer ingest --bars download")


def trains(you: Newcomer) -> str:
    """A starter, its keys, the store, and the fingerprint."""
    you.writes("## A model to begin with")
    said = you.runs("trainer train --preset small")
    assert "not distinguishable from no skill" in said or "Its evidence supports" in said
    you.writes("Nothing in it is promised. It is signed and published as what it is, an evaluation.")
    you.runs("trainer keys")
    you.runs("trainer publish-data")
    publish = 'trainer publish --role evaluation --accept "a starter, unproven"'
    with you.detour():
        assert "you left at the question; nothing was changed" in you.runs(publish, ("Which run?", CTRL_C), code=5)
    you.runs(publish, ("Which run?", "1\n"))
    return re.search(r"appliance trust (\S+)", you.runs("trainer pair"))[1]  # type: ignore[index]


def sets_up(you: Newcomer, alpaca: StandIn, fingerprint: str) -> None:
    """The device: Ctrl-C at each question, then every answer, the plan, and the typed word."""
    you.writes("## The device")
    you.runs(f"appliance trust {fingerprint} --store store")
    asks_clock = bool(kind_of_machine() and unsynchronised())
    questions: list[tuple[str, str, bool]] = [
        ("Where do orders go?", ENTER, True),
        ("Addresses to be told of a halt", ENTER, True),
        ("Address of a dead-man's check", ENTER, True),
        *([("Whose word on the time counts", ENTER, True)] if asks_clock else []),
        ("May this unproven model trade?", "yes\n", True),
        ("Its declared gross", ENTER, True),
        ("Positions in whole shares", ENTER, True),
        ("Folder on another disk", ENTER, True),
        ("and arm the device?", ENTER, False),
        ("Type ARM", "ARM\n", False),
    ]
    line = f"appliance setup --url {alpaca.url}"
    you.writes(f"First Ctrl-C at each of its {len(questions)} questions in turn. What was answered is kept: the next run goes on there.")
    with you.detour():
        you.leaves_at_each(line, questions)
    you.writes("A network that is lost here loses nothing either:")
    with you.detour(), alpaca.away():
        said = you.runs(line, code=5)
        assert "does not answer" in said and "no order was sent" in said, said
    you.writes("In one go it looks like this, on another folder (Enter, but `yes` to the unproven model; Ctrl-C at the typed word):")
    elsewhere = f"{line} --state again --credentials var/appliance/credentials --store store --trust store/root.pub"
    you.runs(elsewhere, *((question, answer) for question, answer, _ in questions[:-1]), ("Type ARM", CTRL_C), code=5)
    shutil.rmtree(you.folder / "again")
    you.writes("The first device goes on at the last question:")
    said = you.runs(line, ("and arm the device?", ENTER), ("Type ARM", "ARM\n"), code=1)
    assert "ARMED since" in said and "not sized by evidence" in said and "The device works" in said
    assert int(re.search(r"The plan of \S+: (\d+) orders", said)[1]) > 0  # type: ignore[index]
    status = you.runs("appliance status", code=3)  # no daemon runs
    assert "ARMED" in status and "orders for" in status


def comes_second(you: Newcomer, other: StandIn, manifest: Manifest) -> None:
    """Another account: positions of somebody else's, then orders of another device."""
    calendar = manifest.calendar
    evening = calendar.session(calendar.previous(manifest.last)).close + timedelta(hours=1)
    other.begin("--clock", "virtual", "--at", evening.isoformat())
    name = min(one.symbol for one in other.client().get_all_assets(GetAssetsRequest(status=AssetStatus.ACTIVE)))  # type: ignore[union-attr]
    other.client().submit_order(MarketOrderRequest(symbol=name, qty=20, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    steering.advance(other.url, calendar.session(manifest.last).close + timedelta(minutes=30))
    other.end()
    other.begin()
    answered = "--venue alpaca-paper --store store --trust store/root.pub --accept-unproven --rehearsal-gross 0.25"
    answered += " --size shares --backup none --clock broker"
    line = f"appliance setup --state second --url {other.url} {answered}"
    keys = (("Key id (PK...)", f"{KEY}\n"), ("Secret key", f"{SECRET}\n"))
    declined = (("Addresses to be told", ENTER), ("dead-man's check", ENTER))
    you.writes("## An account that was used before", "", "Somebody bought shares there by hand. `abort` decides nothing:")
    said = you.runs(line, *keys, *declined, ("What becomes of them?", "abort\n"), code=2)
    assert "nothing was decided" in said
    answers = (("What becomes of them?", "keep\n"), ("Type KEEP", "KEEP\n"), ("and arm the device?", "no\n"))
    you.runs("appliance setup --state second", *answers, code=1)
    number = other.client().get_account().account_number
    cid = IntentKey(number, date(2026, 1, 2), BOOK, name).client_order_id
    order = LimitOrderRequest(symbol=name, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1, client_order_id=cid)
    other.client().cancel_order_by_id(other.client().submit_order(order).id)
    words = "It has sent an order of this program that no ledger here knows. One account, one device:"
    you.writes("## An account that another device trades", "", words)
    assert "another device trades this account" in you.runs(line.replace("second", "third"), *keys, code=4)


def page(you: Newcomer, took: float) -> str:
    """The document."""
    tests = [f"| {what} | {test} |" for what, test in WRONG]
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = spent.ru_utime + spent.ru_stime
    head = (
        f"Written by `make newcomer` on {datetime.now(UTC):%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} cores with a load "
        f"of {os.getloadavg()[2]:.0f}: a script types at a "
        "pseudo-terminal what a stranger types, from a fresh clone to an armed device with a plan for 100,000 USD. No file is edited. "
        "`paper-exchange` takes Alpaca's place (its protocol, keys, 200 requests a minute, ten years of invented bars), so `--url` is "
        "given in three commands; with Alpaca itself nobody gives it. Names, prices and the account are invented.",
        f"* **{you.spent / 60:.0f} minutes of a person, by reckoning; nobody was timed**: {you.commands} commands and {you.answers} "
        f"answers, typed at {TYPED} characters a minute, {THOUGHT} seconds over each question, every word of their screens read at {READ} "
        "words a minute. Both rates are below the averages that were measured of people: 260 characters (Dhakal et al. 2018) and 238 "
        f"words (Brysbaert 2019). The campaign fails over {MOST_MINUTES} minutes.",
        f"* **{you.waited / 60:.0f} minutes of waiting**, most of them for `make install`, the download and `trainer train`. With "
        "Alpaca the download waits longer: [its first line says how long](download.md).",
        f"* {you.detours} commands more are detours that nobody has to take: wrong keys, lost networks, Ctrl-C, an account that somebody "
        f"else uses. With them it took {took / 60:.0f} minutes, {cpu / 60:.0f} minutes of a processor.",
        "What a question means: [quickstart](quickstart.md). What is typed hidden is not shown. Below each command stand its seconds.",
    )
    prose = [line for text in head for line in [*textwrap.wrap(text, 150, subsequent_indent="  " * text.startswith("*")), ""]]
    tail = ["## What may go wrong, and the test that holds it", "", "| what | test |", "|---|---|", *tests, ""]
    return "\n".join(["# The first hour, recorded", "", *prose, *you.page, *tail])


def campaign(home: Path, repository: Path) -> str:
    """Live through the hour and return the page."""
    manifest = market(home / "alpaca")
    alpaca, other = (StandIn(home / "alpaca" / "data", home / "alpaca" / name) for name in ("account", "other"))
    you = Newcomer(home, home)
    try:
        alpaca.begin()
        began = time.monotonic()
        installs(you, repository)
        gives_keys(you, alpaca.url)
        downloads(you, alpaca)
        sets_up(you, alpaca, trains(you))
        with you.detour():
            comes_second(you, other, manifest)
        assert you.spent < 60 * MOST_MINUTES, you.spent
        return page(you, time.monotonic() - began)
    finally:
        alpaca.end()
        other.end()


def main() -> None:
    """Run the campaign and write the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--repository", type=Path, default=ROOT, help="What is cloned.")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen.page.write_text(campaign(Path(folder), chosen.repository.resolve()), encoding="utf-8")
        print(f"{chosen.page} is written", flush=True)


if __name__ == "__main__":
    main()
