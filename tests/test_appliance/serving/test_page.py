"""The page in a real Chromium: what it shows, on a desk and on a phone, and that text from outside stays text."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from appliance.ledger import AccessMode, Ledger
from appliance.serving.api import operations, page
from appliance.tui.demo import build
from appliance.tui.ledger_source import LedgerSource
from signals.serving.application import Api, application
from signals.serving.connections import listen
from signals.serving.gate import LOOPBACK
from tests.fakes.screens import NOW, StoppedClock
from tests.fakes.serving import TOKEN

HOSTILE = "<img src=x onerror=\"document.title='taken'\">"
SPAN_OF_CURRENT = "(box => [box.left, box.right])(document.querySelector('nav a[aria-current]').getBoundingClientRect())"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: the page was NOT tried in a browser")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: the page was NOT tried in a browser")
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An invented device whose last alert is markup."""
    device = build(tmp_path_factory.mktemp("page"), seed=7, sessions=30).folder
    with Ledger(device / "ledger.sqlite", AccessMode.WRITE) as ledger, ledger.transaction():
        row = {"at": NOW, "severity": "warn", "key": "x", "title": HOSTILE, "body": HOSTILE, "delivered": True}
        ledger.insert("alerts", row)
    api = Api("device", "1", operations(LedgerSource(device, StoppedClock(NOW))), TOKEN, page())
    with listen(LOOPBACK, 0) as bound:
        server = uvicorn.Server(uvicorn.Config(application(api), ws="none", log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://{LOOPBACK}:{bound.getsockname()[1]}/"
        server.should_exit = True
        thread.join()


def opened(browser: Any, address: str, **how: Any) -> tuple[Any, list[str]]:
    """A new page, and every fault and foreign request of it."""
    faults: list[str] = []
    view = browser.new_context(**how).new_page()
    view.set_default_timeout(120_000)
    view.on("pageerror", lambda error: faults.append(str(error)))
    view.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
    view.on("request", lambda asked: None if asked.url.startswith("http://127.0.0.1") else faults.append(asked.url))
    view.goto(address)
    return view, faults


def test_a_browser_shows_the_device_and_its_symbols(browser: Any, url: str, tmp_path: Path) -> None:
    """The token comes with the address once; from a position one click leads to the symbol, from there back."""
    view, faults = opened(browser, f"{url}#token={TOKEN}")
    view.wait_for_selector("svg .line")
    assert "token" not in view.url and view.inner_text("#mode").startswith("ARMED")
    for name in ("positions", "orders", "signals", "trades", "limits", "bundle"):
        view.goto(f"{url}#{name}")
        view.wait_for_selector(f"nav a[href='#{name}'][aria-current] >> visible=true")
        view.wait_for_selector("table tbody tr")
        assert "NaN" not in view.inner_text("main") and "undefined" not in view.inner_text("main"), name
    for title in ("Rank IC of each session", "Mean excess return by decile of score"):
        view.wait_for_selector(f"section:has-text('{title}') svg .line")
    view.goto(f"{url}#positions")
    view.wait_for_selector("th:has-text('target')")
    symbol = view.inner_text("tbody tr td a >> nth=0")
    view.click("tbody tr >> nth=0")
    view.wait_for_selector(f".figure h2:has-text('{symbol}')")
    assert view.locator("svg .mark").count() > 0 or view.locator("svg .line").count() > 0
    view.fill("#text", symbol[:3].lower())
    view.wait_for_selector("#found a")
    assert symbol in view.inner_text("#found")
    assert faults == []


def test_the_page_of_events_shows_the_bars_of_each_and_what_is_said_of_it_in_its_units(browser: Any, url: str) -> None:
    """The likeliest first; who spoke and who did not; what such trades would have made with its error; no name of a field."""
    view, faults = opened(browser, f"{url}#token={TOKEN}")
    view.wait_for_selector("svg .line")
    view.goto(f"{url}#events")
    view.wait_for_selector(".events figure svg .body >> nth=0", state="attached")
    cards = view.locator(".events figure").all_inner_texts()
    assert len(cards) == view.locator("section:has-text('All of the evening') tbody tr").count() == view.locator(".events svg").count() > 2
    chances = [float(re.findall(r"P\(target first\)\s+([\d.]+) %, which (?:pays|does not pay)", text)[0]) for text in cards]
    assert chances == sorted(chances, reverse=True)
    for text in cards:
        assert re.search(r"stop, target\s+[-+][\d.]+%, [-+][\d.]+%", text)
        assert re.search(r"70 % stay within\s+[\d.]+ ATR, [\d.]+%, [\d,]+ ticks\s+40 % go beyond\s+[\d.]+ ATR", text)
        assert re.search(r"the net sees\s+[a-z-]+ \d+%\s+analogs made, R\s+-?[\d.]+, likeness [\d.]+", text)
    candles = [
        len(path)
        for path in view.locator(".events figure >> nth=0 >> path").evaluate_all(
            "all => all.map(one => one.getAttribute('d').match(/M/g) ?? [])"
        )
    ]
    assert candles[0] == candles[1] and candles[2] == candles[3] and candles[0] + candles[2] == 64
    said = view.inner_text("main")
    assert "event_gate: bundle " in said and "event_arms: no bundle of it spoke this evening" in said
    assert re.search(r"would have made, R before costs, since 2025-\d\d-\d\d", said) and "± error of it" in said
    for raw in ("hist_rr", "hist rr", "sim conf", "katr", "stop 70", "true", "false", "NaN", "undefined", "null"):
        assert raw not in said, raw
    assert faults == []


def test_text_from_outside_is_only_text(browser: Any, url: str) -> None:
    view, faults = opened(browser, f"{url}#token={TOKEN}")
    view.wait_for_selector("svg .line")
    view.goto(f"{url}#log")
    view.wait_for_selector("text=onerror")
    assert view.locator("main img").count() == 0 and "taken" not in view.title() and faults == []


def test_a_phone_needs_no_sideways_scrolling_and_the_token_is_asked_for(browser: Any, url: str) -> None:
    view, _ = opened(browser, url, viewport={"width": 360, "height": 740}, is_mobile=True, has_touch=True)
    view.wait_for_selector("#ask[open]")
    view.fill("#token", "wrong")
    view.click("#ask button")
    view.wait_for_selector("#ask[open]")
    view.fill("#token", TOKEN)
    view.click("#ask button")
    view.wait_for_selector("svg .line")
    for name in ("overview", "positions", "orders", "signals", "events", "trades", "log"):
        view.goto(f"{url}#{name}")
        view.wait_for_selector(f"nav a[href='#{name}'][aria-current]")
        view.wait_for_timeout(150)
        assert view.evaluate("document.documentElement.scrollWidth") <= 360, name
        # asked in the page, which draws its bar in one go: a handle would be of a bar that is gone by the next question
        left, right = view.evaluate(SPAN_OF_CURRENT)
        assert left >= 0 and right <= 360, f"{name}: the bar does not show where one is"


def test_without_an_answer_the_page_says_so(browser: Any, url: str) -> None:
    view, _ = opened(browser, f"{url}#token={TOKEN}")
    view.wait_for_selector("svg .line")
    view.route("**/v1/**", lambda route: route.abort())
    view.wait_for_selector("#mode:has-text('NO ANSWER')")
