"""Fits fan out through joblib: on this machine's threads, or on a Dask cluster where one is connected.

Who fits changes nothing: every job is a pure function of the rows, the learner and its row numbers, and results come
back in the jobs' order. A worker that dies costs its jobs' time; the cluster runs them again elsewhere, because the
rows lie on every worker and the rest travels with the job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import joblib
import numpy as np
from joblib.parallel import get_active_backend
from numpy.typing import NDArray

from signals.errors import StoreUnreachable
from signals.text.wording import reason_of

CONNECT_SECONDS = 10
WHOLE_CLUSTER = -1
Result = TypeVar("Result")
Rows = TypeVar("Rows")


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
    """Yield `work(rows, *job)` of each job in order, `workers` at a time; a cluster takes as many as it has cores."""
    backend, _ = get_active_backend()
    client = getattr(backend, "client", None)
    if client is None:
        place, count = nullcontext(), workers
    else:
        place, count = joblib.parallel_config(backend=_holding(client, rows)), WHOLE_CLUSTER
    with place:
        yield from joblib.Parallel(n_jobs=count, prefer="threads", return_as="generator")(joblib.delayed(work)(rows, *job) for job in jobs)


def _holding(client: Any, rows: object) -> Any:
    """The backend of joblib on the cluster, with the rows on every worker.

    Left to joblib, they would be named by their content, and rows that are sent again while the last call's are being
    dropped get lost; here each sending has a name of its own.
    """
    from joblib._dask import DaskDistributedBackend

    backend = DaskDistributedBackend(client=client)
    (future,) = client.scatter([rows], broadcast=True, hash=False)
    backend.data_futures = {id(rows): future}
    return backend


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
    with client, joblib.parallel_config(backend="dask", client=client):
        yield
