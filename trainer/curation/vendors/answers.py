"""Rows of what vendors' interfaces answer, kept as JSON: one list of bars, lists by symbol, or one bar a line."""

from collections.abc import Iterator

from signals.errors import BadBars
from signals.text.strict_json import BadJson, Json, JsonObject, loads
from signals.text.wording import reason_of

SAYS_SYMBOL = ("symbol", "ticker")
LISTS = frozenset({"bars", "results", "data", "historical", "prices", "values", "quotes"})  # keys that hold bars; another one is a symbol


def answered(content: bytes, *, where: str) -> list[JsonObject]:
    """Return one row a bar, with the symbol that is above it; raise `BadBars` for what is no JSON."""
    lines = content.lstrip(b"\xef\xbb\xbf \t\r\n").splitlines()
    is_by_line = len(lines) > 1 and all(line.startswith(b"{") and line.rstrip().endswith(b"}") for line in lines[:2])
    try:
        documents = [loads(line, decimals=float) for line in (lines if is_by_line else [b"\n".join(lines)]) if line.strip()]
    except BadJson as error:
        raise BadBars(f"not readable JSON ({reason_of(error)})", where=where, fix="Fetch the file again; it may be cut off") from None
    return [row for document in documents for row in _bars(document, "")]


def _bars(value: Json, symbol: str) -> Iterator[JsonObject]:
    """Walk an answer: Alpaca's `{bars: {AAPL: [..]}}`, Polygon's `{ticker, results: [..]}`, Tiingo's `[..]`."""
    if isinstance(value, list):
        for one in value:
            yield from _bars(one, symbol)
    elif isinstance(value, dict):
        nested = {key: inner for key, inner in value.items() if isinstance(inner, list | dict) and inner}
        symbol = next((text for key in SAYS_SYMBOL if isinstance(text := value.get(key), str)), symbol)
        for key, inner in nested.items():
            yield from _bars(inner, symbol if key in LISTS else key)
        if not nested:
            named: JsonObject = (
                {"symbol": value["T"]} if {"T", "t"} <= value.keys() else {"symbol": symbol} if symbol else {}
            )  # Polygon's day of all
            yield {key: one for key, one in value.items() if not (key == "T" and "t" in value) and key not in SAYS_SYMBOL} | named
