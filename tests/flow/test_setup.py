"""`appliance setup`: a stranger at a terminal, our own exchange in Alpaca's place, every answer also a flag."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import yaml
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import LimitOrderRequest, MarketOrderRequest

from appliance.config import load_config
from appliance.schedule.timetable import TIMETABLE
from execution.exchange.api.exchange import Exchange
from execution.exchange.config import ExchangeConfig
from execution.exchange.core.clock import ExchangeVirtualClock
from execution.exchange.market.market import MarketData
from execution.orders import BOOK, IntentKey
from portfolio.risk.kelly import SizingCoefficient
from signals.bundle import Role
from signals.bundle.layout import FORMER, place_of, pointer
from signals.schedule.job_windows import windows
from signals.scoring.scores import Scores
from tests.fakes import exchange as small
from tests.fakes import steering
from tests.fakes.device import Done, Workbench
from tests.fakes.forked_terminal import CTRL_C, Terminal, running
from tests.fakes.store import Published
from trainer.backtest.archive import open_archive
from trainer.backtest.engine import Backtest, BacktestPolicy, opened

KEY, SECRET = "PKTESTTESTTESTTEST01", "canary" + "S3cretS3cretS3cretS3cretS3cretS3cr"
HELD = "GCLK"


def exchange_of(published: Published, cash: int = 100_000, seed: int = 0) -> Exchange:
    """An exchange that asks for the keys, in the evening before the first session after training."""
    day = published.sessions(1)[0]
    clock = ExchangeVirtualClock(windows(day, published.manifest.calendar, TIMETABLE)[0].at)
    settings = ExchangeConfig(cash=Decimal(cash), key_id=KEY, secret_key=SECRET)
    return Exchange(MarketData.from_dataset(published.root / "data"), clock, seed=seed, config=settings)


@contextmanager
def served(published: Published, **options: int) -> Iterator[tuple[str, Exchange]]:
    with ExitStack() as standing:
        found = exchange_of(published, **options)
        standing.callback(found.close)
        yield standing.enter_context(small.serving(found)), found


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another disk."""
    others = (place for place in (Path("/dev/shm"), Path.cwd(), Path("/tmp")) if place.stat().st_dev != tmp_path.stat().st_dev)
    folder = Path(mkdtemp(dir=next(others)))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(f"{KEY}\n{SECRET}\n")
    return path


def asked(published: Published, url: str, keys: Path, *more: str) -> tuple[str, ...]:
    """Every answer as a flag."""
    store = ("--store", str(published.root), "--trust", str(published.trust))
    return ("setup", "--venue", "exchange", "--url", url, "--keys", str(keys), *store, "--accept-unproven", *more)


def hidden_keys(terminal: Terminal, key: str, secret: str) -> str:
    terminal.expect("Key id (PK...)")
    terminal.type(key)
    found = terminal.expect("Secret key")
    terminal.type(secret)
    return found


def test_a_stranger_comes_from_keys_to_an_armed_and_green_device_without_editing_a_file(
    published: Published, tmp_path: Path, elsewhere: Path
) -> None:
    """A live key is sent nowhere, a wrong pair is explained, a wrong store is asked for again; the second run asks nothing."""
    state = tmp_path / "device"
    with served(published) as (url, _):
        command = ("setup", "--state", str(state), "--url", url)
        with running(*command) as terminal:
            terminal.expect("Where do orders go?")
            terminal.type("exchange")
            terminal.expect("Key id (PK...)")
            terminal.type(CTRL_C)
            assert terminal.ended() == 5
            assert "you left at the keys" in terminal.shown and "Run `appliance setup` again: it goes on there" in terminal.shown
        with running(*command) as terminal:
            hidden_keys(terminal, "AKTESTTESTTESTTEST01", SECRET)
            terminal.expect("this is the key of a live account")
            assert steering.log(url) == []
            hidden_keys(terminal, KEY, SECRET[::-1])
            terminal.expect("401")
            terminal.expect("generate a key there")
            hidden_keys(terminal, KEY, SECRET)
            number = terminal.expect("equity 100,000.00 USD")
            assert "PAPER account ..." in number
            for question, answer in (
                ("Addresses to be told of a halt", "http://127.0.0.1:9/a http://127.0.0.1:9/b"),
                ("Address of a dead-man's check", "http://127.0.0.1:9/c"),
                ("Store of data and bundles", str(tmp_path / "nothing")),
                ("Name the folder that holds data/", ""),
                ("Store of data and bundles", str(published.root)),
                ("The trainer's root.pub", ""),
                ("compare it with what `trainer keys` printed", None),
                ("not sized by evidence; every plan", None),
                ("May this unproven model trade?", "perhaps"),
                ("is neither yes nor no", None),
                ("May this unproven model trade?", "yes"),
                ("Its declared gross, a share of equity [0.25]", ""),
                ("Positions in whole shares", ""),
                ("the goal is a gross of 95% of equity", None),
                ("Folder on another disk", str(elsewhere)),
                (f"Show the plan of {published.sessions(1)[0]} and arm", ""),
                ("goal: a gross of", None),
                ("Type ARM", "ARM"),
                ("ARMED since", None),
                ("Everything is green", None),
            ):
                terminal.expect(question)
                if answer is not None and question != "Name the folder that holds data/":
                    terminal.type(answer)
            assert terminal.ended() == 0
            assert SECRET not in terminal.shown and KEY not in terminal.shown
        with running(*command) as terminal:
            assert terminal.ended() == 0
            assert "?" not in terminal.shown and "Everything is green" in terminal.shown
    for name in ("alpaca-key-id", "alpaca-secret-key", "alert-urls", "heartbeat-url"):
        assert stat.S_IMODE((state / "credentials" / name).stat().st_mode) == 0o600
    spilt = [
        path for path in state.rglob("*") if path.is_file() and path.parent.name != "credentials" and SECRET.encode() in path.read_bytes()
    ]
    assert spilt == []
    settings = yaml.safe_load((state / "config.yml").read_text())
    assert (settings["accept_unproven"], settings["portfolio"]["rehearsal_gross"]) == (True, 0.25)


@pytest.mark.slow
def test_ctrl_c_at_each_question_keeps_what_was_answered_and_the_next_run_goes_on_there(published: Published, tmp_path: Path) -> None:
    state = tmp_path / "device"
    with served(published) as (url, exchange):
        command = ("setup", "--state", str(state), "--url", url)
        steps: tuple[tuple[str, Callable[[Terminal], None]], ...] = (
            ("Where do orders go?", lambda terminal: terminal.type("exchange")),
            ("Key id", lambda terminal: _typed_keys(terminal)),
            ("Addresses to be told", lambda terminal: terminal.type("http://127.0.0.1:9/a")),
            ("dead-man's check", lambda terminal: terminal.type("http://127.0.0.1:9/b")),
            ("Store of data", lambda terminal: terminal.type(str(published.root))),
            ("root.pub", lambda terminal: terminal.type("")),
            ("May this unproven model", lambda terminal: terminal.type("yes")),
            ("declared gross", lambda terminal: terminal.type("")),
            ("whole shares, or in", lambda terminal: terminal.type("")),
            ("another disk", lambda terminal: terminal.type("none")),
            ("and arm the device?", lambda terminal: terminal.type("yes")),
            ("Type ARM", lambda terminal: terminal.type("ARM")),
        )
        for number, (question, _) in enumerate(steps):
            with running(*command) as terminal:
                if number and steps[number - 1][0] not in ("Type ARM", "and arm the device?"):
                    terminal.expect(steps[number - 1][0])
                    steps[number - 1][1](terminal)
                if question == "Type ARM":
                    terminal.expect("and arm the device?")
                    terminal.type("yes")
                terminal.expect(question)
                terminal.type(CTRL_C)
                assert terminal.ended() == 5, terminal.shown
                said = terminal.rest()
                assert "you left at" in said and "no order was sent" in said and "Run `appliance setup` again" in said
                assert "Traceback" not in terminal.shown
        assert "HALTED" in Workbench(state)("status").out and exchange.venue.book.orders == {}


def _typed_keys(terminal: Terminal) -> None:
    terminal.type(KEY)
    terminal.expect("Secret key")
    terminal.type(SECRET)


def test_every_answer_is_also_a_flag_and_without_a_person_a_missing_one_is_named(published: Published, tmp_path: Path, keys: Path) -> None:
    with served(published) as (url, _):
        bench = Workbench(tmp_path / "device")
        refused = bench("setup", "--venue", "exchange", "--url", url)
        assert refused.code == 2 and "Give --keys FILE" in refused.err
        refused = bench("setup", "--venue", "exchange", "--url", url, "--keys", str(keys))
        assert refused.code == 2 and "Give --store" in refused.err
        assert not (bench.state / "config.yml").exists()
        made = bench(*asked(published, url, keys, "--no-arm"))
        assert made.code == 1 and "HALTED" in made.out, made.err
        (bench.state / "setup.json").unlink()  # the device itself says where its orders go
        changed = bench("setup", "--rehearsal-gross", "0.1", "--arm", "--yes", "--json")
        assert changed.code == 1 and {row["state"] for row in changed.json["findings"]} == {"ok", "warn"}, changed.err
        assert "a declared gross of 0.1000" in changed.err and "ARMED since" in changed.err
        late = bench("setup", "--no-accept-unproven")
        assert late.code == 2 and "a device that was armed keeps the settings" in late.err


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (("AKTESTTESTTESTTEST01", SECRET), "key of a live account"),
        (("CKTESTTESTTESTTEST01", SECRET), "a broker's own programs"),
        ((SECRET, KEY), "look exchanged"),
        (("PK TEST", SECRET), "3 words"),
        ((KEY, "s\u00e9cret"), "characters that no key has"),
        ((KEY, SECRET[::-1]), "401"),
    ],
)
def test_keys_that_are_none_are_refused_with_the_reason_and_kept_nowhere(
    published: Published, tmp_path: Path, pair: tuple[str, str], words: str
) -> None:
    """Only the pair of the right form is ever sent, and to the given address alone."""
    bench = Workbench(tmp_path / "device")
    (tmp_path / "keys").write_text("\n".join(pair))
    with served(published) as (url, _):
        refused = bench("keys", "--url", url, "--keys", str(tmp_path / "keys"))
        assert refused.code == 2 and words in refused.err, refused.err
        assert len(steering.log(url)) == (words == "401")
    assert not any(part in refused.err + refused.out for part in (SECRET, KEY, SECRET[::-1]))
    assert not (bench.state / "credentials").exists()


def test_the_pointer_of_the_former_layout_makes_no_evaluation_a_champion(published: Published, tmp_path: Path, keys: Path) -> None:
    """`trainer publish` writes that pointer next to the new one; where there is no champion it names the evaluation."""
    shutil.copytree(published.root, tmp_path / "store")
    latest = (tmp_path / "store" / pointer(place_of("equities_xs", Role.EVALUATION))).read_bytes()
    (tmp_path / "store" / FORMER).mkdir()
    (tmp_path / "store" / pointer(FORMER)).write_bytes(latest)
    with served(published) as (url, _):
        bench = Workbench(tmp_path / "device")
        store = ("--store", str(tmp_path / "store"), "--trust", str(published.trust), "--accept-unproven", "--no-arm")
        made = bench("setup", "--venue", "exchange", "--url", url, "--keys", str(keys), *store)
        assert made.code == 1, made.err
        assert load_config(bench.state / "config.yml").accept_unproven
        assert stat.S_IMODE(bench.state.stat().st_mode) == 0o700


def test_keys_come_before_the_device_and_its_folder_is_this_user_s_alone(published: Published, tmp_path: Path, keys: Path) -> None:
    with served(published) as (url, _):
        assert Workbench(tmp_path / "device")("keys", "--url", url, "--keys", str(keys)).code == 0
    assert stat.S_IMODE((tmp_path / "device").stat().st_mode) == 0o700


def test_a_live_address_is_no_address(tmp_path: Path, keys: Path) -> None:
    refused = Workbench(tmp_path / "device")("keys", "--url", "https://api.alpaca.markets", "--keys", str(keys))
    assert refused.code == 2 and "api.alpaca.markets" in refused.err


def test_a_lost_network_changes_nothing_and_the_next_run_goes_on(published: Published, tmp_path: Path, keys: Path) -> None:
    bench = Workbench(tmp_path / "device")
    with served(published) as (url, _):
        pass
    lost = bench(*asked(published, url, keys, "--arm", "--yes"))
    assert lost.code == 5 and "does not answer" in lost.err
    assert not (bench.state / "config.yml").exists()
    with served(published) as (url, _):
        done = bench("keys", "--url", url, "--keys", str(keys))
        assert done.code == 0 and "PAPER account ..." in done.out and SECRET not in done.out


def test_a_paper_account_whose_data_are_not_published_yet_is_made_halted_and_says_what_is_missing(
    published: Published, tmp_path: Path, keys: Path
) -> None:
    """Real time, the broker's clock alone: the published data end a year ago, so there is nothing to plan by."""
    bench = Workbench(tmp_path / "device")
    with served(published) as (url, _):
        store = ("--store", str(published.root), "--trust", str(published.trust), "--accept-unproven", "--clock", "broker")
        stopped = bench("setup", "--venue", "alpaca-paper", "--url", url, "--keys", str(keys), *store, "--arm", "--yes")
        assert stopped.code == 5 and "are not published yet" in stopped.err and "`appliance setup` again" in stopped.err, stopped.err
        assert "HALTED" in bench("status").out
        settings = yaml.safe_load((bench.state / "config.yml").read_text())
        assert (settings["venue"]["broker"], settings["clock"]) == ("alpaca-paper", "broker")
        again = bench("setup", "--arm", "--yes")
        assert again.code == 5 and "are not published yet" in again.err


def test_a_second_device_is_known_by_orders_of_this_program_that_its_ledger_does_not_hold(
    published: Published, tmp_path: Path, keys: Path
) -> None:
    with served(published) as (url, exchange):
        client = small.TradingClient(KEY, SECRET, url_override=url)
        number = client.get_account().account_number
        cid = IntentKey(number, date(2025, 1, 2), BOOK, HELD).client_order_id
        order = LimitOrderRequest(symbol=HELD, qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.GTC, limit_price=1, client_order_id=cid)
        client.cancel_order_by_id(client.submit_order(order).id)
        bench = Workbench(tmp_path / "device")
        refused = bench(*asked(published, url, keys, "--arm", "--yes"))
        assert refused.code == 4 and "another device trades this account" in refused.err and cid in refused.err
        assert not (bench.state / "config.yml").exists()
        assert exchange.venue.book is not None


def bought(exchange: Exchange, published: Published, url: str) -> None:
    """Let a person buy one name at the open before, and move to the evening after."""
    calendar, day = published.manifest.calendar, published.sessions(1)[0]
    client = small.TradingClient(KEY, SECRET, url_override=url)
    client.submit_order(MarketOrderRequest(symbol=HELD, qty=20, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    steering.advance(url, calendar.session(day).close + timedelta(minutes=30))


def test_positions_of_others_are_asked_about_and_each_word_does_what_it_says(published: Published, tmp_path: Path, keys: Path) -> None:
    """Abort decides nothing; flatten freezes one closing order, which the armed device sends at its hour."""
    with served(published) as (url, exchange):
        bought(exchange, published, url)
        bench = Workbench(tmp_path / "device")
        nobody = bench(*asked(published, url, keys, "--no-arm"))
        assert nobody.code == 2 and "--positions adopt, keep, flatten or abort" in nobody.err
        with running("setup", "--state", str(bench.state)) as terminal:
            for question in ("Addresses to be told", "dead-man's check"):
                terminal.expect(question)
                terminal.type("")
            terminal.expect("What becomes of them?")
            terminal.type("abort")
            assert terminal.ended() == 2 and "nothing was decided" in terminal.shown
        with running("setup", "--state", str(bench.state)) as terminal:
            terminal.expect("flatten: the first orders that it sends close them")
            terminal.expect("What becomes of them?")
            terminal.type("flatten")
            terminal.expect("Type FLATTEN")
            terminal.type("FLATTEN")
            terminal.expect("and arm the device?")
            terminal.type("no")
            assert terminal.ended() == 1 and "HALTED" in terminal.shown
        assert bench.rows("SELECT symbol, side, quantity, reduces, state FROM intents") == [(HELD, "sell", "20", 1, "planned")]


def test_after_a_reset_of_the_account_the_ledger_is_set_aside_whole_and_the_device_halted(
    published: Published, tmp_path: Path, keys: Path
) -> None:
    bench = Workbench(tmp_path / "device")
    with served(published) as (url, _):
        assert bench(*asked(published, url, keys, "--arm", "--yes")).code == 1
        same = bench("setup", "--account-reset", "--yes")
        assert same.code == 2 and "the account that this ledger knows" in same.err
        assert "ARMED" in bench("status").out
    before = bench.tables()
    with served(published, seed=7) as (url, _):
        config = yaml.safe_load((bench.state / "config.yml").read_text())
        config["venue"]["url"] = url
        (bench.state / "config.yml").write_text(yaml.safe_dump(config))
        done = bench("setup", "--account-reset", "--yes")
        assert done.code == 0 and "HALTED by ACCOUNT_RESET" in done.out, done.err
        [kept] = [path for path in bench.state.glob("ledger.sqlite.replaced-*") if not path.name.endswith(("-wal", "-shm"))]
        aside = Workbench(tmp_path / "aside")
        aside.state.mkdir()
        for path in bench.state.glob(f"{kept.name}*"):
            shutil.copy(path, aside.state / path.name.replace(kept.name, "ledger.sqlite"))
        assert aside.tables() == before
        assert bench.rows("SELECT count(*) FROM intents") == [(0,)]
        [(halt,)] = bench.rows("SELECT id FROM halts WHERE name = 'ACCOUNT_RESET'")
        assert bench("arm", "--yes").code == 2
        assert bench("rearm", "--halt-id", halt, "--reason", "a new paper account", "--yes").code == 0


def small_account(published: Published, tmp_path: Path, *more: str) -> tuple[Workbench, Done]:
    bench = Workbench(tmp_path / "device")
    store = ("--store", str(published.root), "--trust", str(published.trust))
    return bench, bench("setup", "--venue", "exchange", *store, "--equity", "5000", "--accept-unproven", *more)


def test_five_thousand_dollars_trade_fractions_from_the_first_session_by_a_bundle_of_the_opening_auction(
    published: Published, tmp_path: Path
) -> None:
    """Long only, by day orders after the open; rounding gives up nothing, and the report says what the open would have saved."""
    bench, done = small_account(published, tmp_path, "--rehearsal-gross", "0.9", "--no-arm")
    assert done.code == 2 and "no bundle" in done.out, "nothing is pulled before the exchange's first day"
    assert "long only, fractions of shares" in done.err and "at most 100 names of at most 4.5% each" in done.err
    days = published.sessions(2)
    armed = bench("arm", "--session", str(days[0]), "--yes")
    assert armed.code == 0, armed.err
    assert "goal: a gross of" in armed.out and "rounding gives up 0.0%" in armed.out
    for day in days:
        done = bench("run-day", "--session", str(day))
        assert done.code == 0, done.out + done.err
        rows = bench.rows("SELECT side, quantity, tif, state FROM intents WHERE session = ?", str(day))
        assert rows and {row[2] for row in rows} == {"day"} and {row[3] for row in rows} == {"filled"}
        assert all(Decimal(row[1]) != int(Decimal(row[1])) for row in rows if row[0] == "buy")
    held = bench.rows("SELECT symbol, quantity FROM positions WHERE phase = 'close' AND session = ?", str(days[-1]))
    assert held and all(Decimal(quantity) > 0 for _, quantity in held)
    [(body,)] = bench.rows("SELECT body FROM plans WHERE session = ?", str(days[-1]))
    path = yaml.safe_load(body)["path"]
    assert all(abs(Decimal(quantity) - Decimal(path[symbol])) <= Decimal("0.000001") for symbol, quantity in held)
    report = (bench.state / "reports" / f"report_{days[-1]}.md").read_text()
    assert "Day orders in place of the opening auction" in report and "tradable fractions" in report
    lost = float(report.split(" fills since ")[1].split(" lost ")[1].split(" bps")[0])
    assert lost == pytest.approx(2.5, abs=0.3), "half of the exchange's spread of 5 bps"
    config = load_config(bench.state / "config.yml")
    archive = open_archive(published.root / "data")
    rows = bench.rows("SELECT asof, symbol, score, source FROM scores WHERE sleeve = 'equities_xs' ORDER BY symbol")

    def recorded(asof: date) -> Scores:
        chosen = [row for row in rows if row[0] == str(asof)]
        return Scores(asof, "equities_xs", tuple(r[1] for r in chosen), np.array([float(r[2]) for r in chosen]), chosen[0][3])

    sized = SizingCoefficient(0.03, 3.0, None, is_rehearsal=True)
    policy = BacktestPolicy(config.portfolio, config.execution, sized, 5, "test")
    course = Backtest(archive, opened(archive, config.venue.exchange, 0, days[0]), policy).run(days, recorded)
    theirs = bench.rows("SELECT client_order_id, side, quantity, tif, state FROM intents")
    ours = [(o.client_order_id, o.intent.side.value, str(o.intent.quantity), o.intent.time_in_force.value, o.state) for o in course.orders]
    assert sorted(ours) == sorted(theirs), "a backtest enters as the device does"
