"""Alerts through Apprise: each service takes the same few words from a local server's point of view, or refuses them."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.status.upkeep import count_addresses
from appliance.system.ports import Alert, Severity
from signals.alerts import addresses
from signals.alerts.addresses import ServiceNotifier, WebhookNotifier, channels_of, message
from signals.errors import BadConfig
from tests.fakes.wire import Say, Wire, say, wire

SECRET = "nobody-may-know"
ALERT = Alert(
    Severity.PAGE,
    "halt-1a2b3c4d",
    "HALTED by RECON_BREAK",
    "account PA3XYZ holds 5 shares, 101.5 USD",
    datetime(2024, 3, 12, 13, tzinfo=UTC),
)
DISCORD = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"
ADDRESSES = ("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/", "tgram://123456789:AAHtoken_of_a_bot-1234567890abcdef/98765")


def place(server: Wire) -> str:
    return server.url.removeprefix("http://")


def sent_to(kind: str, server: Wire, monkeypatch: pytest.MonkeyPatch) -> ServiceNotifier:
    """A channel of this kind that leads to the local server."""
    from apprise.plugins.discord import NotifyDiscord
    from apprise.plugins.slack import NotifySlack
    from apprise.plugins.telegram import NotifyTelegram

    monkeypatch.setattr(NotifyDiscord, "notify_url", f"{server.url}/api/webhooks")
    monkeypatch.setattr(NotifySlack, "webhook_url", f"{server.url}/services")
    monkeypatch.setattr(NotifyTelegram, "notify_url", f"{server.url}/bot")
    addresses = {"slack": ADDRESSES[0], "tgram": ADDRESSES[1], "discord": DISCORD}
    url = addresses.get(kind, f"{kind}://{place(server)}/{SECRET}")
    return ServiceNotifier(url, device="pi-desk")


@pytest.mark.parametrize("kind", ["ntfy", "json", "slack", "tgram", "discord"])
def test_a_service_takes_the_title_and_the_words_and_no_figure(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Say(200, b"ok") if kind == "slack" else say({"ok": True, "result": []})
    with wire(answer) as server:
        assert sent_to(kind, server, monkeypatch).notify(ALERT) is True
    body = "".join(json.dumps(seen.headers["Title"]) if "Title" in seen.headers else "" for seen in server.seen)
    body += "".join(seen.body.decode() for seen in server.seen)
    assert server.seen and all(seen.method == "POST" for seen in server.seen)
    assert "HALTED by RECON" in body and "pi-desk" in body and "halt-1a2b3c4d" in body
    assert "PA3XYZ" not in body and "101.5" not in body and "github" not in body


@pytest.mark.parametrize("kind", ["ntfy", "json", "slack", "tgram", "discord"])
@pytest.mark.parametrize("answer", [Say(500), Say(404), Say(302, headers={"Location": "http://127.0.0.1:9/"}), Say(reset=True)])
def test_a_service_that_does_not_take_it_is_a_result(kind: str, answer: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    with wire(answer) as server:
        assert sent_to(kind, server, monkeypatch).notify(ALERT) is False
        assert server.seen


@contextmanager
def mail_server(*, refuses: bool = False) -> Iterator[tuple[int, list[str]]]:
    """A server of one SMTP conversation on loopback, and the lines that it heard."""
    heard: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(20)

        def serve() -> None:
            peer, _ = listening.accept()
            with peer, peer.makefile("rw", newline="\r\n") as stream:

                def answer(words: str) -> None:
                    stream.write(f"{words}\r\n")
                    stream.flush()

                answer("220 here")
                in_message = False
                for line in stream:
                    heard.append(line.rstrip("\r\n"))
                    word = heard[-1][:4].upper()
                    if in_message:
                        in_message = heard[-1] != "."
                        if not in_message:
                            answer("554 refused" if refuses else "250 taken")
                    elif word == "DATA":
                        in_message = True
                        answer("354 go on")
                    elif word == "QUIT":
                        answer("221 bye")
                        return
                    else:
                        answer("250 well")

        server = threading.Thread(target=serve, daemon=True)
        server.start()
        yield listening.getsockname()[1], heard
        server.join(20)


def mail_address(port: int) -> str:
    return f"mailto://127.0.0.1:{port}/?from=device@home.example&to=me@home.example&mode=insecure"


@pytest.mark.parametrize("refuses", [False, True])
def test_a_mail_goes_out_and_a_refused_one_is_a_result(refuses: bool) -> None:
    with mail_server(refuses=refuses) as (port, heard):
        assert ServiceNotifier(mail_address(port), device="pi-desk").notify(ALERT) is not refuses
    text = "\n".join(heard).replace("=\n", "")
    assert "rcpt TO:<me@home.example>" in text and "HALTED by RECON_BREAK" in text and "halt-1a2b3c4d" in text
    assert "PA3XYZ" not in text


def test_a_service_that_never_ends_its_answer_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    import apprise  # noqa: F401  # loaded before the clock runs

    monkeypatch.setattr(addresses, "TOTAL_SECONDS", 0.3)
    with wire(Say(silent=True)) as server:
        assert ServiceNotifier(f"ntfy://{place(server)}/{SECRET}").notify(ALERT) is False


@pytest.mark.parametrize("url", ["slack://", "slack://short", "tgram://none", "mailto://", "ntfy://%%%", "json://[::1"])
def test_an_address_that_the_library_cannot_read_is_a_result(url: str) -> None:
    assert ServiceNotifier(url).notify(ALERT) is False


def test_the_address_is_never_logged(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.DEBUG), wire(Say(500)) as server:
        ServiceNotifier(f"ntfy://{SECRET}:{SECRET}@{place(server)}/{SECRET}").notify(ALERT)
        ServiceNotifier(f"slack://{SECRET}").notify(ALERT)
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


def test_each_line_leads_to_its_own_channel(tmp_path: Path) -> None:
    (tmp_path / "alert-urls").write_text("\n".join(("https://ntfy.example/x", *ADDRESSES, "mailtos://a:b@home.example")))
    assert [type(one) for one in channels_of(tmp_path)] == [WebhookNotifier, ServiceNotifier, ServiceNotifier, ServiceNotifier]
    assert count_addresses(tmp_path) == 4


@pytest.mark.parametrize("line", ["dbus://", "syslog://x", "windows://", "nobody-may-know", "slack:nobody-may-know", "file:///etc/x"])
def test_an_address_of_no_listed_service_is_refused_without_being_repeated(tmp_path: Path, line: str) -> None:
    """Apprise also knows doors of this machine itself: those are none."""
    (tmp_path / "alert-urls").write_text(f"https://a.example/x\n{line}\n")
    with pytest.raises(BadConfig, match="address 2 of alert-urls is none of") as refused:
        channels_of(tmp_path)
    assert SECRET not in str(refused.value) and "slack://" in str(refused.value)


def test_without_the_extra_its_addresses_are_refused_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "alert-urls").write_text(f"https://a.example/x\nslack://{SECRET}\n")
    monkeypatch.setitem(sys.modules, "apprise", None)
    assert not addresses.are_installed()
    with pytest.raises(BadConfig, match=r"address 2 of alert-urls needs the extra `alerts`.*trademl\[alerts\]") as refused:
        channels_of(tmp_path)
    assert SECRET not in str(refused.value)
    (tmp_path / "alert-urls").write_text("https://a.example/x\n")
    assert len(channels_of(tmp_path)) == 1, "an http(s) address needs nothing"


def test_channels_are_built_without_loading_the_library(tmp_path: Path) -> None:
    (tmp_path / "alert-urls").write_text("\n".join(ADDRESSES))
    program = (
        "import sys; from pathlib import Path; from signals.alerts.addresses import channels_of;"
        f"assert len(channels_of(Path({str(tmp_path)!r}))) == 2; sys.exit('apprise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=False).returncode == 0


def test_the_message_is_that_of_every_channel() -> None:
    assert message(ALERT, "pi-desk").startswith("HALTED by RECON_BREAK on pi-desk (page, 2024-03-12 13:00:00 UTC")
