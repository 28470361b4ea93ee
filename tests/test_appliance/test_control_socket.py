"""The control socket: three requests, one line each way, recorded before they are acted on."""

from __future__ import annotations

import json
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest

from appliance.daemon import control_requests, control_socket
from appliance.daemon.control_requests import ControlActions
from appliance.daemon.control_socket import (
    MAX_LINE_BYTES,
    Command,
    ControlAnswer,
    ControlRequest,
    NoDaemon,
    ask,
    parse_answer,
    parse_request,
    serve,
)
from appliance.system.ports import Alert
from signals.errors import FixInput, LedgerUnusable, Locked, ReconBreak
from signals.schedule.child_process import ProcessExit


class Daemon:
    """Keeps what happened in order; refuses as it is told to."""

    def __init__(self, refusal: Exception | None = None) -> None:
        self.story: list[tuple[str, ControlRequest]] = []
        self.heard: list[str] = []
        self.refusal = refusal

    def record(self, request: ControlRequest) -> None:
        self.story.append(("recorded", request))

    def handle(self, request: ControlRequest) -> ControlAnswer:
        self.story.append(("done", request))
        if self.refusal:
            raise self.refusal
        return ControlAnswer(True, f"{request.command}: {request.reason}")


@contextmanager
def listening(path: Path, daemon: Daemon) -> Iterator[None]:
    stop = Event()
    thread = Thread(target=serve, args=(path, daemon.handle, daemon.record, stop, daemon.heard.append))
    thread.start()
    try:
        while not answers(path):
            time.sleep(0.005)
        yield
    finally:
        stop.set()
        thread.join(timeout=60)
        assert not thread.is_alive()


def answers(path: Path) -> bool:
    try:
        return b"ok" in sent(path, b"")
    except OSError:
        return False


def sent(path: Path, content: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        return client.recv(65_536)


def test_a_request_is_recorded_with_the_users_id_before_it_is_done(tmp_path: Path) -> None:
    daemon = Daemon()
    with listening(tmp_path / "s", daemon):
        answer = ask(tmp_path / "s", ControlRequest(Command.HALT, "spreads look wrong", by="ana"), seconds=60)
    assert answer == ControlAnswer(True, "halt: spreads look wrong")
    assert [step for step, _ in daemon.story] == ["recorded", "done"]
    assert daemon.story[0][1].by.startswith("ana (uid ")


def test_what_the_daemon_refuses_is_the_answer_in_words(tmp_path: Path) -> None:
    daemon = Daemon(ReconBreak("both books differ", fix="Look at the reconciliation"))
    with listening(tmp_path / "s", daemon):
        answer = ask(tmp_path / "s", ControlRequest(Command.REARM, "found it", "9c41d0aa"), seconds=60)
    assert answer == ControlAnswer(False, "both books differ. Look at the reconciliation")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"halt\n",
        b"[]\n",
        b'{"command": "buy", "reason": "x"}\n',
        b'{"command": "halt"}\n',
        b'{"command": "halt", "reason": "  "}\n',
        b'{"command": "rearm", "reason": "x"}\n',
        b'{"command": "halt", "reason": 7}\n',
        b'{"command": "halt", "reason": "x", "symbol": "A"}\n',
        b'{"command": "halt", "reason": "' + b"x" * MAX_LINE_BYTES + b'"}\n',
        b"\xff\xfe\n",
        b"[" * 8_000 + b"\n",
        b'{"command": "halt", "reason": "\\ud800"}\n',
        b'{"command": "halt", "reason": 1E+99999999999999999999}\n',
    ],
)
def test_nonsense_is_answered_and_never_done(tmp_path: Path, line: bytes) -> None:
    """And the next, sound request is heard as if nothing had been."""
    daemon = Daemon()
    with listening(tmp_path / "s", daemon):
        assert json.loads(sent(tmp_path / "s", line))["ok"] is False
        assert daemon.story == []
        assert ask(tmp_path / "s", ControlRequest(Command.CANCEL_ALL, "x"), seconds=60).ok


def test_nobody_listening_is_told_with_the_command_to_run(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match="appliance halt --reason") as caught:
        ask(tmp_path / "s", ControlRequest(Command.HALT, "x"))
    assert "nothing was changed" in str(caught.value)


def test_a_daemon_that_hangs_is_not_taken_for_one_that_did_nothing(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen(1)
        with pytest.raises(NoDaemon, match="took the request and did not answer"):
            ask(tmp_path / "s", ControlRequest(Command.HALT, "x"), seconds=0.1)


def test_only_the_owner_may_open_the_socket_and_a_dead_daemons_one_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "s").touch()
    stale = (tmp_path / "s").stat().st_ino
    with listening(tmp_path / "s", Daemon()):
        ask(tmp_path / "s", ControlRequest(Command.HALT, "x"), seconds=60)
        found = (tmp_path / "s").stat()
        assert stat.S_IMODE(found.st_mode) == 0o600 and stat.S_ISSOCK(found.st_mode) and stale
    assert not (tmp_path / "s").exists()


def test_requests_and_answers_are_read_back_as_written() -> None:
    line = json.dumps({"command": "rearm", "reason": "over", "halt_id": "ab", "by": "ana"}).encode()
    assert parse_request(line) == ControlRequest(Command.REARM, "over", "ab", "ana")
    assert parse_answer(b'{"ok": false, "text": "no"}') == ControlAnswer(False, "no")
    with pytest.raises(FixInput):
        parse_answer(b'{"ok": "yes", "text": "no"}')


@pytest.mark.parametrize("error", [RuntimeError("a fault"), OSError(28, "No space left on device"), RecursionError()])
def test_what_a_request_runs_into_is_its_answer_and_the_next_is_heard(tmp_path: Path, error: Exception) -> None:
    daemon = Daemon(error)
    with listening(tmp_path / "s", daemon):
        answer = ask(tmp_path / "s", ControlRequest(Command.CANCEL_ALL, "x"), seconds=60)
        assert not answer.ok and "could not be done" in answer.text
        daemon.refusal = None
        assert ask(tmp_path / "s", ControlRequest(Command.HALT, "x"), seconds=60).ok


def test_a_client_that_drips_is_dropped_at_the_one_deadline_of_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes well within the deadline, and the whole line never does."""
    monkeypatch.setattr(control_socket, "HEAR_SECONDS", 1.0)
    with listening(tmp_path / "s", Daemon()), socket.socket(socket.AF_UNIX) as dripping:
        dripping.connect(str(tmp_path / "s"))
        dropped = Event()

        def drip() -> None:
            try:
                while not dropped.wait(0.05):
                    dripping.sendall(b" ")
            except OSError:
                dropped.set()

        thread = Thread(target=drip)
        thread.start()
        assert ask(tmp_path / "s", ControlRequest(Command.HALT, "stop"), seconds=60).ok
        thread.join(timeout=60)
        assert dropped.is_set(), "it went on dripping"


def test_a_reason_in_another_encoding_is_sent_spelled_out(tmp_path: Path) -> None:
    """As a shell hands it over that speaks Latin-1."""
    daemon = Daemon()
    with listening(tmp_path / "s", daemon):
        assert ask(tmp_path / "s", ControlRequest(Command.HALT, "arr\udceat"), seconds=60) == ControlAnswer(True, "halt: arr\\udceat")


def test_a_socket_whose_name_is_taken_away_is_opened_anew(tmp_path: Path) -> None:
    with listening(tmp_path / "s", daemon := Daemon()):
        (tmp_path / "s").unlink()
        until = time.monotonic() + 60
        while not answers(tmp_path / "s"):
            assert time.monotonic() < until, "nobody listens any more"
            time.sleep(0.05)
        assert ask(tmp_path / "s", ControlRequest(Command.HALT, "x"), seconds=60).ok
    assert daemon.heard[0] == daemon.heard[-1] == "", "it hears again"


def test_a_socket_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    stop, heard = Event(), list[str]()

    def hears(trouble: str) -> None:
        heard.append(trouble)
        stop.set()

    daemon = Daemon()
    serve(tmp_path / "no folder" / "s", daemon.handle, daemon.record, stop, hears)
    assert heard == ["the control socket cannot be opened: No such file or directory"]


@pytest.mark.parametrize("error", [LedgerUnusable("the ledger is corrupt"), Locked("it is written to")])
def test_a_halt_closes_the_latch_before_anything_is_recorded(error: Exception) -> None:
    """And it waits for no ledger; every other request is refused where it cannot be recorded."""
    story: list[str] = []

    def record(alert: Alert) -> None:
        story.append("record")
        raise error

    def run(command: Sequence[str], seconds: float) -> ProcessExit:
        story.append(command[0])
        return ProcessExit(0, 0.1, 1, "")

    desk = ControlActions(lambda name, reason: story.append(name), run, record, dict, lambda: datetime(2024, 3, 12, tzinfo=UTC))
    request = ControlRequest(Command.HALT, "stop", by="ana")
    control_requests.record(request, desk)
    assert control_requests.answer(request, desk).ok
    assert story == ["MANUAL", "record", "attend"]
    with pytest.raises(type(error)):
        control_requests.record(ControlRequest(Command.CANCEL_ALL, "stop"), desk)
