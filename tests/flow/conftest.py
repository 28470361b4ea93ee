from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.fakes.device import Workbench
from tests.fakes.store import Published, publish_store

if TYPE_CHECKING:
    from tests.fakes.seaweed import Proxy, Server


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """One store for every test that only reads it."""
    return publish_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def own_store(published: Published, tmp_path: Path) -> Published:
    """A copy of the store that a test may spoil."""
    root = tmp_path / "store"
    shutil.copytree(published.root, root)
    return Published(root, root / "root.pub", published.manifest, published.last_training)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Workbench]:
    """Initialise a device on a store, in a folder of its own."""

    def build(store: Published, name: str = "device", *options: str) -> Workbench:
        bench = Workbench(tmp_path / name)
        done = bench("init", "--venue", "exchange", "--store", str(store.root), "--trust", str(store.trust), "--fixed-ic", "0.05", *options)
        assert done.code == 0, done.err
        return bench

    return build


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """An object store for every test that needs one; each keeps to prefixes of its own."""
    from tests.fakes.seaweed import serving  # no device has its client of S3

    with serving(tmp_path_factory.mktemp("weed")) as found:
        yield found


@pytest.fixture(scope="session")
def standing(server: Server) -> Iterator[Proxy]:
    from tests.fakes.seaweed import proxied

    with proxied(server) as found:
        yield found


@pytest.fixture
def proxy(standing: Proxy) -> Iterator[Proxy]:
    """An honest proxy before the object store, until the test spoils it."""
    standing.heal()
    yield standing
    standing.heal()
