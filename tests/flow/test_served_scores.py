"""What `appliance serve` answers with: the bundle in force of a real device, by the keys and the session of now."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from appliance.serving.model import DeviceModel
from appliance.system.clock import SystemClock
from signals.errors import BundleRefused
from signals.serving.scores import CurrentModel, operations
from tests.fakes.bundles import FIRST, SECOND, keyset, keyset_file, signing_key
from tests.fakes.device import Workbench
from tests.fakes.serving import api, ask
from tests.fakes.store import Published

Make = Callable[..., Workbench]


def test_a_server_that_stays_says_how_old_its_bundle_is_now_and_answers_no_more_once_its_key_is_revoked(
    make: Make, own_store: Published
) -> None:
    first, second, third = own_store.sessions(3)
    bench = make(own_store)
    source = DeviceModel(bench.state, SystemClock())
    model, served = CurrentModel(source), api(*operations(source))
    with pytest.raises(BundleRefused, match="no bundle has been activated"):
        model.get()
    assert bench("pull", "--session", str(first)).code == 0
    before = model.get()
    assert model.get() is before
    assert bench("pull", "--session", str(second)).code == 0
    assert model.get().bundle.age_sessions == before.bundle.age_sessions + 1
    assert ask(served, "/v1/model").json()["age_sessions"] == before.bundle.age_sessions + 1
    revoked = keyset(signing_key(FIRST, revoked=True), signing_key(SECOND), version=2)
    (own_store.root / "keyset.json").write_bytes(keyset_file(revoked))
    bench("pull", "--session", str(third))
    with pytest.raises(BundleRefused, match="revoked"):
        model.get()
    answer = ask(served, "/v1/model")
    assert answer.status_code == 503 and "revoked" in answer.json()["what"]
