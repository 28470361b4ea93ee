"""The canary for a real paper account, flown on the embedded exchange over loopback."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from signals.errors import InvariantBroken
from tests.campaigns.canary import differences, fields, main, redacted
from tests.fakes.exchange import exchange, serving

NOW = datetime(2021, 11, 22, 13, 5, tzinfo=UTC)
SECRET, KEY = "CANARY-SECRET-b81f0c", "CANARY-KEY-77aa"
KEYS = {"APCA_API_KEY_ID": KEY, "APCA_API_SECRET_KEY": SECRET}


def test_without_credentials_it_says_so_in_one_sentence_and_sends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    core = exchange("2021-11-22 08:00")
    with serving(core) as url:
        assert main(["--url", url, "--to", str(tmp_path)], {"APCA_API_KEY_ID": KEY}, NOW) == 2
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and "APCA_API_SECRET_KEY" in told and KEY not in told
    assert not core.venue.book.log and not list(tmp_path.iterdir())


def test_a_far_order_is_sent_found_and_cancelled_and_the_cassette_tells_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Judged by the exchange's book; two flights agree with each other, and with the embedded exchange."""
    core = exchange("2021-11-22 08:00", key_id=KEY, secret_key=SECRET)
    with serving(core) as url:
        asked = ["--url", url, "--symbol", "AAA", "--to", str(tmp_path)]
        assert main(asked, KEYS, NOW) == 0
        assert "embedded exchange" in capsys.readouterr().out
        assert main(asked, KEYS, NOW + timedelta(minutes=1)) == 0
        assert "last cassette" in capsys.readouterr().out
    orders = list(core.venue.book.orders.values())
    assert [order.status.value for order in orders] == ["canceled", "canceled"]
    first, second = (path.read_text() for path in sorted(tmp_path.iterdir()))
    for hidden in (KEY, SECRET, orders[0].client_order_id, str(orders[0].id)):
        assert hidden not in first + second
    assert [(row["method"], row["status"]) for row in json.loads(first)] == [("GET", 200), ("POST", 200), ("GET", 200), ("DELETE", 204)]
    assert json.loads(first)[0]["answered"]["account_number"] == "removed"
    sent, found, ended = json.loads(first)[1:]
    assert sent["answered"]["id"] == found["answered"]["id"] and ended["path"].endswith(sent["answered"]["id"])


def test_a_changed_field_set_is_told_field_by_field_with_exit_code_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The cassette before this one had a field more in the order, and one less in the account."""
    core = exchange("2021-11-22 08:00")
    with serving(core) as url:
        asked = ["--url", url, "--symbol", "AAA", "--to", str(tmp_path)]
        assert main(asked, KEYS, NOW) == 0
        kept = next(tmp_path.iterdir())
        rows = json.loads(kept.read_bytes())
        del rows[0]["answered"]["cash"]
        rows[1]["answered"]["liquidity"] = {"kind": "maker"}
        kept.write_text(json.dumps(rows))
        capsys.readouterr()
        assert main(asked, KEYS, NOW + timedelta(minutes=1)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "GET /v2/account 200 answered: cash is new",
        "POST /v2/orders 200 answered: liquidity is gone",
        "POST /v2/orders 200 answered: liquidity.kind is gone",
    ]


def test_a_venue_that_refuses_the_key_ends_it_with_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    core = exchange("2021-11-22 08:00", key_id="another", secret_key="pair")
    with serving(core) as url:
        assert main(["--url", url, "--symbol", "AAA", "--to", str(tmp_path)], KEYS, NOW) == 1
    told = capsys.readouterr().out
    assert told.count("\n") == 1 and SECRET not in told and KEY not in told and not list(tmp_path.iterdir())


def test_a_cassette_that_would_tell_a_secret_is_refused() -> None:
    """A venue that echoes the key in its answer."""
    row = {"method": "GET", "path": "/v2/clock", "query": {}, "asked": None, "status": 200, "answered": {"echo": f"hello {SECRET}"}}
    with pytest.raises(InvariantBroken, match="not written"):
        redacted([row], (KEY, SECRET))


def test_an_answer_of_another_kind_is_a_difference() -> None:
    row = {"method": "GET", "path": "/v2/clock", "query": {}, "asked": None, "status": 200, "answered": {"a": [{"b": 1}]}}
    before, after = (fields(redacted([row | {"status": status}], ())) for status in (200, 500))
    assert before["GET /v2/clock 200 answered"] == ["a", "a.[].b"]
    assert "GET /v2/clock 500 answered: not seen before" in differences(before, after)
    assert "GET /v2/clock 200 answered: no longer seen" in differences(before, after)
