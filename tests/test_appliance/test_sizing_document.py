"""A sizing policy from its verdict to a device: signed, earned, on the grid, never older, expiring; else the level before holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from appliance.bundles.signed_documents import load_document, pull_document
from appliance.jobs.sizing import policy_of, sizing_in_force
from appliance.ledger import job_runs, plans
from appliance.ledger.figures import PlanFigures
from appliance.schedule.job import JobReport, JobStatus
from appliance.storage.published_store import PublishedFolder
from appliance.system.clock import VirtualClock
from appliance.system.state_folder import DurableFs
from execution.orders import Plan
from portfolio.policy.sizing import GRID, STATE, SizingPolicy
from signals.bundle.seal import sign
from signals.errors import BundleRefused, FixInput
from signals.scoring.signed import SIZING_DOCUMENT, STACK_KIND, SizingDocument
from tests.fakes.broker import FakeBroker
from tests.fakes.policies import ACCEPTED as VERDICT
from tests.fakes.policies import judged, record_policy
from tests.fakes.rehearsal import CALENDAR as DAYS
from tests.fakes.rehearsal import PROVENANCE, D, Rehearsal, at
from tests.test_trainer.test_stack_weights import ASOF, CALENDAR, CREATED, LAST, World
from trainer.curation.store import FolderObjectStore
from trainer.publishing import keys as key_files
from trainer.publishing.signed.sizing import publish_sizing
from trainer.runs.run_folder import canonical_json

VALUES = np.random.default_rng(0).normal(size=(len(GRID), len(GRID), 1 + len(STATE)))
POLICY = SizingPolicy(STATE, np.linspace(0, 1, len(STATE)), np.linspace(1, 2, len(STATE)), VALUES)


SLEEVES = ("equities_xs",)


class SizingWorld(World):
    """The keys, store and device of a stack's tests, with a sizing policy."""

    def publish_policy(self, policy: SizingPolicy = POLICY, **changes: Any) -> SizingDocument:
        record_policy(self.root / "policy", self.root, judged(policy, LAST, **changes))
        return self.sign_policy()

    def sign_policy(self, data: Path | None = None) -> SizingDocument:
        """Publish the folder as it is."""
        return publish_sizing(self.root / "policy", data or self.root, self.keys, FolderObjectStore(self.store), CREATED)

    def take(self, asof: date = ASOF) -> str:
        return pull_document(SIZING_DOCUMENT, PublishedFolder(self.store), self.device, DurableFs(), asof, CALENDAR)

    def found(self, asof: date = ASOF) -> SizingPolicy:
        return policy_of(load_document(SIZING_DOCUMENT, self.device, DurableFs(), asof, CALENDAR), SLEEVES)


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


REFUSED = replace(VERDICT, bound=-0.01, reasons=("the gain is +1.00% a year, its bound -1.00% is not above 0.50%",))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"replay": REFUSED}, r"replay refused: .* a true gain of .* a year would have been seen in"),
        ({"orders": REFUSED}, r"orders refused: "),
        ({"orders": replace(REFUSED, reasons=())}, "orders "),
        ({"is_rehearsal": True}, "the book is sized by a fixed IC: a rehearsal"),
    ],
)
def test_a_policy_that_one_verdict_refuses_is_not_published(world: SizingWorld, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(FixInput, match=f"the policy is not accepted: {why}"):
        world.publish_policy(**changes)
    assert not (world.store / SIZING_DOCUMENT.place).exists()


@pytest.mark.parametrize(
    "planted",
    [
        lambda made: replace(made, orders=VERDICT),
        lambda made: replace(made, values=replace(made.values, scale=tuple(2.0 * x for x in made.values.scale))),
        lambda made: replace(made, snapshot_id="e" * 64),
        lambda made: replace(made, trial="another question"),
    ],
    ids=["a verdict made better", "another policy", "other data", "another question"],
)
def test_a_policy_or_verdict_that_is_not_the_recorded_one_is_signed_by_nobody(world: SizingWorld, planted: Any) -> None:
    """Recorded, refused by the order-exact engine, then changed by hand; the same folder beside another dataset's record."""
    made = judged(POLICY, LAST, orders=REFUSED)
    record_policy(world.root / "policy", world.root, made)
    content = canonical_json(planted(made))
    assert content != (world.root / "policy" / "policy.json").read_bytes()
    (world.root / "policy" / "policy.json").write_bytes(content)
    with pytest.raises(FixInput, match="no `trainer policy` with this dataset wrote this verdict"):
        world.sign_policy()
    assert not (world.store / SIZING_DOCUMENT.place).exists()


def test_an_accepted_policy_of_another_dataset_is_signed_by_nobody(world: SizingWorld, tmp_path: Path) -> None:
    made = world.publish_policy()
    assert made.verdict_sha256 and made.bound == VERDICT.bound
    with pytest.raises(FixInput, match="no `trainer policy` with this dataset"):
        world.sign_policy(tmp_path / "other")


def test_an_older_spoilt_expired_or_strange_policy_is_refused(world: SizingWorld) -> None:
    made = world.publish_policy()
    first = (world.store / SIZING_DOCUMENT.place).read_bytes()
    world.take()
    assert world.sign_policy().seq == 2
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
        ({"names": (STATE[1], *STATE[1:])}, "a number of the state is there twice"),
        ({"scale": (0.0, *([1.0] * (len(STATE) - 1)))}, "greater than 0"),
        ({"names": STATE[1:], "centre": (0.0,) * (len(STATE) - 1), "scale": (1.0,) * (len(STATE) - 1)}, "another length"),
        ({"coefficients": ()}, "level before"),
    ],
)
def test_a_document_of_another_form_cannot_be_made(world: SizingWorld, changes: dict[str, Any], why: str) -> None:
    made = world.publish_policy()
    with pytest.raises(ValidationError, match=why):
        SizingDocument(**{**dict(made), **changes})


def test_another_grid_state_or_sleeve_than_this_device_s_is_refused(world: SizingWorld) -> None:
    made = world.publish_policy()
    with pytest.raises(BundleRefused, match="another grid"):
        policy_of(made.model_copy(update={"grid": (0.0, 0.2, 0.5, 0.75, 1.0)}), SLEEVES)
    with pytest.raises(BundleRefused, match="another state"):
        policy_of(made.model_copy(update={"names": (*STATE[:-1], "hunch")}), SLEEVES)
    with pytest.raises(BundleRefused, match="another sleeve"):
        policy_of(made, ("reversal",))


def test_a_plan_that_was_frozen_says_what_its_multiplier_was_though_its_job_was_killed_before_it_told(tmp_path: Path) -> None:
    """No run of the job names it, and no policy was delivered: a quarter of the book is held, not all of it."""
    clock = VirtualClock(at("08:00"))
    deps = Rehearsal(tmp_path, FakeBroker(clock, DAYS, {}), clock).open()
    deps = replace(deps, config=deps.config.model_copy(update={"sizing": True}))
    first = sizing_in_force(D, DAYS.previous(D), deps)
    plans.save(deps.ledger, Plan(D, DAYS.previous(D), "account", Decimal(1), (), PROVENANCE, multiplier=0.25), clock.now())
    second = sizing_in_force(DAYS.next(D), D, deps)
    deps.close()
    assert first is not None and second is not None and (first.before, second.before) == (1.0, 0.25)
    assert second.policy is None and second.refusal.startswith("no sizing policy has been delivered")


def test_the_multiplier_of_a_plan_of_an_earlier_release_is_in_the_record_of_its_job(tmp_path: Path) -> None:
    """Such a plan says nothing of it: an update while a quarter of the book was held enlarges none."""
    clock = VirtualClock(at("08:00"))
    deps = Rehearsal(tmp_path, FakeBroker(clock, DAYS, {}), clock).open()
    deps = replace(deps, config=deps.config.model_copy(update={"sizing": True}))
    plans.save(deps.ledger, Plan(D, DAYS.previous(D), "account", Decimal(1), (), PROVENANCE), clock.now())
    job_runs.begin(deps.ledger, D, "plan", clock.now())
    figures = PlanFigures(decisions=(), multiplier=0.25)
    job_runs.finish(deps.ledger, JobReport("plan", D, JobStatus.DONE, "", figures), clock.now())
    found = sizing_in_force(DAYS.next(D), D, deps)
    deps.close()
    assert found is not None and found.before == 0.25


def test_a_policy_of_an_earlier_version_s_state_is_read(world: SizingWorld) -> None:
    """Numbers are known by name, whatever others a later version has."""
    read = STATE[:16]
    world.publish_policy(SizingPolicy(read, np.zeros(16), np.ones(16), VALUES[:, :, :17]))
    world.take()
    assert world.found().names == read
