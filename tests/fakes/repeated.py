"""Spares a command that a test runs in this process what another one has just worked out from the same bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import typer.main
import typer.testing

from signals import code_version
from signals.bundle import child_inference
from signals.errors import BadDataset
from signals.files import sha256_of
from signals.market.manifest import Manifest

_built = cache(typer.main.get_command)
_digest = cache(code_version.digest_of)
_read = Manifest.from_bytes
_proofs: dict[tuple[object, ...], subprocess.CompletedProcess[bytes]] = {}


@lru_cache(maxsize=64)
def _parsed(content: bytes) -> Manifest:
    return _read(content, where="")


def _manifest(content: bytes, *, where: str) -> Manifest:
    try:
        return _parsed(content)
    except BadDataset:  # said with its place
        return _read(content, where=where)


def _prove(command: Sequence[str], *, input: bytes, **options: Any) -> subprocess.CompletedProcess[bytes]:
    key = (*command, options.get("timeout"), sha256_of(input))
    if key not in _proofs:
        done = subprocess.run(command, input=input, **options)
        if done.returncode != 0:
            return done
        _proofs[key] = done
    return _proofs[key]


@contextmanager
def worked_out_once() -> Iterator[None]:
    """Keep for this process: the tree of commands, the version of the code, manifests by content, and proofs of models.

    A command has these to do once, as a process of its own; tests run hundreds in one process. What failed is never kept.
    """
    proving = SimpleNamespace(run=_prove, TimeoutExpired=subprocess.TimeoutExpired)
    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(typer.main, "get_command", _built))
        patches.enter_context(mock.patch.object(typer.testing, "_get_command", _built))
        patches.enter_context(mock.patch.object(code_version, "digest_of", _digest))
        patches.enter_context(mock.patch.object(Manifest, "from_bytes", staticmethod(_manifest)))
        patches.enter_context(mock.patch.object(child_inference, "subprocess", proving))
        yield
