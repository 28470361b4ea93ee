"""What the service manager hears: READY once, signs of life only while the daemon lives (D7, F58)."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from appliance.daemon import systemd
from appliance.daemon.systemd import Liveness, ServiceManager


def test_a_look_that_hangs_or_a_ledger_that_is_silent_is_no_life() -> None:
    found = Liveness(100.0)
    assert found.is_alive(130.0) and not found.is_alive(130.1)
    found.looked(125.0)
    assert not found.is_alive(130.1)  # it looks, and the ledger does not answer
    found.answered(125.0)
    assert found.is_alive(155.0) and not found.is_alive(155.1)


def test_a_thread_that_hangs_starves_the_watchdog_and_one_that_goes_on_does_not(tmp_path: Path) -> None:
    """The feeding is another thread's: it goes on asking, and stops feeding when nothing answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(0.2)
        told = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "300000"})
        assert told.watchdog_seconds == 0.3 and told.feed_every == pytest.approx(0.1)
        life, clock, hang = Liveness(0.0), [0.0], threading.Event()

        def look() -> None:
            hang.wait(120)
            life.looked(clock[0])
            life.answered(clock[0])

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        heard = []
        for clock[0] in (10.0, 29.0, 31.0, 60.0):
            if life.is_alive(clock[0]):
                told.alive()
                heard.append(manager.recv(100))
        assert heard == [b"WATCHDOG=1"] * 2
        hang.set()
        thread.join(60)
        assert life.is_alive(clock[0])


def test_what_is_said_is_one_datagram_each(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        told = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        told.ready()
        told.status("waits for\nthe clock")
        told.stopping()
        assert [manager.recv(100) for _ in range(3)] == [b"READY=1", b"STATUS=waits for the clock", b"STOPPING=1"]


def test_without_a_manager_or_with_one_that_is_gone_nothing_happens(tmp_path: Path) -> None:
    ServiceManager({}).ready()
    gone = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    gone.alive()
    assert gone.feed_every == 5.0 and gone.watchdog_seconds is None


def test_a_manager_that_does_not_read_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is sent more than the kernel keeps for one that does not read."""
    monkeypatch.setattr(systemd, "SEND_SECONDS", 0.01)
    kept = int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        told = ServiceManager({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(kept + 20):
            told.alive()
