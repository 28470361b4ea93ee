"""The answers to the questions of `appliance setup`: from a flag, from an earlier run, or by a prompt.

Every answer is kept in the state folder as soon as it is given, so that the wizard goes on where it stopped. No secret is
among them.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from getpass import getpass
from pathlib import Path
from typing import Any, TypeVar

import typer

from appliance.system.operator import PersonLeft
from appliance.system.ports import Fs
from appliance.system.state_folder import StateFolder
from signals.config import Config, parse
from signals.errors import FixInput
from signals.text import strict_json
from signals.text.wording import clean_lines, reason_of

T = TypeVar("T")
NONE = "none"


class Answers(Config):
    """Answers of the setup; None is not answered yet.

    Attributes
    ----------
    equity : float or None
        Of a hosted exchange.
    declined : tuple of str
        Credentials that a person wanted none of.
    """

    venue: str | None = None
    url: str | None = None
    store: str | None = None
    trust: str | None = None
    endpoint: str | None = None
    bars: str | None = None
    size: str | None = None
    clock: str | None = None
    backup: str | None = None
    accept_unproven: bool | None = None
    rehearsal_gross: float | None = None
    equity: float | None = None
    positions: str | None = None
    declined: tuple[str, ...] = ()


@dataclass(frozen=True)
class SetupOptions:
    """Flags of the setup besides answers.

    Attributes
    ----------
    credentials : Path or None
        Folder of key files; the state folder's own where it is not given.
    keys : str
        File with the two lines of a key pair, `-` for standard input; empty to ask.
    alert_urls, heartbeat_url : Path or None
        Files with addresses, which are secrets.
    configs : Path or None
        Folder of settings to begin with.
    session : date or None
        D, whose plan is shown before arming; the next one where it is not given.
    arm : bool or None
        None asks.
    yes : bool
        Do not ask for typed words.
    """

    credentials: Path | None = None
    keys: str = ""
    alert_urls: Path | None = None
    heartbeat_url: Path | None = None
    configs: Path | None = None
    session: date | None = None
    arm: bool | None = None
    yes: bool = False

    def keys_in(self, folder: StateFolder) -> Path:
        """Return the folder of key files."""
        return self.credentials or folder.credentials


@dataclass(frozen=True)
class Interview:
    """Asks what is not answered yet.

    Attributes
    ----------
    given : Answers
        By flags.
    """

    folder: StateFolder
    fs: Fs
    given: Answers

    @property
    def is_asking(self) -> bool:
        """Whether a person is there to be asked."""
        return sys.stdin.isatty()

    def kept(self) -> Answers:
        """Return what was answered in earlier runs."""
        content = self.fs.read(self.folder.setup)
        if content is None:
            return Answers()
        where = str(self.folder.setup)
        try:
            return parse(strict_json.loads(content), Answers, where=where)
        except ValueError as error:
            raise FixInput("the kept answers cannot be read", where=f"{where}: {reason_of(error)}", fix="Delete this file") from None

    def keep(self, **answers: Any) -> None:
        """Add answers to those that are kept."""
        self.folder.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        merged = parse(self.kept().model_dump() | answers, Answers, where=str(self.folder.setup))
        self.fs.write(self.folder.setup, merged.model_dump_json(exclude_none=True, indent=1).encode())

    def answer(self, name: str, question: str, read: Callable[[str], T], *, default: str | None = None, consequence: str = "") -> T:
        """Return the answer `name`: from its flag, from before, else asked; kept once `read` takes it.

        Parameters
        ----------
        read : callable
            Turns the text into the answer; raises `FixInput` for one that cannot be.
        default : str or None
            Offered to a person, and taken where there is none; without it the flag is required there.
        consequence : str
            Shown before the question.
        """
        for known in (getattr(self.given, name), getattr(self.kept(), name)):
            if known is not None:
                found = read(str(known))
                self.keep(**{name: known})
                return found
        if not self.is_asking:
            if default is None:
                raise FixInput(f"nobody is here to be asked: {question}", fix=f"Give --{name.replace('_', '-')}")
            found = read(default)
            self.keep(**{name: default})
            return found
        if consequence:
            say(consequence)
        while True:
            text = self.ask(name, question, default)
            try:
                found = read(text)
            except FixInput as error:
                say(str(error))
                continue
            self.keep(**{name: text})
            return found

    def ask(self, subject: str, question: str, default: str | None = None, *, hidden: bool = False) -> str:
        """Ask once; raise `PersonLeft` where the person leaves."""
        try:
            if hidden:
                return getpass(f"{question}: ").strip()  # typer's own shows the question before the echo is off
            return str(typer.prompt(question, default=default, err=True)).strip()
        except (typer.Abort, KeyboardInterrupt, EOFError):
            typer.echo(err=True)  # what is said of it begins a line of its own
            raise PersonLeft(subject) from None


def say(text: str) -> None:
    """Show lines to a person, before what is asked next."""
    typer.echo(clean_lines(text), err=True)


def one_of(*words: str) -> Callable[[str], str]:
    """Return a reader of one of these words."""

    def read(text: str) -> str:
        if text.strip().lower() not in words:
            raise FixInput(f"{text!r} is none of {', '.join(words)}")
        return text.strip().lower()

    return read


def yes_or_no(text: str) -> bool:
    """Read yes or no."""
    return {"true": True, "yes": True, "y": True}.get(text.strip().lower(), False) or _no(text)


def _no(text: str) -> bool:
    if text.strip().lower() not in ("false", "no", "n"):
        raise FixInput(f"{text!r} is neither yes nor no")
    return False


def fraction(text: str) -> float:
    """Read a share of equity in (0, 1]."""
    try:
        found = float(text)
    except ValueError:
        raise FixInput(f"{text!r} is no number") from None
    if not 0 < found <= 1:
        raise FixInput(f"{text} is not a share of equity between 0 and 1")
    return found


@dataclass(frozen=True)
class SetupRun:
    """One run of the wizard on one state folder: who answers, and what was given by flags."""

    interview: Interview
    options: SetupOptions

    @property
    def folder(self) -> StateFolder:
        """The state folder."""
        return self.interview.folder

    @property
    def keys_in(self) -> Path:
        """The folder of key files."""
        return self.options.keys_in(self.folder)
