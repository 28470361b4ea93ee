"""Every kind of lie that an answer of the broker can tell: one row each, a function of the true answer.

A lie changes what the client sees, never what the exchange did, except for the two that lose the request on its way.
Numbers and identities are changed wherever they occur in the answer, so that one row serves every endpoint.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from execution.exchange.protocol.message import ApiRequest, ApiResponse

HTML = b"<html><head><title>502</title></head><body><center>nginx</center></body></html>"
ALPACA_REFUSAL = {"code": 40310000, "message": "insufficient buying power"}
DUPLICATE_ID = {"code": 40010001, "message": "client_order_id must be unique"}
HUGE = "1E+99999999999999999999"
MONEY = ("cash", "equity", "last_equity", "portfolio_value", "buying_power", "long_market_value", "net_amount")
PRICES = ("price", "avg_entry_price", "current_price", "lastday_price", "filled_avg_price", "o", "h", "l", "c", "vw")
QUANTITIES = ("qty", "filled_qty", "cum_qty", "leaves_qty")
INSTANTS = ("timestamp", "created_at", "updated_at", "submitted_at", "filled_at", "next_open", "next_close", "t")


@dataclass
class Told:
    """What a lie may draw on: the request, and what the broker answered before."""

    request: ApiRequest
    before: Mapping[str, ApiResponse] = field(default_factory=dict)


Lie = Callable[[ApiResponse, Told], ApiResponse]


def _said(body: bytes, status: int = 200, **headers: str) -> Lie:
    kept = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda true, told: replace(true, status=status, body=body, headers={**true.headers, **kept})


def _json(content: object, status: int = 200, **headers: str) -> Lie:
    return _said(json.dumps(content).encode(), status, **headers)


def _broken(how: str) -> Lie:
    return lambda true, told: replace(true, breakage=how)


def _body(change: Callable[[bytes], bytes]) -> Lie:
    return lambda true, told: replace(true, body=change(true.body))


def _content(change: Callable[[Any], Any]) -> Lie:
    """A lie about the parsed answer; an answer without a JSON body stays as it is."""

    def lie(true: ApiResponse, told: Told) -> ApiResponse:
        try:
            content = json.loads(true.body)
        except ValueError:
            return true
        changed = change(content)
        return true if changed == content else replace(true, body=json.dumps(changed).encode())

    return lie


def _keys(change: Callable[[str, Any], Any]) -> Lie:
    """A lie about every value under a key, at any depth."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(change(key, inner)) for key, inner in value.items()}
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    return _content(walk)


def _set(keys: tuple[str, ...], value: Any) -> Lie:
    return _keys(lambda key, inner: value if key in keys else inner)


def _times(keys: tuple[str, ...], factor: float) -> Lie:
    def scaled(key: str, inner: Any) -> Any:
        if key not in keys or isinstance(inner, bool) or not isinstance(inner, str | int | float) or inner == "":
            return inner
        number = float(inner) * factor
        return f"{number:.4f}".rstrip("0").rstrip(".") if isinstance(inner, str) else number

    return _keys(scaled)


def _rows(change: Callable[[list[Any]], list[Any]]) -> Lie:
    """A lie about which rows a list holds, at the top or one level below (pages of bars)."""

    def lie(content: Any) -> Any:
        if isinstance(content, list):
            return change(content)
        if isinstance(content, dict):
            return {key: change(inner) if isinstance(inner, list) else inner for key, inner in content.items()}
        return content

    return _content(lie)


def _status(word: str, filled: str | None = None, *, of: float | None = None) -> Lie:
    """A lie about how an order stands; `filled` replaces the filled quantity, `of` makes it that share of the order."""

    def change(row: Any) -> Any:
        if not isinstance(row, dict) or "client_order_id" not in row:
            return row
        quantity = filled if filled is not None else row.get("filled_qty")
        if of is not None:
            quantity = str(int(float(row.get("qty") or 0) * of))
        return {**row, "status": word, "filled_qty": quantity}

    return _content(lambda content: [change(r) for r in content] if isinstance(content, list) else change(content))


def _again(true: ApiResponse, told: Told) -> ApiResponse:
    """The answer of an earlier question, to this one."""
    return told.before.get(told.request.path, true)


def _of_another(true: ApiResponse, told: Told) -> ApiResponse:
    """The answer that belongs to another endpoint."""
    others = [answer for path, answer in sorted(told.before.items()) if path != told.request.path]
    return others[-1] if others else replace(true, body=b"{}")


def _each_key_lost(true: ApiResponse, told: Told) -> ApiResponse:
    """Every row without its first three keys that anything could be known by."""
    lost = {"id", "client_order_id", "symbol", "cash", "status", "timestamp", "date", "t"}

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(inner) for key, inner in value.items() if key not in lost}
        return [walk(inner) for inner in value] if isinstance(value, list) else value

    return _content(walk)(true, told)


def _swapped_sides(key: str, inner: Any) -> Any:
    return {"buy": "sell", "sell": "buy", "long": "short", "short": "long"}.get(inner, inner) if key == "side" else inner


def _deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


LIES: dict[str, Lie] = {
    # the wire
    "answer lost": _broken("drop"),
    "connection reset": _broken("reset"),
    "body cut": _broken("cut_body"),
    "request lost": _broken("lost"),
    "too late": _broken("late"),
    # statuses
    "400": _json({"code": 40010000, "message": "bad"}, 400),
    "401": _json({"message": "unauthorized."}, 401),
    "403": _json({"message": "forbidden."}, 403),
    "403 of Alpaca's own": _json(ALPACA_REFUSAL, 403),
    "404": _json({"code": 40410000, "message": "not found"}, 404),
    "404 of a proxy": _said(HTML, 404),
    "409": _json({"message": "conflict"}, 409),
    "422 duplicate id": _json(DUPLICATE_ID, 422),
    "422": _json({"code": 42210000, "message": "no"}, 422),
    "429": _json({"code": 42910000, "message": "rate limit exceeded"}, 429, retry_after="1"),
    "429 for ever": _json({"message": "slow"}, 429, retry_after="99999999999999999999", x_ratelimit_reset="9" * 30),
    "500": _said(HTML, 500),
    "502": _said(HTML, 502),
    "503": _said(b"", 503),
    "504": _said(HTML, 504),
    "302": _said(b"", 302, location="http://127.0.0.1:9/elsewhere"),
    "204": _said(b"", 204),
    "999": _said(b"{}", 599),
    # bodies
    "empty": _said(b""),
    "page of a proxy": _said(HTML),
    "null": _said(b"null"),
    "true": _said(b"true"),
    "empty list": _said(b"[]"),
    "empty object": _said(b"{}"),
    "list of nulls": _said(b"[null, null]"),
    "list of lists": _said(b"[[], [[]]]"),
    "a word": _said(b'"accepted"'),
    "a number": _said(b"7"),
    "huge number": _said(HUGE.encode()),
    "not a number": _said(b'{"cash": NaN, "qty": Infinity}'),
    "too deep": _said(_deep(100_000)),
    "torn JSON": _body(lambda body: body[: len(body) // 2]),
    "twice": _body(lambda body: body + body),
    "not UTF-8": _body(lambda body: body[:-1] + b"\xff\xfe" + body[-1:]),
    "byte order mark": _body(lambda body: b"\xef\xbb\xbf" + body),
    "padded by a megabyte": _body(lambda body: body + b" " * 1_000_000),
    # numbers
    "huge in every number": _keys(lambda key, inner: HUGE if key in (*MONEY, *PRICES, *QUANTITIES) else inner),
    "huge JSON numbers": _body(lambda body: body.replace(b'"0"', HUGE.encode()).replace(b":0,", f":{HUGE},".encode())),
    "tiny numbers": _set((*MONEY, *PRICES, *QUANTITIES), "1E-99999999999999999999"),
    "NaN in every number": _set((*MONEY, *PRICES, *QUANTITIES), "NaN"),
    "numbers are null": _set((*MONEY, *PRICES, *QUANTITIES), None),
    "numbers are empty": _set((*MONEY, *PRICES, *QUANTITIES), ""),
    "numbers are lists": _set((*MONEY, *PRICES, *QUANTITIES), ["1"]),
    "money times ten": _times(MONEY, 10),
    "money tenth": _times(MONEY, 0.1),
    "money negative": _times(MONEY, -1),
    "money zero": _set(MONEY, "0"),
    "prices times ten": _times(PRICES, 10),
    "prices tenth": _times(PRICES, 0.1),
    "prices zero": _set(PRICES, "0"),
    "quantities doubled": _times(QUANTITIES, 2),
    "quantities halved": _times(QUANTITIES, 0.5),
    "quantities zero": _set(QUANTITIES, "0"),
    "quantities negative": _times(QUANTITIES, -1),
    # words
    "lone surrogates": _body(
        lambda body: (
            body.replace(b'"status":"', b'"status":"\\ud800')
            .replace(b'"symbol":"', b'"symbol":"\\udfff')
            .replace(b'"id":"', b'"id":"\\ud83d')
        )
    ),
    "surrogate in a key": _body(lambda body: body.replace(b"{", b'{"\\ud800": 1, ', 1).replace(b", }", b"}")),
    "markup": _set(("status", "symbol", "name"), "[/x][link=file:///etc/passwd]\x1b[2J"),
    "other ids": _keys(lambda key, inner: str(uuid.UUID(int=7)) if key == "id" else inner),
    "other client ids": _keys(lambda key, inner: "somebody-else" if key == "client_order_id" else inner),
    "other symbols": _keys(lambda key, inner: "ZZZZ" if key == "symbol" else inner),
    "sides swapped": _keys(_swapped_sides),
    "instants in 1970": _set(INSTANTS, "1970-01-01T00:00:00Z"),
    "instants in 2199": _set(INSTANTS, "2199-01-01T00:00:00Z"),
    "instants in year 99999": _set(INSTANTS, "99999-01-01T00:00:00Z"),
    "instants are words": _set(INSTANTS, "soon"),
    "keys lost": _each_key_lost,
    # lists
    "first row only": _rows(lambda rows: rows[:1]),
    "last row lost": _rows(lambda rows: rows[:-1]),
    "no rows": _rows(lambda rows: []),
    "rows doubled": _rows(lambda rows: rows + rows),
    "rows reversed": _rows(lambda rows: rows[::-1]),
    "rows are one object": _content(lambda content: content[0] if isinstance(content, list) and content else content),
    "object is a list": _content(lambda content: [content] if isinstance(content, dict) else content),
    # orders
    "expired": _status("expired"),
    "expired, nothing filled": _status("expired", "0"),
    "filled": _status("filled"),
    "filled, nothing filled": _status("filled", "0"),
    "filled whole": _status("filled", of=1.0),
    "half filled and canceled": _status("canceled", of=0.5),
    "filled twice over": _status("filled", of=2.0),
    "canceled": _status("canceled"),
    "rejected": _status("rejected"),
    "replaced": _status("replaced"),
    "suspended": _status("suspended"),
    "unknown status": _status("on_the_moon"),
    "accepted again": _status("accepted", "0"),
    "partially filled": _status("partially_filled", of=0.5),
    # somebody else's
    "answer of before": _again,
    "answer of another endpoint": _of_another,
}
