"""Fault injection on request: rules that match requests and spoil their answers.

A row lets the first `skip` matching requests pass, then strikes `times` times. What struck is recorded, so that a test
can prove that its fault really occurred. The script lives in memory only: a restart clears it.

| kind            | the request is carried out | what the client sees                                                |
|-----------------|----------------------------|---------------------------------------------------------------------|
| delay           | yes                        | the answer after `seconds`                                          |
| drop            | if `accepted`              | the connection closed without an answer                             |
| reset           | if `accepted`              | a TCP reset                                                         |
| status          | if `accepted`              | `status` with `headers`; an HTML page from 500 on, else a JSON body |
| truncated_json  | yes                        | a whole HTTP answer whose JSON stops half-way                       |
| cut_body        | yes                        | the connection closed half-way through the body                     |
| empty           | yes                        | 200 without a body                                                  |
| redirect        | if `accepted`              | 302 to another place                                                |
| edit            | yes                        | the JSON with the keys of `set` replaced: unknown words, other ids  |
| duplicate       | yes                        | the answer twice on the wire                                        |
| nanoseconds     | yes                        | instants with nine digits                                           |
| clock_skew      | yes                        | every instant shifted by `seconds`                                  |
| stream_drop     | -                          | the update stream closed instead of the event                       |
| stream_swap     | -                          | the event sent after the one that follows it                        |
| stream_twice    | -                          | the event sent twice                                                |
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from execution.exchange.protocol.message import ApiRequest, ApiResponse, answer
from signals.config import Config
from signals.text.wording import reason_of

PATH_MAX = 1000
SECONDS_MAX = 10.0 * 366 * 86_400  # instants of the data stay within the years that can be written
BODILESS = frozenset({204, 205, 304})  # statuses whose answers have no body
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$", max_length=100)]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[!-~]([ -~]*[!-~])?$", max_length=1000)]
HTML = {"content-type": "text/html"}
INSTANT = re.compile(r'"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d))"')


class FaultKind(StrEnum):
    """Kind of injected fault."""

    DELAY = "delay"
    DROP = "drop"
    RESET = "reset"
    STATUS = "status"
    TRUNCATED_JSON = "truncated_json"
    CUT_BODY = "cut_body"
    EMPTY = "empty"
    REDIRECT = "redirect"
    EDIT = "edit"
    DUPLICATE = "duplicate"
    NANOSECONDS = "nanoseconds"
    CLOCK_SKEW = "clock_skew"
    STREAM_DROP = "stream_drop"
    STREAM_SWAP = "stream_swap"
    STREAM_TWICE = "stream_twice"


class Fault(Config):
    """One row of the script.

    Attributes
    ----------
    method : str
        HTTP method, empty for any; ignored by stream faults.
    path : str
        Regular expression that the whole path matches; for stream faults, the event's name.
    accepted : bool
        Whether a request whose answer is lost was carried out.
    """

    kind: FaultKind
    method: str = ""
    path: str = Field(default=".*", max_length=PATH_MAX)
    skip: int = Field(default=0, ge=0)
    times: int = Field(default=1, ge=1)
    accepted: bool = True
    seconds: float = Field(default=0.0, allow_inf_nan=False, ge=-SECONDS_MAX, le=SECONDS_MAX)
    status: int = Field(default=500, ge=200, le=599)
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    set: dict[str, object] = Field(default_factory=dict)

    @field_validator("path")
    @classmethod
    def _is_expression(cls, path: str) -> str:
        try:
            re.compile(path)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {reason_of(error)}") from None
        return path

    @property
    def words(self) -> str:
        """The fault in the request log: its kind, and that the request was not carried out where it was not."""
        carried_out = self.accepted or self.kind not in LOSSES
        return self.kind.value if carried_out else f"{self.kind.value}, not carried out"


@dataclass(frozen=True)
class Strike:
    """One fault that occurred."""

    row: int
    kind: FaultKind
    method: str
    path: str


class FaultScript:
    """The rows that are armed, how often each has matched, and what struck."""

    def __init__(self) -> None:
        self.rows: list[Fault] = []
        self.strikes: list[Strike] = []
        self._matched: list[int] = []

    def arm(self, rows: list[Fault]) -> None:
        """Add rows at the end of the script."""
        self.rows.extend(rows)
        self._matched.extend(0 for _ in rows)

    def clear(self) -> None:
        """Forget all rows and what struck."""
        self.rows, self._matched, self.strikes = [], [], []

    def pick(self, method: str, path: str, *, stream: bool = False) -> Fault | None:
        """Return the first row that strikes this request, and count every row that matches it."""
        struck: int | None = None
        for position, row in enumerate(self.rows):
            if row.kind.value.startswith("stream") is not stream or row.method not in ("", method) or not re.fullmatch(row.path, path):
                continue
            self._matched[position] += 1
            if struck is None and row.skip < self._matched[position] <= row.skip + row.times:
                struck = position
        if struck is None:
            return None
        self.strikes.append(Strike(struck, self.rows[struck].kind, method, path))
        return self.rows[struck]


def struck(fault: Fault, request: ApiRequest, carry_out: Callable[[ApiRequest], ApiResponse]) -> ApiResponse:
    """Return the answer that the client sees; `carry_out` is called at most once."""
    if fault.kind in LOSSES:
        true = carry_out(request) if fault.accepted else answer({})
        return LOSSES[fault.kind](fault, true)
    return DISTORTIONS[fault.kind](fault, carry_out(request))


def _page(status: int) -> bytes:
    return f"<html><head><title>{status}</title></head><body><center>nginx</center></body></html>".encode()


def _status(fault: Fault, true: ApiResponse) -> ApiResponse:
    if fault.status in BODILESS:
        return ApiResponse(fault.status, b"", fault.headers)
    if fault.status >= 500:
        return ApiResponse(fault.status, _page(fault.status), HTML | fault.headers)
    return answer(fault.set or {"code": fault.status * 100_000, "message": "fault"}, fault.status, fault.headers)


def _edit(fault: Fault, true: ApiResponse) -> ApiResponse:
    content = json.loads(true.body or b"{}")
    rows = content if isinstance(content, list) else [content]
    for row in rows:
        if isinstance(row, dict):
            row.update(fault.set)
    return replace(true, body=json.dumps(content).encode())


def _rewrite_instants(true: ApiResponse, change: Callable[[datetime], str]) -> ApiResponse:
    def changed(found: re.Match[str]) -> str:
        try:
            return f'"{change(datetime.fromisoformat(found[1]))}"'
        except (ValueError, OverflowError):  # a text of the client that only looks like an instant
            return found[0]

    text = INSTANT.sub(changed, true.body.decode())
    return replace(true, body=text.encode())


def _nanoseconds(fault: Fault, true: ApiResponse) -> ApiResponse:
    def nine_digits(at: datetime) -> str:
        zone = at.strftime("%z")
        return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond:06d}789" + (f"{zone[:3]}:{zone[3:]}" if zone != "+0000" else "Z")

    return _rewrite_instants(true, nine_digits)


def _clock_skew(fault: Fault, true: ApiResponse) -> ApiResponse:
    return _rewrite_instants(true, lambda at: (at + timedelta(seconds=fault.seconds)).isoformat().replace("+00:00", "Z"))


Distortion = Callable[[Fault, ApiResponse], ApiResponse]
LOSSES: dict[FaultKind, Distortion] = {
    FaultKind.DROP: lambda fault, true: replace(true, breakage=FaultKind.DROP.value),
    FaultKind.RESET: lambda fault, true: replace(true, breakage=FaultKind.RESET.value),
    FaultKind.STATUS: _status,
    FaultKind.REDIRECT: lambda fault, true: ApiResponse(302, b"", {"location": "http://127.0.0.1:9/elsewhere", "content-length": "0"}),
}
DISTORTIONS: dict[FaultKind, Distortion] = {
    FaultKind.DELAY: lambda fault, true: replace(true, delay_seconds=max(0.0, fault.seconds)),
    FaultKind.TRUNCATED_JSON: lambda fault, true: replace(true, body=true.body[: len(true.body) // 2]),
    FaultKind.CUT_BODY: lambda fault, true: replace(true, breakage=FaultKind.CUT_BODY.value),
    FaultKind.EMPTY: lambda fault, true: replace(true, status=200, body=b""),
    FaultKind.EDIT: _edit,
    FaultKind.DUPLICATE: lambda fault, true: replace(true, breakage=FaultKind.DUPLICATE.value),
    FaultKind.NANOSECONDS: _nanoseconds,
    FaultKind.CLOCK_SKEW: _clock_skew,
}
