"""A sizing policy from its verdict to a device: signed, earned, on the grid, never older, expiring; else the level before holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from appliance.bundles.signed_documents import load_document, pull_document
from appliance.jobs.sizing import policy_of
from appliance.storage.published_store import PublishedFolder
from appliance.system.durable_files import DurableFs
from portfolio.policy.sizing import GRID, STATE, SizingPolicy
from signals.bundle.seal import sign
from signals.errors import BundleRefused, FixInput
from signals.scoring.signed.sizing import SIZING_DOCUMENT, SizingDocument
from signals.scoring.signed.stack_weights import STACK_KIND
from tests.test_trainer.test_stack_weights import ASOF, CALENDAR, CREATED, LAST, World
from trainer.curation.store import FolderObjectStore
from trainer.off_policy.sizing import SizingVerdict
from trainer.publishing import keys as key_files
from trainer.publishing.signed.sizing import publish_sizing

VERDICT = SizingVerdict(4000, 0.06, 0.03, 0.02, 0.005, 0.1, 0.2, 0.04, 0.05, 0.025, ())
VALUES = np.random.default_rng(0).normal(size=(len(GRID), len(GRID), 1 + len(STATE)))
POLICY = SizingPolicy(STATE, np.linspace(0, 1, len(STATE)), np.linspace(1, 2, len(STATE)), VALUES)


class SizingWorld(World):
    """The keys, store and device of a stack's tests, with a sizing policy."""

    def publish_policy(self, policy: SizingPolicy = POLICY, verdict: SizingVerdict = VERDICT) -> SizingDocument:
        return publish_sizing(policy, verdict, LAST, self.keys, FolderObjectStore(self.store), CREATED)

    def take(self, asof: date = ASOF) -> str:
        return pull_document(SIZING_DOCUMENT, PublishedFolder(self.store), self.device, DurableFs(), asof, CALENDAR)

    def found(self, asof: date = ASOF) -> SizingPolicy:
        return policy_of(load_document(SIZING_DOCUMENT, self.device, DurableFs(), asof, CALENDAR))


@pytest.fixture
def world(tmp_path: Path) -> SizingWorld:
    return SizingWorld(tmp_path)


def test_an_accepted_policy_arrives_signed_to_the_last_digit(world: SizingWorld) -> None:
    assert world.take() == ""
    with pytest.raises(BundleRefused, match="no sizing policy has been delivered"):
        world.found()
    world.publish_policy()
    assert world.take() == "sizing policy 1 is new" and world.take() == "sizing policy 1"
    found = world.found()
    assert found.names == STATE and np.array_equal(found.coefficients, VALUES) and np.array_equal(found.scale, POLICY.scale)


def test_a_refused_policy_is_not_published(world: SizingWorld) -> None:
    refused = replace(VERDICT, bound=-0.01, reasons=("the gain is +1.00% a year, its bound -1.00% is not above 0.50%",))
    with pytest.raises(FixInput, match=r"a true gain of .* a year would have been seen in"):
        world.publish_policy(verdict=refused)
    assert not (world.store / SIZING_DOCUMENT.place).exists()


def test_an_older_spoilt_expired_or_strange_policy_is_refused(world: SizingWorld) -> None:
    made = world.publish_policy()
    first = (world.store / SIZING_DOCUMENT.place).read_bytes()
    world.take()
    assert world.publish_policy().seq == 2
    world.take()
    (world.store / SIZING_DOCUMENT.place).write_bytes(first)
    with pytest.raises(BundleRefused, match="sequence 1 is not newer than 2"):
        world.take()
    with pytest.raises(BundleRefused, match="71 sessions old and expired after 70"):
        world.found(CALENDAR.offset(LAST, 71))
    as_a_stack = sign(STACK_KIND, made.to_bytes(), key_files.signing_keys(world.keys, world.keyset, ASOF))
    (world.store / SIZING_DOCUMENT.place).write_bytes(SIZING_DOCUMENT.seal(made.model_copy(update={"seq": 3}), as_a_stack))
    with pytest.raises(BundleRefused):
        world.take()
    kept = world.device.bundles / "sizing" / SIZING_DOCUMENT.file
    kept.write_bytes(kept.read_bytes()[:-20])
    with pytest.raises(BundleRefused):
        world.found()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"grid": (0.0, 0.25, 0.5, 0.75, 1.25)}, "inside"),
        ({"grid": (0.0, 0.5, 0.25, 0.75, 1.0)}, "ascending"),
        ({"bound": 0.004}, "not accepted"),
        ({"centre": (0.0,)}, "one number"),
        ({"scale": (0.0, *([1.0] * 15))}, "greater than 0"),
        ({"names": STATE[:-1], "centre": (0.0,) * 15, "scale": (1.0,) * 15}, "another length"),
        ({"coefficients": ()}, "level before"),
    ],
)
def test_a_document_of_another_form_cannot_be_made(world: SizingWorld, changes: dict[str, Any], why: str) -> None:
    made = world.publish_policy()
    with pytest.raises(ValidationError, match=why):
        SizingDocument(**{**dict(made), **changes})


def test_another_grid_or_state_than_this_version_s_is_refused(world: SizingWorld) -> None:
    made = world.publish_policy()
    with pytest.raises(BundleRefused, match="grid"):
        policy_of(made.model_copy(update={"grid": (0.0, 0.2, 0.5, 0.75, 1.0)}))
    with pytest.raises(BundleRefused, match="another state"):
        policy_of(made.model_copy(update={"names": STATE[::-1]}))
