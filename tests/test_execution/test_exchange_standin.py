"""The stand-in for Alpaca's paper hosts: a program that knows no other address trades on the exchange all the same."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest
from cryptography import x509
from typer.testing import CliRunner

from execution.exchange.__main__ import app
from execution.exchange.api.exchange import Exchange
from execution.exchange.doors.standin import HOSTS, certify, standing_in
from signals.errors import BadConfig
from tests.fakes.exchange import exchange, serving

NOW = datetime.now(UTC)
HEADERS = {"apca-api-key-id": "key", "apca-api-secret-key": "secret"}


@pytest.fixture
def stood_in(tmp_path: Path) -> Iterator[tuple[Exchange, str, Path]]:
    core, trusted = exchange("2021-11-22 08:00"), tmp_path / "ca.pem"
    with serving(core, hosts=HOSTS) as url, standing_in(0, int(url.rsplit(":", 1)[1]), trusted, NOW) as proxy:
        yield core, proxy, trusted


def test_a_client_with_alpacas_own_address_trades_on_the_exchange(
    stood_in: tuple[Exchange, str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two variables of the environment are all that changes; what happened is read from the exchange's book."""
    core, proxy, trusted = stood_in
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    client = TradingClient("key", "secret", paper=True)
    for number in range(3):
        client.submit_order(
            MarketOrderRequest(symbol="AAA", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.OPG, client_order_id=f"n{number}")
        )
    client._session.close()
    assert [order.client_order_id for order in core.venue.book.orders.values()] == ["n0", "n1", "n2"]


@pytest.mark.parametrize("host", ["api.alpaca.markets", "example.com", "127.0.0.1"])
def test_no_other_host_is_stood_in_for(stood_in: tuple[Exchange, str, Path], host: str) -> None:
    core, proxy, trusted = stood_in
    with pytest.raises(requests.exceptions.ProxyError):
        requests.get(f"https://{host}/v2/account", headers=HEADERS, proxies={"https": proxy}, verify=str(trusted), timeout=5)
    assert not core.venue.book.log


def test_who_does_not_trust_the_authority_of_this_run_is_told_nothing(stood_in: tuple[Exchange, str, Path]) -> None:
    core, proxy, _ = stood_in
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"https://{HOSTS[0]}/v2/account", headers=HEADERS, proxies={"https": proxy}, timeout=5)
    assert not core.venue.book.log


def test_it_is_no_forward_proxy(stood_in: tuple[Exchange, str, Path]) -> None:
    core, proxy, _ = stood_in
    answer = requests.get(f"http://{HOSTS[0]}/v2/account", headers=HEADERS, proxies={"http": proxy}, timeout=5)
    assert answer.status_code == 403 and not core.venue.book.log


def test_no_private_key_is_left_and_two_runs_share_no_authority(stood_in: tuple[Exchange, str, Path]) -> None:
    *_, trusted = stood_in
    assert b"PRIVATE" not in trusted.read_bytes() and stat.S_ISREG(trusted.stat().st_mode)
    assert [path.name for path in trusted.parent.iterdir()] == ["ca.pem"]
    assert certify(NOW)[0] != certify(NOW)[0]


def test_the_certificate_is_for_the_paper_hosts_alone() -> None:
    _, hosts, _ = certify(NOW)
    names = x509.load_pem_x509_certificate(hosts).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert tuple(names.value.get_values_for_type(x509.DNSName)) == ("paper-api.alpaca.markets", "data.alpaca.markets")


def test_a_port_without_a_file_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    asked = CliRunner().invoke(app, ["serve", "--data", str(tmp_path / "none"), "--stand-in-port", "0"])
    assert isinstance(asked.exception, BadConfig) and "--stand-in-ca" in asked.exception.where
