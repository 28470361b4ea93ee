"""The steps of `appliance setup`, in order; each looks for what is done already, so that the wizard goes on where it stopped.

keys -> account -> clock -> store -> bundle -> size -> backup -> alerts -> config.yml -> positions -> pull -> arm -> doctor
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from appliance.backup.copies import listed, take
from appliance.backup.vault import vault_at
from appliance.config import ApplianceConfig, BarsFrom, ClockSource, Venue, load_config
from appliance.doctor import DeviceProbe, Finding, examine
from appliance.ledger import AccessMode, Ledger, snapshots
from appliance.ledger.choices import Choice
from appliance.runtime.commissioning import DeviceOptions, commission, rewrite, settings, trusted_by
from appliance.runtime.device import Device, opened
from appliance.schedule.job import EXIT_CODES
from appliance.setup import sizes
from appliance.setup.account import AccountAccess
from appliance.setup.answers import NONE, SetupRun, fraction, one_of, say, yes_or_no
from appliance.setup.arming import arm_after_showing, next_session
from appliance.setup.holdings import Holding, decide, open_holdings
from appliance.setup.sizes import Size
from appliance.storage.published_sources import PublishedSources
from appliance.storage.published_store import PublishedStore
from appliance.system.clock import SystemClock
from appliance.system.time_sync import unsynchronised
from execution.brokers.base import Account
from signals.bundle import Role, read_keyset
from signals.bundle.layout import find_latest
from signals.code_version import code_version
from signals.errors import FixInput, StoreUnreachable
from signals.text.wording import counted

LATER = ("backup", "clock", "size", "accept_unproven", "rehearsal_gross")
CHOICES = {"adopt": Choice.ADOPTED, "keep": Choice.KEPT, "flatten": Choice.FLATTENED}
UNPROVEN = """\
This store has no champion: what it publishes is an evaluation, a model that no promotion has passed.
  no:  the device pulls and reports, and holds no book until a champion is published.
  yes: it trades that model at a gross that you declare, not sized by evidence; every plan, report and screen says so.
An unproven model is expected to lose what trading costs. On a paper account that costs no money, and shows how it would go."""
HELD = """\
  adopt:   this device trades them to its target, step by step
  keep:    they are left out of its book for good; their value counts as no equity of its own
  flatten: the first orders that it sends close them
  abort:   nothing is decided; run `appliance setup` again later"""


@dataclass(frozen=True)
class Wizard(SetupRun):
    """The steps of one run on one state folder."""

    def run(self) -> tuple[Finding, ...]:
        """Take every step that is not done yet, and return what the doctor finds at the end.

        Raises
        ------
        PersonLeft
            The person left at a question; what was answered is kept.
        TrademlError
            A step cannot be taken; the ones before it are done.
        """
        access = AccountAccess(self.interview, self.options)
        account = access.account()
        access.secrets()
        if not self.folder.config.exists():
            self.commissioned(account)
        elif changes := self.interview.given.model_dump(include=set(LATER), exclude_none=True):
            self.changed(tuple(changes))
        with opened(self.folder.root, credentials=self.keys_in) as device:
            self.positions(device)
            self.brought(device)
            self.armed(device)
        clock = SystemClock()
        self.backed_up(clock.now())
        return examine(DeviceProbe(self.folder, self.keys_in, clock.now(), clock.now))

    # -- config.yml -----------------------------------------------------------------------------------------------------

    def commissioned(self, account: Account | None) -> None:
        """Ask for what config.yml needs and write the device."""
        ask, credentials = self.interview.answer, self.keys_in if self.keys_in.is_dir() else None
        equity = (
            account.equity if account else Decimal(ask("equity", "USD in the account of the hosted exchange", _amount, default="100000"))
        )
        clock = self.clock()
        store = ask("store", "Store of data and bundles, a folder or s3://bucket/prefix", lambda text: self._store(text, credentials))
        base = self._base(store, equity)
        published = PublishedSources(base.stores, credentials).bundles()
        root = ask(
            "trust",
            "The trainer's root.pub, or the fingerprint that `trainer pair` printed",
            lambda text: trusted_by(text, store, published),
            default=self._root_key(store),
        )
        read_keyset(published.read("keyset.json"), [root])
        say(f"It will trust the root key {root.keyid}: compare it with what `trainer keys` printed.")
        config = self._with_evidence(base, published)
        size = Size(
            ask(
                "size",
                "Positions in whole shares, or in fractions, long only?",
                one_of(*map(str, Size)),
                default=sizes.size_for(equity).value,
            )
        )
        config = sizes.fitted(config, size, equity)
        say(f"{equity:,.2f} USD: {sizes.described(config, equity)}.")
        backup = ask("backup", f"Folder on another disk for copies of the ledger ({NONE} for none)", _place, default=NONE)
        config = config.model_copy(
            update={"clock": clock, "backup": config.backup.model_copy(update={"to": "" if backup == NONE else backup})}
        )
        manifest = commission(self.folder, config, root, credentials=credentials)
        say(f"A device in {self.folder.root}, venue {config.venue.broker.value}, dataset {manifest.name} to {manifest.last}.")

    def clock(self) -> ClockSource:
        """Return whose word on the time counts; a person is asked only where this machine cannot vouch for its own."""
        kind = kind_of_machine()
        is_exchange = self.interview.kept().venue == Venue.EXCHANGE.value  # which owns the time
        if (is_exchange or not kind or not unsynchronised()) and self.interview.given.clock is None:
            return ClockSource.HOST
        word = self.interview.answer(
            "clock",
            "Whose word on the time counts, host or broker?",
            one_of(*map(str, ClockSource)),
            default=ClockSource.BROKER.value,
            consequence=f"This is {kind or 'a machine'}, whose kernel does not say that its clock is synchronised.\n"
            "  broker: the clock is compared with the broker's before every start, every job and every hour, and that alone\n"
            "  host:   nothing starts until chrony or the kernel says that it is synchronised",
        )
        return ClockSource(word)

    def _base(self, store: str, equity: Decimal) -> ApplianceConfig:
        kept = self.interview.kept()
        url, endpoint = self.interview.given.url or kept.url or "", self.interview.given.endpoint or kept.endpoint or ""
        bars = BarsFrom(self.interview.given.bars or kept.bars or BarsFrom.PUBLISHED.value)
        venue = Venue(kept.venue or Venue.ALPACA_PAPER.value)
        return settings(DeviceOptions(store, venue, float(equity), url, self.options.configs, endpoint=endpoint, bars=bars))

    def _store(self, text: str, credentials: Path | None) -> str:
        """Return the store once its dataset can be read."""
        place = self._base(text, Decimal(1)).stores
        try:
            PublishedSources(place, credentials).data().read("manifest.json")
        except StoreUnreachable as error:
            raise FixInput(error.what, where=error.where, fix="Name the folder that holds data/ and keyset.json") from None
        return text

    def _root_key(self, store: str) -> str | None:
        beside = Path(store) / "root.pub"
        return str(beside) if beside.is_file() else None

    def _with_evidence(self, config: ApplianceConfig, store: PublishedStore) -> ApplianceConfig:
        """Ask whether an unproven model may trade, where the store has nothing else."""
        sleeves = tuple(config.sleeves)
        # The former layout's one pointer names an evaluation too, where there is no champion.
        if find_latest(store.find, sleeves, (Role.CHAMPION,), former=False) is not None:
            return config
        if find_latest(store.find, sleeves, (Role.EVALUATION,)) is None:
            raise StoreUnreachable(
                "no bundle is published, so there is nothing to trade by",
                where=f"{config.stores.bundles}: {', '.join(sleeves)}",
                fix="Run `trainer train --preset small` and `trainer publish --role evaluation` on the training machine, then this again",
            )
        question = "May this unproven model trade?"
        if not self.interview.answer("accept_unproven", question, yes_or_no, default="no", consequence=UNPROVEN):
            return config
        default = str(config.portfolio.rehearsal_gross)
        gross = self.interview.answer("rehearsal_gross", "Its declared gross, a share of equity", fraction, default=default)
        return _unproven(config, gross)

    def changed(self, names: Sequence[str]) -> None:
        """Rewrite the settings that were given again, on a device that was never armed."""
        with opened(self.folder.root, credentials=self.keys_in) as device:
            if not device.latch.read().is_fresh:
                raise FixInput(
                    "a device that was armed keeps the settings that it was armed with",
                    where=", ".join(names),
                    fix="Change config.yml: every order carries the hash of what it was decided by",
                )
            config, given = load_config(self.folder.config), self.interview.given
            with device.deps() as deps:
                equity = deps.broker.account().equity
        if given.size is not None:
            if given.size == Size.SHARES.value and config.execution.planning.fractions:
                raise FixInput("settings of fractions are not turned back into others", fix="Make the device in a new state folder")
            config = sizes.fitted(config, Size(given.size), equity)
        is_unproven = config.accept_unproven if given.accept_unproven is None else given.accept_unproven
        gross = config.portfolio.rehearsal_gross if given.rehearsal_gross is None else fraction(str(given.rehearsal_gross))
        config = _unproven(config, gross).model_copy(update={"accept_unproven": is_unproven})
        if given.backup is not None:
            to = "" if given.backup == NONE else _place(given.backup)
            config = config.model_copy(update={"backup": config.backup.model_copy(update={"to": to})})
        if given.clock is not None:
            config = config.model_copy(update={"clock": ClockSource(given.clock)})
        rewrite(self.folder, config)

    # -- the device -----------------------------------------------------------------------------------------------------

    def positions(self, device: Device) -> None:
        """Have a person decide about every position that the account held before."""
        with Ledger(self.folder.ledger, AccessMode.READ) as ledger:
            if snapshots.latest(ledger) is not None:
                return
        while found := open_holdings(device):
            say(
                f"The account holds {counted(len(found), 'position')} not of this device: "
                f"{', '.join(one.symbol for one in found[:8])}\n{HELD}"
            )
            word = self.interview.given.positions or self._decision()
            if word == "abort":
                raise FixInput("the positions are as they were, and nothing was decided", fix="Run `appliance setup` again when you know")
            choice = CHOICES[word]
            day = next_session(device) if choice is Choice.FLATTENED else None
            decide(device, choice, (), session=day, yes=self.options.yes, show=_listed)

    def _decision(self) -> str:
        if not self.interview.is_asking:
            raise FixInput("nobody is here to decide about the account's positions", fix="Give --positions adopt, keep, flatten or abort")
        while True:
            try:
                return one_of(*CHOICES, "abort")(self.interview.ask("the positions", "What becomes of them?"))
            except FixInput as error:
                say(str(error))

    def brought(self, device: Device) -> None:
        """Bring data and bundle, for the session whose asof has closed last; a hosted exchange has no time before its first day."""
        if device.config.venue.is_hosted:
            return
        asof = device.calendar.last_closed(device.clock.now())
        report = device.run("pull", device.calendar.next(asof))
        say(report.summary)
        if EXIT_CODES[report.status]:
            raise StoreUnreachable(
                "data and bundle could not be brought", where=report.summary, fix="Mend that, then run `appliance setup` again"
            )

    def armed(self, device: Device) -> None:
        """Show the next plan and arm the device, if a person says so."""
        if not device.latch.read().is_fresh or self.options.arm is False:
            return
        if device.config.venue.is_hosted and self.options.session is None:
            say("Its exchange lives in this device: `appliance arm --session D` shows the plan of a session of the dataset.")
            return
        day = self.options.session or next_session(device)
        is_known = device.config.venue.is_hosted or device.calendar.session(device.calendar.previous(day)).close <= device.clock.now()
        if not is_known:
            say(f"The plan of {day} is made once the session before it has closed; the device may be armed before it is known.")
        if self.options.arm is None:
            if not self.interview.is_asking:
                return
            if self.interview.ask("arming", f"Show the plan of {day} and arm the device? (yes or no)", "yes") not in ("yes", "y"):
                return
        record, _ = arm_after_showing(device, str(day) if is_known else "", yes=self.options.yes, show=say)
        say(record.sentence())

    def backed_up(self, at: datetime) -> None:
        """Take the first backup, where there is a place and none is in it."""
        config = load_config(self.folder.config)
        if not config.backup.to:
            return
        vault = vault_at(config.backup, self.folder.root, self.keys_in)
        if not listed(vault):
            with Ledger(self.folder.ledger, AccessMode.READ) as ledger:
                take(ledger, vault, self.folder.copies, at=at, code_version=code_version("appliance"))


def _unproven(config: ApplianceConfig, gross: float) -> ApplianceConfig:
    portfolio = config.portfolio.model_copy(update={"rehearsal_gross": gross})
    return config.model_copy(update={"accept_unproven": True, "portfolio": portfolio})


def _listed(rows: Sequence[Holding], sentence: str) -> None:
    lines = [f"  {row.symbol:<8} {row.quantity:>12} at {row.price:>12} USD, {row.value:>14,.2f} USD" for row in rows]
    say("\n".join([*lines, sentence]))


def _place(text: str) -> str:
    """Return a place for backups that is there: a folder, an object store, or none."""
    if text == NONE or "://" in text:
        return text
    folder = Path(text)
    if not folder.is_dir():
        raise FixInput("no such folder", where=text, fix="Make it first, on another disk than the state folder's")
    return str(folder.resolve())


def _amount(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        raise FixInput(f"{text!r} is no number") from None
    if not found >= 1:
        raise FixInput(f"{text} USD is less than one")
    return found


CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
KERNEL = Path("/proc/sys/kernel/osrelease")


def kind_of_machine(system: str = "", marks: tuple[Path, ...] = CONTAINER_MARKS, kernel: Path = KERNEL) -> str:
    """Return `macOS`, `WSL` or `a container` where the kernel does not answer for the clock; empty on a machine that does."""
    if (system or platform.system()) == "Darwin":
        return "macOS"
    try:
        if "microsoft" in kernel.read_text(encoding="utf-8").lower():
            return "WSL"
    except OSError:
        return ""
    return "a container" if any(mark.exists() for mark in marks) else ""
