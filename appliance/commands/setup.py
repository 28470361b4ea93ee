"""From an empty folder, or a paper account's keys, to a device that may send orders: `setup`, `keys`, `trust`, `init`, `arm`."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.bundles.store import BundleStore
from appliance.config import BarsFrom, ClockSource, Venue
from appliance.controls.latch import Latch
from appliance.doctor import FindingState, worst
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State, to_session
from appliance.runtime.commissioning import DeviceOptions, commission, settings, trusted, trusted_by
from appliance.runtime.device import opened
from appliance.runtime.venue import broker_asked_once
from appliance.setup import paper_keys
from appliance.setup.account import AccountAccess, begin_again
from appliance.setup.answers import Answers, Interview, SetupOptions, say
from appliance.setup.arming import arm_after_showing
from appliance.setup.sizes import Size
from appliance.setup.wizard import Wizard
from appliance.storage.published_sources import PublishedSources
from appliance.system.clock import SystemClock
from appliance.system.operator import PersonLeft
from appliance.system.state_folder import DurableFs, StateFolder
from signals.errors import FixInput, TrademlError, TryAgain
from signals.text.console import emit
from signals.text.wording import clean_lines

KeysFile = Annotated[
    str, typer.Option("--keys", metavar="FILE", help="Two lines, key id and secret key; `-` reads standard input.", show_default=False)
]
Url = Annotated[str, typer.Option("--url", help="Of an exchange on this machine in Alpaca's place.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Put the commands of this file on `app`."""
    for function in (setup, keys, trust, init, arm):
        app.command()(function)


def init(
    venue: Annotated[Venue, typer.Option("--venue", help="Where orders go; never switched by the program.")],
    store: Annotated[str, typer.Option("--store", help="A folder or s3://bucket/prefix: data/, published bundles, keyset.json.")],
    state: State = DEFAULT_STATE,
    equity: Annotated[float, typer.Option("--equity", min=1, help="USD in a hosted exchange's account.")] = 100_000,
    url: Annotated[str, typer.Option("--url", help="Of a served exchange; empty hosts it here.")] = "",
    trust: Annotated[Path | None, typer.Option("--trust", help="The trainer's root.pub; default: the one in the store.")] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="Folder with appliance.yml, portfolio.yml, sleeves.yml ...")] = None,
    fixed_ic: Annotated[
        float | None, typer.Option("--fixed-ic", min=-1, max=1, help="Rehearsals: size by this IC, not the bundle's.")
    ] = None,
    endpoint: Annotated[str, typer.Option("--endpoint", help="Of an object store that is not Amazon's: MinIO, SeaweedFS.")] = "",
    bars: Annotated[
        BarsFrom, typer.Option("--bars", help="Source of the sessions that the published dataset does not hold yet.")
    ] = BarsFrom.PUBLISHED,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Make a new device in an empty state folder and write its config.yml.

    The device starts HALTED: nothing is wrong, no orders are sent until you arm it. The root key decides for ever
    which bundles it believes; it is printed so that you can compare it with the trainer's.
    """
    config = settings(DeviceOptions(store, venue, equity, url, configs, fixed_ic, endpoint, bars))
    key = trusted(trust, store)
    manifest = commission(StateFolder(state), config, key, credentials=credentials)
    emit(
        {"state": state, "venue": venue.value, "root_key": key.keyid, "dataset": manifest.name, "latch": "halted"},
        as_json=as_json,
        text=f"A device in {state}, venue {venue.value}, dataset {manifest.name} to {manifest.last}.\n"
        f"It trusts the root key {key.keyid}.\n{Latch(state, DurableFs()).read().sentence()}",
    )


def arm(
    session: Annotated[str, typer.Option("--session", metavar="YYYY-MM-DD", help="D, to show its plan first.")] = "",
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for the typed word.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a device that was never armed send orders, after showing what it would send.

    With --session the jobs up to the frozen plan run first and the plan is shown: nothing of it is sent by this
    command. A device that halted for a reason is opened by `appliance rearm` only. While the account holds positions
    that nobody has decided about (`appliance adopt`, `appliance keep`), or an order works in it, nothing is armed.
    """
    with opened(state, credentials=credentials) as device:
        record, shown = arm_after_showing(device, session, yes=yes, show=lambda text: None if as_json else typer.echo(clean_lines(text)))
    emit({"latch": record.state.value, "by": record.by, "at": record.at, "shown": shown}, as_json=as_json, text=record.sentence())


def setup(
    state: State = DEFAULT_STATE,
    venue: Annotated[Venue | None, typer.Option("--venue", help="Where orders go.", show_default=False)] = None,
    url: Url = "",
    keys: KeysFile = "",
    store: Annotated[str | None, typer.Option("--store", help="A folder or s3://bucket/prefix.", show_default=False)] = None,
    trust: Annotated[str | None, typer.Option("--trust", help="The trainer's root.pub, or its fingerprint.", show_default=False)] = None,
    endpoint: Annotated[str | None, typer.Option("--endpoint", help="Of an object store that is not Amazon's.", show_default=False)] = None,
    bars: Annotated[
        BarsFrom | None,
        typer.Option("--bars", help="Source of the sessions that the published dataset does not hold yet.", show_default=False),
    ] = None,
    configs: Annotated[Path | None, typer.Option("--configs", help="Folder with settings to begin with.", show_default=False)] = None,
    equity: Annotated[float | None, typer.Option("--equity", min=1, help="USD in a hosted exchange's account.", show_default=False)] = None,
    size: Annotated[
        Size | None, typer.Option("--size", help="Whole shares, or fractions, long only; default: by equity.", show_default=False)
    ] = None,
    accept_unproven: Annotated[
        bool | None,
        typer.Option(
            "--accept-unproven/--no-accept-unproven", help="Whether a model that no promotion has passed may trade.", show_default=False
        ),
    ] = None,
    rehearsal_gross: Annotated[
        float | None, typer.Option("--rehearsal-gross", help="Its declared gross, a share of equity; 0.25.", show_default=False)
    ] = None,
    clock: Annotated[ClockSource | None, typer.Option("--clock", help="Whose word on the time counts.", show_default=False)] = None,
    backup: Annotated[str | None, typer.Option("--backup", help="Folder or s3:// for ledger copies; none.", show_default=False)] = None,
    alert_urls: Annotated[
        Path | None, typer.Option("--alert-urls", help="File of addresses that are notified of a halt.", show_default=False)
    ] = None,
    heartbeat_url: Annotated[
        Path | None, typer.Option("--heartbeat-url", help="File with the address of a dead-man's check.", show_default=False)
    ] = None,
    positions: Annotated[
        str | None, typer.Option("--positions", help="adopt, keep, flatten or abort what the account holds.", show_default=False)
    ] = None,
    session: Annotated[str, typer.Option("--session", metavar="YYYY-MM-DD", help="D, whose plan is shown.", show_default=False)] = "",
    arm: Annotated[bool | None, typer.Option("--arm/--no-arm", help="Arm at the end, after the plan is shown.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for typed words.")] = False,
    account_reset: Annotated[
        bool, typer.Option("--account-reset", help="The paper account was reset: set its ledger aside, begin anew, halted.")
    ] = False,
    credentials: Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Make and arm a device by questions, each of which is also a flag; run it again and it goes on where it stopped.

    The keys are typed hidden or come from a file, are judged by their form and by one request to the paper host, and are
    kept where only this user can read them. It ends with `appliance doctor`, whose exit code it has: 0 all is well, 1
    something is worth a look, 2 the device cannot work like this. 5: you left at a question; nothing was sent.
    """
    if positions not in (None, "adopt", "keep", "flatten", "abort"):
        raise FixInput(f"--positions {positions} is none of adopt, keep, flatten and abort")
    folder = StateFolder(state.absolute())
    given = Answers(
        venue=venue.value if venue else None,
        url=url or None,
        store=store,
        trust=trust,
        endpoint=endpoint,
        bars=bars.value if bars else None,
        size=size.value if size else None,
        clock=clock.value if clock else None,
        backup=backup,
        accept_unproven=accept_unproven,
        rehearsal_gross=rehearsal_gross,
        equity=equity,
        positions=positions,
    )
    options = SetupOptions(credentials, keys, alert_urls, heartbeat_url, configs, to_session(session) if session else None, arm, yes)
    interview = Interview(folder, DurableFs(), given)
    try:
        if account_reset:
            AccountAccess(interview, options).keys_again()
            sentence = begin_again(folder, options.keys_in(folder), yes=yes)
            emit({"latch": "halted", "sentence": sentence}, as_json=as_json, text=f"{sentence}\nRun `appliance setup` for its positions.")
            return
        found = Wizard(interview, options).run()
    except (PersonLeft, KeyboardInterrupt) as left:
        place = f" at {left.subject}" if isinstance(left, PersonLeft) else ""
        raise TryAgain(
            f"you left{place}; what you answered before is kept, and no order was sent", fix="Run `appliance setup` again: it goes on there"
        ) from None
    except TrademlError:
        say("It stops here. What was answered and done is kept, no order was sent; `appliance setup` again goes on from here.")
        raise
    verdict = worst(found)
    rows = [vars(one) | {"state": one.state.word} for one in found]
    emit({"verdict": verdict.word, "findings": rows}, as_json=as_json, text="\n".join([*(one.line for one in found), _last(verdict)]))
    raise typer.Exit(int(verdict))


def _last(verdict: FindingState) -> str:
    words = {
        FindingState.OK: "Everything is green. `appliance run` is the device; `appliance timetable` says what it does when.",
        FindingState.WARN: "The device works; what is worth a look stands above, with what to do. `appliance run` is the device; "
        "`appliance timetable` says what it does when.",
        FindingState.BAD: "The device cannot work like this: what to do stands above. Then run `appliance setup` again.",
    }
    return words[verdict]


def keys(
    state: State = DEFAULT_STATE,
    url: Url = "",
    keys: KeysFile = "",
    sealed: Annotated[bool, typer.Option("--sealed", help="Seal them for the installed service, as root.")] = False,
    credentials: Credentials = None,
) -> None:
    """Take a paper account's keys, typed hidden or from a file, check them with one request, and keep them."""
    folder = StateFolder(state.absolute())
    access = AccountAccess(Interview(folder, DurableFs(), Answers()), SetupOptions(credentials, keys))
    pair = access.given_pair()
    account = paper_keys.account_behind(broker_asked_once(url, pair.key_id, pair.secret, SystemClock()))
    if sealed:
        paper_keys.seal(pair)
    else:
        paper_keys.keep(access.keys_in, DurableFs(), paper_keys.files_of(pair))
    place = "sealed for the service" if sealed else f"in {access.keys_in}"
    emit({"account": account.number[-4:]}, as_json=False, text=f"{paper_keys.described(account)}. The keys are {place}.")


def trust(
    fingerprint: Annotated[str, typer.Argument(help="As `trainer pair` printed it.")],
    store: Annotated[str, typer.Option("--store", help="A folder or s3://bucket/prefix.")],
    state: State = DEFAULT_STATE,
    endpoint: Annotated[str, typer.Option("--endpoint", help="Of an object store that is not Amazon's.")] = "",
    credentials: Credentials = None,
) -> None:
    """Pair this device with the training machine whose root key has a fingerprint; `appliance setup` then asks for neither.

    A device that was made already answers whether it is that one, and never changes it.

    Example: appliance trust 9995-2c28-c5d5-6255-0b1e-77aa-4d0c-9e21 --store s3://market/store
    """
    folder = StateFolder(state.absolute())
    place = settings(DeviceOptions(store, Venue.ALPACA_PAPER, 1.0, endpoint=endpoint)).stores
    key = trusted_by(fingerprint, store, PublishedSources(place, folder.key_folder(credentials)).bundles())
    if folder.config.exists():
        BundleStore(folder.bundles, DurableFs()).trust(key)
        text = f"This device trusts the root key {key.keyid}, as it did before."
    else:
        Interview(folder, DurableFs(), Answers()).keep(store=store, trust=fingerprint, **({"endpoint": endpoint} if endpoint else {}))
        text = f"Paired with the root key {key.keyid}. `appliance setup` makes the device."
    emit({"root_key": key.keyid}, as_json=False, text=text)
