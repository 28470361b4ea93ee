"""A registry with cheap models: linear scores whose weights a test turns, trained, promoted and published as real ones.

Everything of the registry, the lineage, the store and the device is the product's own; what is made up is the training
itself and the figures of a promotion's case.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import trainer.lineage.retrain as retraining
import trainer.publishing.publish
from appliance.bundles.pull import BundlePull, pull_bundle
from appliance.bundles.store import BundleStore
from appliance.storage.published_store import PublishedFolder
from appliance.system.state_folder import DurableFs
from signals.bundle import PublicKey, Role, verify
from signals.bundle.layout import Latest, pointer
from signals.files import sha256_of
from signals.market.sessions import Calendar, SessionStatus
from signals.models.inference import infer
from signals.text.documents import to_json
from tests.fakes.bundles import FAR, private_key, weekdays
from tests.fakes.bundles import policy as bundle_policy
from tests.fakes.promotion import BARS, CHAMPION, SHADOW, case
from tests.fakes.publishing import SPECS, WIDTH, features, run_folder
from trainer.curation.store import ObjectStore
from trainer.lineage.retrain import Compare, RetrainOutcome, RetrainRequest, retrain
from trainer.lineage.rules import LineageConfig
from trainer.promotion import champions, history, lineage_log
from trainer.promotion.lineage_log import LINEAGES
from trainer.publishing import keys
from trainer.publishing.publish import Publication, publish
from trainer.runs.evidence import DatasetUsed, Evidence, read_evidence
from trainer.runs.run_folder import TrainingSettings

SLEEVE, HORIZON = "equities_xs", 5
NULL = {"seeds": 5, "figures": 120, "single": {"mean": 0.86, "low": 0.80}, "averaged": {"mean": 0.96, "low": 0.93}}


def linear(weights: np.ndarray) -> bytes:
    """An ONNX model: the features' weighted sum, an undefined one counting as 0."""
    constants = [
        numpy_helper.from_array(np.asarray(weights, dtype=np.float32).reshape(-1, 1), "w"),
        numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero"),
    ]
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "features"], ["filled"]),
        helper.make_node("MatMul", ["filled", "w"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "score",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, [None, len(weights)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def turned(degrees: float) -> np.ndarray:
    """Weights at an angle: two models' scores correlate about as the cosine of the difference."""
    angle = np.radians(degrees)
    return np.array([np.cos(angle), 0.0, np.sin(angle)])


@dataclass
class World:
    """A trainer, a store and a device that live on one calendar."""

    root: Path
    calendar: Calendar = field(default_factory=lambda: weekdays(count=1400))
    red: set[date] = field(default_factory=set)
    degrees: float = 0.0
    seqs: list[int] = field(default_factory=list)
    loaded: dict[str, date] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seeds = iter(range(10, 30))
        keys.create_keys(self.root / "keys", FAR, generate=lambda: private_key(next(seeds)))
        self.device = BundleStore(self.root / "device", DurableFs(), prove=infer)
        self.device.trust(PublicKey.from_text((self.root / "keys" / "root.pub").read_text()))

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def store(self) -> Path:
        return self.root / "store"

    def run(self, name: str) -> Path:
        return self.root / "runs" / name

    def at(self, session: int) -> datetime:
        """The evening of a session."""
        return datetime.combine(self.calendar.days[session], time(22), UTC)

    def train(self, name: str, session: int, **more: Any) -> Path:
        """Write a run whose labels end at this session."""
        run = self.run(name)
        run_folder(run, linear(turned(self.degrees)))
        (run / "model_before_holdout.txt").write_text(name)
        days = {"last_training_session": str(self.calendar.days[session - HORIZON]), "last_label_session": str(self.calendar.days[session])}
        _change(run / "evidence.json", {**days, "spec_hash": "5" * 64, "seed_null": NULL, **more})
        return run

    def retrain(self, name: str, session: int, role: Role = Role.CHAMPION, **changes: Any) -> RetrainOutcome:
        """Train a lineage again; `changes` plant another recipe in the run."""

        def make(request: RetrainRequest, accepted: TrainingSettings, compare: Compare) -> None:
            assert accepted.seed == 1
            found = compare(features(), linear(turned(self.degrees)))
            recipe = lineage_log.newest(self.registry, SLEEVE, role).root["config_hash"]
            self.train(request.run.name, session, **{"lineage": to_json(found), "config_hash": recipe, **changes})

        return retrain(self.request(name, session, role), make)

    def request(self, name: str, session: int, role: Role = Role.CHAMPION) -> RetrainRequest:
        return RetrainRequest(
            sleeve=SLEEVE,
            role=role,
            data=self.root,
            run=self.run(name),
            registry=self.registry,
            end=self.calendar.days[session],
            rules=LineageConfig(),
            workers=1,
            code_version="0.1.0",
            at=self.at(session),
        )

    def manifest(self) -> Any:
        """What a retraining asks of the dataset."""

        def status(day: date) -> Any:
            return SimpleNamespace(status=SessionStatus.RED if day in self.red else SessionStatus.GREEN)

        return SimpleNamespace(calendar=self.calendar, last=self.calendar.days[-1], status=status)

    def promote(self, name: str, session: int) -> champions.PromotionOutcome:
        return champions.promote(
            champions.PromotionRequest(self.run(name), self.root, self.registry, BARS, SETTINGS, "0.1.0", self.at(session))
        )

    def publish(self, name: str, session: int, role: Role = Role.CHAMPION) -> Publication:
        """Publish as the command does: confirmed by the registry, and noted there."""
        run = self.run(name)
        if role is Role.CHAMPION:
            champions.confirm(self.registry, run)
        elif trainer.publishing.publish.is_retraining(run):
            lineage_log.require_head(self.registry, run, role)
        done = publish(
            trainer.publishing.publish.PublishRequest(
                run, role, self.root / "keys", self.store, self.at(session), "unproven" * (role is Role.EVALUATION)
            ),
            self.calendar,
            SPECS,
        )
        if role is not Role.CHAMPION and not trainer.publishing.publish.is_retraining(run):
            lineage_log.begin(self.registry, run, role, "a person accepted it", self.at(session))
        lineage_log.note_published(self.registry, run, role, done.sha256, self.at(session))
        return done

    def pull(self, session: int, *roles: Role) -> BundlePull:
        """The device's evening; its high-water never goes down."""
        self.device.install_keyset((self.store / "keyset.json").read_bytes())
        policy = self.policy(session, *roles)
        found = pull_bundle(PublishedFolder(self.store), self.device, policy, self.root / "incoming", sleeves=(SLEEVE,))
        self.seqs.append(self.device.high_water().seq)
        assert self.seqs == sorted(self.seqs)
        return found

    def policy(self, session: int, *roles: Role) -> Any:
        chosen = frozenset(roles or (Role.CHAMPION,))
        return bundle_policy(today=self.calendar.days[session], calendar=self.calendar, sleeves=SPECS, roles=chosen)

    def is_valid(self, session: int) -> bool:
        """Whether the bundle in force may take new risk on this evening."""
        standing = self.device.current()
        if standing is None:
            return False
        if standing.sha256 not in self.loaded:
            manifest = self.device.load(self.policy(session, *Role)).manifest
            self.loaded[standing.sha256] = self.calendar.offset(manifest.last_training_session, manifest.expiry_sessions)
        return self.calendar.days[session] <= self.loaded[standing.sha256]


SETTINGS: Any = SimpleNamespace(fingerprint=lambda: "s" * 64)


def world(root: Path, monkeypatch: pytest.MonkeyPatch, verdict: Callable[[str], Mapping[str, Any]]) -> World:
    """Make a world; `verdict` says by a run's name what of its case is changed, beside what a rival needs."""
    made = World(root)

    def cased(subject: Any, request: Any, now: Any, step: Any) -> Any:
        rival = {"champion": CHAMPION | {"version": now["version"]}, "shadow": SHADOW} if now else {}
        walked = {"measured.walk_forward.first": "2020-01-01", "measured.walk_forward.last": "2021-08-22"}
        return case({**walked, **rival, **verdict(request.run.name)})

    monkeypatch.setattr(champions, "subject_of", lambda run, data: SimpleNamespace(evidence=_read(run), run=run))
    monkeypatch.setattr(champions, "_case", cased)
    monkeypatch.setattr(retraining, "read_manifest", lambda data: made.manifest())
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # what a power cut leaves is shown elsewhere
    monkeypatch.setattr(trainer.publishing.publish, "verify", lambda *words: verify(*words, reproduce=infer))
    return made


def _read(run: Path) -> Evidence:
    return replace(read_evidence(run), dataset=DatasetUsed(survivorship="point-in-time"))


def _change(path: Path, changes: Mapping[str, Any]) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


assert WIDTH == 3


def publish_six(store: ObjectStore, registry: Path) -> None:
    """Six bundles of one place: five of a lineage, the accepted one first, and one of nobody's; the pointer names the third."""
    shas = []
    for number in range(1, 7):
        folder = f"equities_xs/champion/{number}-{number:016x}"
        for name in ("manifest.json", "model.onnx", "evidence.json"):
            store.put(f"{folder}/{name}", f"{number} {name}".encode())
        shas.append(sha256_of(f"{number} manifest.json".encode()))
    pointed = Latest("equities_xs/champion", f"3-{3:016x}", ("manifest.json",))
    store.put(pointer("equities_xs/champion"), pointed.to_bytes(f"{3:016x}", shas[2]))
    for of, sha in enumerate(shas[:5]):
        record = {"event": "published", "lineage": "a" * 16, "of": of, "role": "champion", "sleeve": "equities_xs", "bundle_sha256": sha}
        history.append(registry / LINEAGES, record)
