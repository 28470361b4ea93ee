"""The first steps of `appliance setup`: the keys, their account and whether anything else trades it, and the other secrets; and a reset."""

from dataclasses import dataclass
from pathlib import Path

from appliance.alerts.heartbeat import ADDRESS as HEARTBEAT
from appliance.backup.restore import set_aside
from appliance.config import Venue, load_config
from appliance.ledger import AccessMode, Ledger, broker_orders, intents, snapshots
from appliance.orders.order_path import another_device
from appliance.runtime.device import opened
from appliance.runtime.venue import broker_asked_once
from appliance.safety.halt import carry_out
from appliance.setup import paper_keys
from appliance.setup.answers import NONE, SetupRun, one_of, say
from appliance.setup.paper_keys import KeyPair
from appliance.system.clock import SystemClock
from appliance.system.operator import confirm_typed, who
from appliance.system.state_folder import DurableFs, StateFolder
from execution.brokers.base import Account, Broker
from execution.orders import is_of_family
from signals.alerts.alert import ADDRESSES
from signals.errors import FixInput
from signals.text.wording import counted, reason_of


@dataclass(frozen=True)
class AccountAccess(SetupRun):
    """How one run of the wizard comes to the account of its device."""

    def account(self) -> Account | None:
        """Return the paper account behind the keys, shown; None where the exchange is hosted in the device."""
        venue, url = self._venue()
        if venue is Venue.EXCHANGE and not url:
            return None
        broker = self._keys(url)
        account = paper_keys.account_behind(broker)
        say(paper_keys.described(account))
        self._require_alone(broker, account)
        return account

    def _venue(self) -> tuple[Venue, str]:
        """Return where orders go, and the address that takes Alpaca's place there, if any: of the device, once there is one."""
        if self.folder.config.exists():
            config = load_config(self.folder.config)
            return config.venue.broker, config.venue.url
        venue = Venue(self.interview.answer("venue", "Where do orders go?", one_of(*map(str, Venue)), default=Venue.ALPACA_PAPER.value))
        url = self.interview.given.url or self.interview.kept().url
        if url is None and venue is Venue.EXCHANGE:
            url = self.interview.answer("url", "Address of the exchange; empty hosts it here", str, default="")
        elif url is not None:
            self.interview.keep(url=url)
        return venue, url or ""

    def _keys(self, url: str) -> Broker:
        """Return a client with the pair that is there, else with the one given or typed, checked by one request and kept."""
        found = paper_keys.read_pair(self.keys_in)
        if found is not None and not self.options.keys:
            return _asked(url, paper_keys.judged(found.key_id, found.secret))
        while True:
            try:
                pair = self.given_pair()
                broker = _asked(url, pair)
                paper_keys.account_behind(broker)
            except FixInput as error:
                if self.options.keys or not self.interview.is_asking:
                    raise
                say(str(error))
                continue
            paper_keys.keep(self.keys_in, DurableFs(), paper_keys.files_of(pair))
            return broker

    def given_pair(self) -> KeyPair:
        """Return the pair of the file that was given, else the one that a person types; raise `FixInput` where nobody is there."""
        if self.options.keys:
            return paper_keys.pair_in(self.options.keys)
        if not self.interview.is_asking:
            raise FixInput(
                "no keys are there and nobody is here to type them", where=str(self.keys_in), fix="Give --keys FILE or --credentials"
            )
        say("The keys of the paper account: its page at Alpaca (the head says Paper), Home, API Keys. Nothing is shown as you type.")
        key_id = self.interview.ask("the keys", f"Key id ({paper_keys.PAPER}...)", hidden=True)
        return paper_keys.judged(key_id, self.interview.ask("the keys", "Secret key", hidden=True))

    def keys_again(self) -> None:
        """Take the keys of another account in place of those that are kept, where they were given or no longer count."""
        config = load_config(self.folder.config)
        url = config.venue.url
        pair = paper_keys.read_pair(self.keys_in)
        if pair is not None and not self.options.keys:
            try:
                paper_keys.account_behind(_asked(url, pair))
            except FixInput as error:
                if not self.interview.is_asking:
                    raise
                say(str(error))
            else:
                return
        pair = self.given_pair()
        say(paper_keys.described(paper_keys.account_behind(_asked(url, pair))))
        paper_keys.keep(self.keys_in, DurableFs(), paper_keys.files_of(pair))

    def _require_alone(self, broker: Broker, account: Account) -> None:
        """Raise `TripwireHalt` on orders of this program's family that this device's ledger does not know."""
        orders = [order for order in broker.orders(open_only=False) if is_of_family(order.client_order_id, account.number)]
        known: set[str] = set()
        if self.folder.ledger.exists():
            with Ledger(self.folder.ledger, AccessMode.READ) as ledger:
                known = {order.client_order_id for order in broker_orders.foreign(ledger)}
                known |= {order.client_order_id for order in orders if intents.find(ledger, order.client_order_id) is not None}
        if unknown := sorted({order.client_order_id for order in orders} - known):
            raise another_device(
                f"the account has {counted(len(unknown), 'order')} of this program that this device did not send", unknown[0]
            )

    def secrets(self) -> None:
        """Keep the addresses of alerts and of the watcher outside, where none are kept yet."""
        asked = (
            (
                ADDRESSES,
                self.options.alert_urls,
                "Addresses to be told of a halt, two that do not depend on each other, with a blank between",
            ),
            (HEARTBEAT, self.options.heartbeat_url, "Address of a dead-man's check, which tells you when this device falls silent"),
        )
        for name, given, question in asked:
            if given is not None:
                text = _text_of(given)
            elif (self.keys_in / name).is_file() or name in self.interview.kept().declined or not self.interview.is_asking:
                continue
            else:
                text = self.interview.ask(f"the credential {name}", f"{question} ({NONE} for none)", NONE)
            if text.strip() == NONE:
                self.interview.keep(declined=(*self.interview.kept().declined, name))
            else:
                paper_keys.keep(self.keys_in, DurableFs(), [(name, "\n".join(text.split()))])


def _asked(url: str, pair: KeyPair) -> Broker:
    return broker_asked_once(url, pair.key_id, pair.secret, SystemClock())


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FixInput("a file of addresses cannot be read", where=f"{path}: {reason_of(error)}", fix="Name another one") from None


HALT_NAME = "ACCOUNT_RESET"
FORMER = "former_account"


def begin_again(folder: StateFolder, credentials: Path | None, *, yes: bool) -> str:
    """Set the ledger of the former account aside and begin an empty one; return the sentence of the halt.

    Nothing of the old ledger is changed or lost; it is kept next to the new one under the time of the reset. The latch is closed
    before anything else; a person opens it, with a reason.

    Raises
    ------
    FixInput
        The broker answers with the account of the ledger, nothing was ever agreed, or the word was not typed.
    BrokerUnreachable
        The broker does not answer; nothing was done.
    """
    with opened(folder.root, credentials=credentials) as device:
        with device.deps() as deps:
            account = deps.broker.account()
            before = _former(account, snapshots.latest(deps.ledger))
        confirm_typed("RESET", f"set the ledger of ...{before.account[-4:]} aside and begin one for ...{account.number[-4:]}", yes=yes)
        at = device.clock.now()
        words = f"the paper account was reset: ...{account.number[-4:]} takes the place of ...{before.account[-4:]}"
        record = device.latch.halt(HALT_NAME, words, at)
        set_aside(folder.ledger, at)
        with Ledger(folder.ledger, AccessMode.WRITE) as ledger:
            ledger.write_meta(FORMER, f"{before.account} until {at.isoformat(timespec='seconds')}, by {who()}")
        with device.deps() as deps:
            carry_out(deps, None, record, HALT_NAME, words)
        _forget(folder, device.fs)
    return record.sentence()


def _former(account: Account, before: snapshots.AccountSnapshot | None) -> snapshots.AccountSnapshot:
    """Return the ledger's last agreement, where it is one with another account than the broker answers with now."""
    if before is None:
        raise FixInput("this ledger never agreed with an account, so there is nothing to set aside", fix="Run `appliance setup`")
    if (account.id, account.number) == (before.account_id, before.account):
        raise FixInput(
            f"the broker answers with the account that this ledger knows, ...{account.number[-4:]}",
            where="nothing was changed",
            fix="Give the keys of the new account first: `appliance keys`",
        )
    return before


def _forget(folder: StateFolder, fs: DurableFs) -> None:
    """Drop the kept answers: they were about the former account."""
    fs.remove(folder.setup)
