"""`python -m appliance.daemon`: the device as one long-lived process; wired here only."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Annotated

import structlog
import typer
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from appliance.daemon import conversation, log
from appliance.daemon.children import Child, Ended, Limits
from appliance.daemon.control_socket import SOCKET_NAME, serve
from appliance.daemon.conversation import Desk
from appliance.daemon.gate import Gate
from appliance.daemon.life import MANUAL, SMALL, TRY_AGAIN, Daemon
from appliance.daemon.pace import Pace
from appliance.daemon.systemd import ServiceManager
from appliance.options import DEFAULT_STATE, Credentials, State
from appliance.system.clock import SystemClock
from appliance.system.state_folder import StateFolder, only_daemon
from appliance.system.time_sync import Instants, between, instants
from signals.errors import LedgerUnusable, Locked
from signals.text.console import run

LOOK = "look"
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
        envvar="RUNTIME_DIRECTORY",
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
    """Be the device: start every job at its hour, watch over it and tell how it is, until told to stop.

    SIGTERM and SIGINT end it and leave an armed device armed; SIGUSR1, a file HALT in the state folder and
    `appliance halt` close the latch and cancel every order. A second daemon on one state folder ends at once (exit 5).
    """
    folder = StateFolder(state.resolve())
    folder.require()
    logger = log.configure(sys.stdout)
    pace = Pace(look=look_every, retry=retry_after, publish=min(60.0, 12 * look_every))
    clock = SystemClock()
    for left in reversed(range(LOCK_ATTEMPTS)):
        try:
            with only_daemon(folder):
                life = Daemon(
                    folder,
                    (runtime or folder.root).resolve(),
                    environment=os.environ,
                    credentials=credentials,
                    real=clock,
                    gate=Gate(clock),
                    pace=pace,
                    log=logger,
                )
                Process(life, folder, os.environ, pace, logger).run()
                return
        except Locked:
            if not left:
                raise
            clock.sleep(LOCK_SECONDS)


class Process:
    """The threads and signals around one `Daemon`: the scheduler looks, the control socket answers, this one feeds.

    Parameters
    ----------
    life : Daemon
    folder : StateFolder
    environment : mapping of str to str
        Names systemd's socket; of every child.
    pace : Pace
    logger : structlog logger
    """

    def __init__(
        self, life: Daemon, folder: StateFolder, environment: Mapping[str, str], pace: Pace, logger: structlog.stdlib.BoundLogger
    ) -> None:
        self._life, self._folder, self._pace, self._log = life, folder, pace, logger
        self._environment, self._manager = environment, ServiceManager(environment)
        self._clock, self._stop, self._is_told_to_stop = SystemClock(), Event(), False
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            executors={"default": ThreadPoolExecutor(1)},
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )

    def run(self) -> None:
        """Live until told to stop, then end what is at work as a reboot would."""
        boot, pid = _boot(), os.getpid()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._told_to_stop)
        signal.signal(signal.SIGUSR1, self._told_to_halt)
        self._log.info("begins", pid=pid, state=str(self._folder.root))
        self._noted(lambda: self._life.note_start(boot, pid))
        self._scheduler.add_job(self._life.look, IntervalTrigger(seconds=self._pace.look), id=LOOK)
        self._scheduler.start()
        listener = Thread(target=self._listen, daemon=True)
        listener.start()
        try:
            self._feed()
        finally:
            self._manager.stopping()
            self._stop.set()
            self._scheduler.shutdown(wait=False)
            self._end_work()
            listener.join(2 * STEP_SECONDS)  # it takes the socket's name away; a request at work goes on without it
            self._noted(lambda: self._life.note_end(boot, pid))
            self._life.close()
            self._log.info("ended")

    def _noted(self, note: Callable[[], None]) -> None:
        """Write into the ledger that this process begins or ends; the looks find out what is wrong with it."""
        try:
            note()
        except LedgerUnusable as error:
            self._log.error("it cannot be recorded", words=str(error))

    def _feed(self) -> None:
        """Feed the watchdog while the daemon lives, and watch what happens to time."""
        is_ready, said, seen = False, "", instants()
        fed = float("-inf")
        while not self._is_told_to_stop:
            self._clock.sleep(STEP_SECONDS)  # not the event's own wait: a signal must not meet its lock
            now = self._clock.monotonic()
            if now - fed < min(self._manager.feed_every, max(self._pace.look, STEP_SECONDS)):
                continue
            fed = now
            seen = self._watch_time(seen)
            if self._life.is_ready and not is_ready:
                self._manager.ready()
                is_ready = True
            told = "; ".join(self._life.waits_for) or self._life.working_on or "waits for the next job"
            if told != said:
                self._manager.status(told)
                said = told
            if self._life.liveness.is_alive(now):
                self._manager.alive()

    def _watch_time(self, seen: Instants) -> Instants:
        now = instants()
        jump = between(seen, now)
        self._life.jumped(jump)
        if jump.set_by < -BACKWARDS_SECONDS:  # the scheduler waits by the wall clock: it would sleep through the gap
            self._scheduler.reschedule_job(LOOK, trigger=IntervalTrigger(seconds=self._pace.look))
        return now

    def _listen(self) -> None:
        desk = Desk(self._life.close_latch, self._run_command, self._life.voice.keep, self._look_now, self._clock.now)
        serve(
            self._folder.root / SOCKET_NAME,
            lambda asked: conversation.answer(asked, desk),
            lambda asked: conversation.record(asked, desk),
            self._stop,
            self._hears,
        )

    def _hears(self, trouble: str) -> None:
        if trouble and trouble != self._life.deaf:
            self._log.error("trouble", words=trouble)
        self._life.deaf = trouble

    def _look_now(self) -> dict[str, object]:
        facts = self._life.vitals().facts()
        named = ("verdict", "reasons", "latch", "halt_id", "session", "jobs", "waits_for", "last_job")
        return {name: facts[name] for name in named}

    def _run_command(self, arguments: Sequence[str], seconds: float) -> Ended:
        """Run one command to its end, again while a job holds the lock."""
        until = self._clock.monotonic() + seconds
        while True:
            ended = self._run_once(arguments, until)
            if ended.code != TRY_AGAIN or self._clock.monotonic() >= until:
                return ended
            self._clock.sleep(0.5)

    def _run_once(self, arguments: Sequence[str], until: float) -> Ended:
        now = self._clock.monotonic()
        limits = Limits(max(1.0, until - now), SMALL.megabytes)
        child = Child(self._life.command(arguments), limits, self._environment, now)
        while True:
            ended = child.poll(self._clock.monotonic())
            if ended is not None:
                return ended
            self._clock.sleep(0.05)

    def _end_work(self) -> None:
        until = self._clock.monotonic() + END_SECONDS
        while self._life.interrupt() and self._clock.monotonic() < until:
            self._clock.sleep(0.1)

    def _told_to_stop(self, number: int, _frame: FrameType | None) -> None:
        self._is_told_to_stop = True

    def _told_to_halt(self, number: int, _frame: FrameType | None) -> None:
        # a lock may be held by the thread that the signal interrupts: what follows is another thread's work
        self._life.shut()
        Thread(target=self._life.close_latch, args=(MANUAL, f"signal {signal.Signals(number).name}")).start()


def _boot() -> str:
    """Name the machine's current boot; where systemd hides its id, by the minute in which it began."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        now = instants()
        return f"minute {round((now.wall - now.boottime) / 60)}"


if __name__ == "__main__":
    run(app)
