"""`python -m appliance.daemon`: the device as one long-lived process; wired here only."""

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Annotated

import structlog
import typer

from appliance.daemon import control_requests, log
from appliance.daemon.attempts import Pace
from appliance.daemon.clock_guard import ClockCheck
from appliance.daemon.control_requests import ControlActions
from appliance.daemon.control_socket import SOCKET_NAME, serve
from appliance.daemon.supervisor import MANUAL, SMALL, DaemonParts, Supervisor
from appliance.daemon.systemd import ServiceManager
from appliance.options import DEFAULT_STATE, Credentials, State
from appliance.system.clock import SystemClock
from appliance.system.state_folder import StateFolder, only_daemon
from appliance.system.time_sync import Instants, between, instants
from signals.errors import LedgerUnusable, Locked
from signals.schedule.child_process import TRY_AGAIN, ChildProcess, ProcessExit, ProcessLimits
from signals.schedule.wake_ups import WakeUps
from signals.text.console import run
from signals.text.documents import to_json

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
END_SECONDS = 25.0
STEP_SECONDS = 0.25
BACKWARDS_SECONDS = 1.0
LOCK_ATTEMPTS, LOCK_SECONDS = 3, 0.1  # `status` holds the lock for an instant to see whether it is free

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
Runtime = Annotated[
    Path | None,
    typer.Option(
        "--runtime",
        envvar=["TRADEML_RUNTIME", "RUNTIME_DIRECTORY"],
        help="Folder of health.json and metrics.prom; default: the state folder. systemd sets it to /run/appliance.",
        show_default=False,
    ),
]


@app.command()
def daemon(
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    runtime: Runtime = None,
    look_every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.05, max=30.0)] = Pace.look,
    retry_after: Annotated[float, typer.Option(help="Seconds before a job is tried again.", min=0.1)] = Pace.retry,
) -> None:
    """Be the device: start every job at its hour, watch over it and publish how it is, until stopped.

    SIGTERM and SIGINT end it and leave an armed device armed; SIGUSR1, a file HALT in the state folder and
    `appliance halt` close the latch and cancel every order. A second daemon on one state folder ends at once (exit 5).
    """
    folder = StateFolder(state.resolve())
    folder.require()
    logger = log.configure(sys.stdout)
    pace = Pace(look=look_every, retry=retry_after, publish=min(60.0, 12 * look_every))
    clock, wake_ups = SystemClock(), WakeUps(pace.look)
    for left in reversed(range(LOCK_ATTEMPTS)):
        try:
            with only_daemon(folder):
                parts = DaemonParts(os.environ, folder.key_folder(credentials), clock, ClockCheck(clock), wake_ups, pace, logger)
                supervisor = Supervisor(folder, (runtime or folder.root).resolve(), parts)
                Process(supervisor, wake_ups, folder, os.environ, pace, logger).run()
                return
        except Locked:
            if not left:
                raise
            clock.sleep(LOCK_SECONDS)


class Process:
    """The threads and signals around one `Supervisor`: wake-ups look, the control socket answers, this one feeds the watchdog.

    Parameters
    ----------
    environment : mapping of str to str
        Names systemd's socket; of every child.
    logger : structlog logger
    """

    def __init__(
        self,
        supervisor: Supervisor,
        wake_ups: WakeUps,
        folder: StateFolder,
        environment: Mapping[str, str],
        pace: Pace,
        logger: structlog.stdlib.BoundLogger,
    ) -> None:
        self._supervisor, self._folder, self._pace, self._log = supervisor, folder, pace, logger
        self._environment, self._manager = environment, ServiceManager(environment)
        self._clock, self._stop, self._is_stopping = SystemClock(), Event(), False
        self._wake_ups = wake_ups

    def run(self) -> None:
        """Live until stopped, then end what is at work as a reboot would."""
        boot, pid = _boot(), os.getpid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_stop_signal)
        signal.signal(signal.SIGUSR1, self._on_halt_signal)
        self._log.info("begins", pid=pid, state=str(self._folder.root))
        self._write_note(lambda: self._supervisor.note_start(boot, pid))
        self._wake_ups.start(self._supervisor.look)
        listener = Thread(target=self._listen, daemon=True)
        listener.start()
        try:
            self._feed()
        finally:
            self._manager.stopping()
            self._stop.set()
            self._wake_ups.stop()
            self._end_work()
            listener.join(2 * STEP_SECONDS)  # it takes the socket's name away; a request at work goes on without it
            self._write_note(lambda: self._supervisor.note_end(boot, pid))
            self._supervisor.close()
            self._log.info("ended")

    def _write_note(self, note: Callable[[], None]) -> None:
        """Record that this process begins or ends; the looks find out what is wrong with the ledger."""
        try:
            note()
        except LedgerUnusable as error:
            self._log.error("it cannot be recorded", words=str(error))

    def _feed(self) -> None:
        """Feed the watchdog while the daemon lives, and watch what happens to time."""
        is_ready, said, seen = False, "", instants()
        fed = float("-inf")
        while not self._is_stopping:
            self._clock.sleep(STEP_SECONDS)  # not the event's own wait: a signal must not meet its lock
            mono_s = self._clock.monotonic()
            if mono_s - fed < min(self._manager.feed_every, max(self._pace.look, STEP_SECONDS)):
                continue
            fed = mono_s
            seen = self._watch_time(seen)
            if self._supervisor.is_ready and not is_ready:
                self._manager.ready()
                is_ready = True
            text = "; ".join(self._supervisor.waits_for) or self._supervisor.working_on or "waits for the next job"
            if text != said:
                self._manager.status(text)
                said = text
            if self._supervisor.liveness.is_alive(mono_s):
                self._manager.alive()

    def _watch_time(self, seen: Instants) -> Instants:
        now = instants()
        jump = between(seen, now)
        self._supervisor.clock_guard.add_jump(jump)
        if jump.set_by < -BACKWARDS_SECONDS:  # looks wait by the wall clock: they would sleep through the gap
            self._wake_ups.restart_looks()
        return now

    def _listen(self) -> None:
        actions = ControlActions(
            self._supervisor.close_latch, self._run_command, self._supervisor.announcer.record, self._look_now, self._clock.now
        )
        serve(
            self._folder.root / SOCKET_NAME,
            lambda asked: control_requests.answer(asked, actions),
            lambda asked: control_requests.record(asked, actions),
            self._stop,
            self._set_socket_trouble,
        )

    def _set_socket_trouble(self, trouble: str) -> None:
        if trouble and trouble != self._supervisor.socket_trouble:
            self._log.error("trouble", words=trouble)
        self._supervisor.socket_trouble = trouble

    def _look_now(self) -> dict[str, object]:
        facts = to_json(self._supervisor.vitals())
        named = ("verdict", "reasons", "latch", "halt_id", "session", "jobs", "scheduled", "waits_for", "last_job")
        return {name: facts[name] for name in named}

    def _run_command(self, arguments: Sequence[str], seconds: float) -> ProcessExit:
        """Run one command to its end, again while a job holds the lock."""
        until = self._clock.monotonic() + seconds
        while True:
            ended = self._run_once(arguments, until)
            if ended.code != TRY_AGAIN or self._clock.monotonic() >= until:
                return ended
            self._clock.sleep(0.5)

    def _run_once(self, arguments: Sequence[str], until: float) -> ProcessExit:
        mono_s = self._clock.monotonic()
        limits = ProcessLimits(max(1.0, until - mono_s), SMALL.megabytes)
        child = ChildProcess(self._supervisor.command(arguments), limits, self._environment, mono_s)
        while True:
            ended = child.poll(self._clock.monotonic())
            if ended is not None:
                return ended
            self._clock.sleep(0.05)

    def _end_work(self) -> None:
        until = self._clock.monotonic() + END_SECONDS
        while self._supervisor.interrupt() and self._clock.monotonic() < until:
            self._clock.sleep(0.1)

    def _on_stop_signal(self, number: int, _frame: FrameType | None) -> None:
        self._is_stopping = True

    def _on_halt_signal(self, number: int, _frame: FrameType | None) -> None:
        # a lock may be held by the thread that the signal interrupts: what follows is another thread's work
        self._supervisor.close_latch_only()
        Thread(target=self._supervisor.close_latch, args=(MANUAL, f"signal {signal.Signals(number).name}")).start()


def _boot() -> str:
    """Name the machine's current boot; where systemd hides its id, by the minute in which it began."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        now = instants()
        return f"minute {round((now.wall - now.boottime) / 60)}"


if __name__ == "__main__":
    run(app)
