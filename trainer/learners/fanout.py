"""Runs fits in parallel: on local threads, or on a connected Dask cluster.

Who fits changes nothing: every job is a pure function of the rows, the learner and its row numbers, and results come
back in the jobs' order. A worker that dies costs its jobs' time; the cluster runs them again elsewhere, because every
worker holds the rows and the rest travels with the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from signals.errors import StoreUnreachable
from signals.text.wording import reason_of

if TYPE_CHECKING:
    from distributed import Client

CONNECT_SECONDS = 10
Result = TypeVar("Result")
Rows = TypeVar("Rows")
_CONNECTED: ContextVar[Client | None] = ContextVar("connected", default=None)


@dataclass(frozen=True, eq=False)
class RowSet:
    """Ascending row numbers as one bit a row: small enough to travel with a job."""

    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, numbers: NDArray[np.int64]) -> RowSet:
        """Pack ascending row numbers."""
        mask = np.zeros(int(numbers[-1]) + 1 if len(numbers) else 0, dtype=bool)
        mask[numbers] = True
        return cls(np.packbits(mask))

    @property
    def numbers(self) -> NDArray[np.int64]:
        """The row numbers."""
        return np.flatnonzero(np.unpackbits(self.bits))


def side_by_side(work: Callable[..., Result], rows: Rows, jobs: Sequence[tuple[Any, ...]], *, workers: int) -> Iterator[Result]:
    """Yield `work(rows, *job)` of each job in order, `workers` at a time; a cluster takes as many as it has threads."""
    client = _CONNECTED.get()
    if client is not None:
        yield from _on_cluster(client, work, rows, jobs)
    elif workers == 1 or len(jobs) < 2:
        yield from (work(rows, *job) for job in jobs)
    else:
        pool = ThreadPoolExecutor(workers)
        try:
            for future in [pool.submit(work, rows, *job) for job in jobs]:
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _on_cluster(client: Client, work: Callable[..., Result], rows: Rows, jobs: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
    # Named by their content, rows that are sent again while the last call's are being dropped would get lost.
    held = client.scatter(rows, broadcast=True, hash=False)  # type: ignore[no-untyped-call]
    futures = [client.submit(work, held, *job, pure=False) for job in jobs]
    try:
        for future in futures:
            yield future.result()
    finally:
        client.cancel(futures)  # type: ignore[no-untyped-call]


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Send the fits of the `with` block to the Dask scheduler at `address`; an empty one keeps them on this machine.

    Raises
    ------
    StoreUnreachable
        Nobody answers there.
    """
    if not address:
        yield
        return
    from distributed import Client  # takes a second to load

    try:
        client = Client(address, timeout=CONNECT_SECONDS)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise StoreUnreachable(
            f"no Dask scheduler answers: {reason_of(error)}", where=address, fix="Start one, or leave --cluster out"
        ) from None
    with client:
        token = _CONNECTED.set(client)
        try:
            yield
        finally:
            _CONNECTED.reset(token)
