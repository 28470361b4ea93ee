"""The daemon's control socket: how a person's screens ask for a halt, a re-arming or a cancellation.

One JSON line in, one JSON line back, over a Unix socket in the state folder that only its owner may open.

    {"command": "halt", "reason": "spreads look wrong", "halt_id": "", "by": "ana"}
    {"ok": true, "text": "HALTED by MANUAL ..."}

`status` answers with the facts of `appliance status` as one JSON text, and needs no reason.

Entry points: `ask` (a client), `serve` (the daemon's side), `parse_request`, `parse_answer` (pure).

Invariants
----------
1. A request is one of five commands, with a reason in words where it changes something; anything else is answered,
   recorded nowhere and not acted on. There is no command that sends an order.
2. A request is recorded with who asked before it is acted on (a halt right after), and the answer is sent after it
   was: `by` is what the client says, followed by the user id that the kernel vouches for.
3. A client that says nothing, too much, nonsense or one byte at a time costs the server one short wait, and nothing
   else. No line, and nothing that answering it runs into, ends the listening.
"""

import json
import logging
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from threading import Event

from signals.errors import FixInput, TrademlError, TryAgain
from signals.text.strict_json import BadJson, loads
from signals.text.wording import clean, reason_of

LOG = logging.getLogger(__name__)
SOCKET_NAME = "control.sock"
MAX_LINE_BYTES = 8_192
ASK_SECONDS = 120.0  # a re-arming reconciles with the broker first
HEAR_SECONDS = 5.0
POLL_SECONDS = 0.2
AGAIN_SECONDS = 1.0


class Command(StrEnum):
    """Command of the control socket."""

    HALT = "halt"
    REARM = "rearm"
    ACKNOWLEDGE = "acknowledge"
    CANCEL_ALL = "cancel-all"
    STATUS = "status"


@dataclass(frozen=True)
class ControlRequest:
    """One request; `halt_id` names the halt that a re-arming ends."""

    command: Command
    reason: str
    halt_id: str = ""
    by: str = ""


@dataclass(frozen=True)
class ControlAnswer:
    """Answer to a command, in one sentence."""

    ok: bool
    text: str


Handle = Callable[[ControlRequest], ControlAnswer]
Record = Callable[[ControlRequest], None]


class NoDaemon(TryAgain):
    """Nobody answers on the control socket; nothing was changed."""


def parse_request(line: bytes) -> ControlRequest:
    """Read one request; raise `FixInput` for anything that is none."""
    row = _object(line)
    unknown = sorted(set(row) - {"command", "reason", "halt_id", "by"})
    if unknown:
        raise FixInput(f"a request has no {', '.join(unknown)}")
    try:
        command = Command(str(row.get("command")))
    except ValueError:
        raise FixInput(f"there is no command {row.get('command')!r}", fix=f"Ask for {', '.join(Command)}") from None
    texts = {name: row.get(name, "") for name in ("reason", "halt_id", "by")}
    if not all(isinstance(text, str) for text in texts.values()):
        raise FixInput("reason, halt_id and by are text")
    request = ControlRequest(command, *(str(text) for text in texts.values()))
    if not request.reason.strip() and command is not Command.STATUS:
        raise FixInput(f"{command} needs a reason in words")
    if command is Command.REARM and not request.halt_id:
        raise FixInput("a re-arming names the halt that it ends", fix="`appliance status` shows the halt id")
    return request


def parse_answer(line: bytes) -> ControlAnswer:
    """Read one answer; raise `FixInput` for anything that is none."""
    row = _object(line)
    if not isinstance(row.get("ok"), bool) or not isinstance(row.get("text"), str):
        raise FixInput("the daemon's answer cannot be read", where=repr(line[:100]))
    return ControlAnswer(bool(row["ok"]), str(row["text"]))


def ask(path: Path, request: ControlRequest, *, seconds: float = ASK_SECONDS) -> ControlAnswer:
    """Send one request and wait for its answer.

    Raises
    ------
    NoDaemon
        Nobody listens, or nobody answers in time; then it is not known whether the request was acted on.
    """
    by_hand = {
        Command.HALT: "Run `appliance halt --reason TEXT`",
        Command.REARM: "Run `appliance rearm --halt-id ID --reason TEXT`",
        Command.ACKNOWLEDGE: "Run `appliance acknowledge`",
        Command.CANCEL_ALL: "Run `appliance halt --reason TEXT`, which cancels too",
        Command.STATUS: "Run `appliance status`",
    }[request.command]
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as client:
        client.settimeout(seconds)
        try:
            client.connect(str(path))
        except OSError as error:
            raise NoDaemon("no daemon answers; nothing was changed", where=f"{path}: {reason_of(error)}", fix=by_hand) from None
        try:
            client.sendall(json.dumps({key: clean(text) for key, text in asdict(request).items()}).encode() + b"\n")
            return parse_answer(_line(client, seconds))
        except OSError as error:
            raise NoDaemon(
                "the daemon took the request and did not answer", where=reason_of(error), fix=f"Look at `appliance status`. {by_hand}"
            ) from None


def serve(path: Path, handle: Handle, record: Record, stop: Event, hears: Callable[[str], None] = lambda trouble: None) -> None:
    """ControlAnswer requests one after the other until `stop` is set.

    Parameters
    ----------
    path : Path
        Of the socket; one that a dead daemon left behind is replaced.
    handle : callable
        Acts on a request. What it raises from the tree of known errors is the answer.
    record : callable
        Writes the audit row; called before `handle`.
    hears : callable
        Told whenever that changes why nobody can be heard; empty while somebody can.
    """
    while not stop.is_set():
        try:
            with _listening(path) as server:
                hears("")
                _attend(server, path, handle, record, stop)
        except OSError as error:
            hears(f"the control socket cannot be opened: {reason_of(error)}")
            stop.wait(AGAIN_SECONDS)


def _attend(server: socket.socket, path: Path, handle: Handle, record: Record, stop: Event) -> None:
    """ControlAnswer who comes, until `stop` is set or the socket's name is no longer this one's."""
    ours = path.stat().st_ino
    while not stop.is_set():
        try:
            client, _ = server.accept()
        except TimeoutError:
            if path.stat().st_ino != ours:
                return
            continue
        with closing(client):
            _converse(client, handle, record)


def _converse(client: socket.socket, handle: Handle, record: Record) -> None:
    try:
        request = parse_request(_line(client, HEAR_SECONDS))
        vouched = replace(request, by=f"{request.by or 'unnamed'} ({_user_of(client)})")
    except FixInput as error:
        return _say(client, ControlAnswer(False, str(error)))
    except OSError:
        return None  # the client went away before it had said anything whole
    try:
        record(vouched)
        answer = handle(vouched)
    except TrademlError as error:
        answer = ControlAnswer(False, str(error))
    except Exception as error:
        LOG.exception("a request on the control socket failed")
        answer = ControlAnswer(False, f"it could not be done: {reason_of(error)}")
    return _say(client, answer)


def _say(client: socket.socket, answer: ControlAnswer) -> None:
    try:
        client.settimeout(HEAR_SECONDS)
        client.sendall(json.dumps(asdict(answer)).encode() + b"\n")
    except OSError:
        return  # the client went away; what it asked for was done and is recorded


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    path.unlink(missing_ok=True)
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as server:
        server.bind(str(path))
        path.chmod(0o600)
        server.listen(4)
        server.settimeout(POLL_SECONDS)
        try:
            yield server
        finally:
            path.unlink(missing_ok=True)


def _line(client: socket.socket, seconds: float) -> bytes:
    """Read up to the first line feed, all of it within `seconds`.

    Raises
    ------
    FixInput
        The line has no end, or is too long.
    TimeoutError
        It did not come in time, be it that it came byte by byte.
    """
    found, until = b"", time.monotonic() + seconds
    while b"\n" not in found:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("a line did not come in time")
        client.settimeout(left)
        piece = client.recv(4_096)
        found += piece
        if not piece or len(found) > MAX_LINE_BYTES:
            raise FixInput("a request is one line of at most 8192 bytes")
    return found.split(b"\n", 1)[0]


def _user_of(client: socket.socket) -> str:
    _pid, uid, _gid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return f"uid {uid}"


def _object(line: bytes) -> dict[str, object]:
    try:
        row = loads(line)
    except BadJson:
        raise FixInput("a request is one JSON object on one line") from None
    if not isinstance(row, dict):
        raise FixInput("a request is one JSON object on one line")
    return row
