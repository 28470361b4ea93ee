"""The web application of an API: gate, token, files of a page, operations with a deadline.

Invariants
----------
1. No operation is run for a request that the gate has not let pass or that lacks the token. The files of the page and
   the API's document say nothing of a device and need none.
2. Nothing here changes anything: an operation reads, or computes from what was posted.
3. Of each lane one operation runs at a time, few wait, and a request that waits longer than the deadline is refused. A body is
   read up to its limit.
4. A fault is answered by 500 in one sentence; its trace goes to the log.
"""

import asyncio
import json
import logging
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from signals.errors import FixInput, ScoresInvalid, TrademlError
from signals.serving.connections import PATIENCE_SECONDS, BodyTooLarge, read_body
from signals.serving.gate import OWN_HOSTS, foreign, is_token, values_of
from signals.serving.operations import Call, NotFound, Operation, openapi
from signals.text.strict_json import BadJson
from signals.text.wording import clean

DOCUMENT = "/openapi.json"
BODY_MOST_BYTES = 8 * 2**20
DEADLINE_SECONDS = 30.0
WAITING_MOST = 16
HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self';"
        " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
LOG = logging.getLogger("uvicorn.error")


@dataclass(frozen=True)
class PageFile:
    """One file of the page: its media type and content."""

    media_type: str
    content: bytes


@dataclass(frozen=True)
class Api:
    """Title, version, operations and files of a served API.

    Attributes
    ----------
    files : mapping of path to PageFile
    hosts : collection of str
        Names under which it may be asked for.
    deadline_seconds : float
        Between a whole request and its answer.
    body_most : int
        Bytes of a body that are read.
    """

    title: str
    version: str
    operations: Sequence[Operation]
    token: str
    files: Mapping[str, PageFile] = field(default_factory=dict)
    hosts: Collection[str] = OWN_HOSTS
    deadline_seconds: float = DEADLINE_SECONDS
    body_most: int = BODY_MOST_BYTES


class Answered(Exception):
    """A request that no operation answers; not of the product's error tree: it is an answer."""

    def __init__(self, status: int, what: str, fix: str = "", **headers: str) -> None:
        super().__init__(what)
        self.status, self.what, self.fix, self.headers = status, what, fix, headers


def application(api: Api, patience: float = PATIENCE_SECONDS) -> ASGIApp:
    """Return the ASGI application; `patience` is how many seconds a body may take."""
    lanes = {one.lane: Lane() for one in api.operations}
    document = json.dumps(openapi(api.title, api.version, api.operations)).encode()
    files = {**api.files, DOCUMENT: PageFile("application/json", document)}

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(lanes, receive, send)
            return
        if scope["type"] != "http":
            return
        http = Request(scope, receive)
        try:
            response = await _answer(api, files, lanes, http, patience)
        except Answered as refused:
            response = _error(refused.status, refused.what, "", refused.fix, refused.headers)
        await response(scope, receive, send)

    return serve


class Lane:
    """One thread, and how many wait for it."""

    def __init__(self) -> None:
        self.thread = ThreadPoolExecutor(max_workers=1)
        self.waiting = 0

    async def run(self, one: Operation, call: Call, deadline: float) -> object:
        """Run an operation here; raise `Answered` where too many wait, or it is not done in time."""
        if self.waiting >= WAITING_MOST:
            raise Answered(503, "too many requests wait", "Ask again in a moment", **{"retry-after": "1"})
        self.waiting += 1
        asked = asyncio.get_running_loop().run_in_executor(self.thread, one.run, call)
        asked.add_done_callback(self._done)
        try:
            return await asyncio.wait_for(asyncio.shield(asked), deadline)
        except TimeoutError:
            raise Answered(504, f"not answered within {deadline:g} s", "Ask for less, or again later") from None

    def _done(self, asked: asyncio.Future[object]) -> None:
        self.waiting -= 1
        if not asked.cancelled():
            asked.exception()  # the client may have gone


async def _live(lanes: Mapping[str, Lane], receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.shutdown":
            for lane in lanes.values():
                lane.thread.shutdown(wait=False, cancel_futures=True)
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(api: Api, files: Mapping[str, PageFile], lanes: Mapping[str, Lane], http: Request, patience: float) -> Response:
    raw, path = http.scope["headers"], http.scope["path"]
    if (why := foreign(raw, api.hosts)) is not None:
        raise Answered(403, why.value)
    if path in files:
        if http.method not in ("GET", "HEAD"):
            raise Answered(405, "only to be read", allow="GET, HEAD")
        return Response(files[path].content, media_type=files[path].media_type, headers=HEADERS)
    found = [(one, named) for one in api.operations if (named := one.match(path)) is not None]
    if not found:
        raise Answered(404, "there is nothing under this path", f"{DOCUMENT} lists what there is")
    chosen = next(((one, named) for one, named in found if one.method == http.method), None)
    if chosen is None:
        raise Answered(405, f"{clean(http.method)[:20]} is not possible here", allow=", ".join(one.method for one, _ in found))
    if not is_token(values_of(raw, "authorization"), f"Bearer {api.token}"):
        raise Answered(
            401, "the token is missing or wrong", "Send the header Authorization: Bearer TOKEN", **{"www-authenticate": "Bearer"}
        )
    one, named = chosen
    return await _run(one, named, api, lanes[one.lane], http, patience)


async def _run(one: Operation, named: Mapping[str, str], api: Api, lane: Lane, http: Request, patience: float) -> Response:
    try:
        query = parse_qsl(http.scope["query_string"].decode("latin-1"), keep_blank_values=True, errors="strict", max_num_fields=20)
    except ValueError as error:
        return _error(422, f"the query cannot be read: {clean(error)[:120]}", "", "Encode it as UTF-8, few parameters")
    try:
        call = Call(one.read(named, query), await _body(one, api, http, patience))
        found = await lane.run(one, call, api.deadline_seconds)
        content = found if isinstance(found, bytes) else json.dumps(found, allow_nan=False).encode()
    except BadJson as error:
        return _error(400, f"the body is not JSON: {clean(error)[:120]}", "", "Send one JSON document")
    except NotFound as error:
        return _error(404, error.what, error.where, error.fix)
    except (FixInput, ScoresInvalid) as error:
        return _error(422, error.what, error.where, error.fix)
    except TrademlError as error:
        LOG.warning("%s %s: %s", one.method, one.path, clean(error))
        is_fault = error.exit_code == 70
        return _error(500 if is_fault else 503, error.what, "" if is_fault else error.where, error.fix)
    except Answered:
        raise
    except Exception:  # the outermost frame of a request: what nobody expected ends here, and the server goes on
        LOG.exception("%s %s", one.method, one.path)
        return _error(500, "the request met a fault of this program", "", "Report it with the lines of the log")
    return Response(content, media_type="application/json", headers=HEADERS)


async def _body(one: Operation, api: Api, http: Request, patience: float) -> bytes:
    if one.body is None:
        return b""
    kind = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Answered(415, "the body is not application/json", "Send the header Content-Type: application/json", connection="close")
    try:
        return await asyncio.wait_for(read_body(http, api.body_most), patience)
    except BodyTooLarge:
        raise Answered(413, f"the body is larger than {api.body_most} bytes", "Send less at a time", connection="close") from None
    except TimeoutError:
        raise Answered(408, f"the body did not arrive within {patience:g} s", "Send it at once", connection="close") from None


def _error(status: int, what: str, where: str, fix: str, headers: Mapping[str, str] | None = None) -> Response:
    content = json.dumps({"what": clean(what), "where": clean(where), "fix": clean(fix)}).encode()
    return Response(content, status, media_type="application/json", headers={**HEADERS, **(headers or {})})
