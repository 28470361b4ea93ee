"""A published store for whole-line tests: a small generated market, curated, and a signed bundle that scores it.

The model is written by hand: stumps on per-session ranks, so that no learner is needed and no two scores tie.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signals.bundle import Golden, Part, Role
from signals.bundle.keyset import seal_dataset, signature_name
from signals.bundle.layout import former_place, latest_of, place_of, pointer
from signals.files import write_atomic
from signals.market.dataset import load_bars, read_manifest
from signals.market.manifest import Manifest, PriceBasis
from signals.market.sessions import SessionStatus
from signals.monitoring.drift import reference
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve
from signals.text.documents import to_json
from tests.fakes import bundles
from tests.fakes.bars import with_joined
from tests.fakes.onnx_models import floats_attribute, int_attribute, ints_attribute, model, node, string_attribute, strings_attribute
from trainer.curation.config import CurationConfig
from trainer.curation.generated.market import GeneratedMarket, generate
from trainer.curation.ingest import DeliveryFiles, DeliveryTerms, ingest
from trainer.curation.vendors.mapping import Mapping
from trainer.publishing.dataset import Signer

SLEEVE = SLEEVES["equities_xs"]
END = date(2025, 6, 30)
SYMBOLS, SESSIONS = 48, 540
CUTS = np.linspace(-0.45, 0.45, 19, dtype=np.float32)


@dataclass(frozen=True)
class Published:
    """A store folder with data/, bundles and keyset.json, and the root key to trust."""

    root: Path
    trust: Path
    manifest: Manifest
    last_training: date

    @property
    def bundles(self) -> Path:
        """Where the bundles lie that devices trade on, with their pointer."""
        return self.root / place_of(SLEEVE.name, Role.EVALUATION)

    def sessions(self, count: int) -> list[date]:
        """The first `count` trade sessions after training."""
        days = self.manifest.calendar
        return [days.offset(self.last_training, step) for step in range(6, 6 + count)]


def publish_store(root: Path, market: GeneratedMarket | None = None) -> Published:
    """Curate a market into `root/data` and publish a bundle trained, so it says, until 25 sessions before its end."""
    market = market or generate(11, SYMBOLS, SESSIONS, END)
    manifest = publish_data(root / "data", market)
    last = manifest.calendar.offset(manifest.last, -25)
    publish_bundle(root, recipe(root / "data", last))
    trust = root / "root.pub"
    trust.write_text(bundles.roots()[0].text + "\n")
    return Published(root, trust, manifest, last)


def publish_data(folder: Path, market: GeneratedMarket) -> Manifest:
    """Ingest the market as a vendor's delivery, and sign it."""
    bars, actions = market.write(folder.parent / "vendor")
    manifest = ingest(
        DeliveryFiles(bars, actions), folder, DeliveryTerms(mapping=Mapping(), basis=PriceBasis.RAW, config=CurationConfig(), name="tests")
    )
    sign_data(folder)
    return manifest


SIGNER = Signer(bundles.keyset(), (bundles.DATA,), bundles.TODAY)


def sign_data(folder: Path, *keys: Ed25519PrivateKey) -> None:
    """Sign the manifest that lies there, by the data key unless others are given."""
    content = (folder / "manifest.json").read_bytes()
    write_atomic(folder / signature_name(content), seal_dataset(content, keys or (bundles.DATA,)))


def republish(published: Published, *days: date | SessionStatus) -> None:
    """Publish the same data as a new version in which the given sessions have the given status (the last argument)."""
    *sessions, status = days
    old = published.manifest
    audits = tuple(
        replace(audit, status=status, reasons=("set by a test",)) if audit.session in sessions else audit for audit in old.audits
    )
    publish_version(published.root / "data", replace(old, audits=audits, version=old.version + 1))


def publish_version(folder: Path, manifest: Manifest) -> None:
    """Put a manifest in force in the published dataset of `folder`, signed."""
    for name in ("manifest.json", f"manifests/{manifest.version}.json"):
        (folder / name).write_bytes(manifest.to_bytes())
    sign_data(folder)


def publish_bundle(root: Path, of: bundles.Recipe, *, as_before: bool = False) -> str:
    """Write the bundle, the key set and the pointer of its role; return the bundle's folder name.

    `as_before` publishes in the layout of the release before.
    """
    manifest = of.write(root / "incoming")
    latest = latest_of(manifest, (former_place if as_before else place_of)(of.sleeve, of.role))
    target = root / latest.place / latest.folder
    target.parent.mkdir(parents=True, exist_ok=True)
    (root / "incoming").rename(target)
    (root / "keyset.json").write_bytes(bundles.keyset_file(bundles.keyset()))
    (root / pointer(latest.place)).write_bytes(latest.to_bytes(manifest.bundle_id, ""))
    return latest.folder


def recipe(data: Path, last: date, seq: int = 1, weights: np.ndarray | None = None, sleeve: Sleeve = SLEEVE) -> bundles.Recipe:
    """A bundle of the real feature list on the market in `data`, with true golden vectors and drift reference."""
    manifest = read_manifest(data)
    panel = sleeve.panel(with_joined(load_bars(data, manifest, manifest.first, last), sleeve.joined, seed=1))
    cells = panel.values[panel.eligible]
    inputs = np.ascontiguousarray(cells[-64:])
    scores = np.full(panel.eligible.shape, np.nan)
    scores[panel.eligible] = rank_scores(cells, weights, sleeve)
    files = {
        "model.onnx": (Part.MODEL, rank_model(weights, sleeve)),
        "drift.json": (Part.DRIFT, json.dumps(to_json(reference(panel, scores))).encode()),
        "evidence.json": (Part.EVIDENCE, bundles.evidence_file()),
        "training.json": (Part.TRAINING, b"{}"),
    }
    known = Golden.of_scores(inputs, rank_scores(inputs, weights, sleeve))
    return bundles.Recipe(seq=seq, files=files, golden=known, spec=sleeve.spec, last=last, sleeve=sleeve.name)


RANKED = [i for i, name in enumerate(SLEEVE.names) if name.startswith("rank_")]


def stumps(weights: np.ndarray | None = None, sleeve: Sleeve = SLEEVE) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature, threshold and weight of every stump: each ranked feature is cut at 19 ranks, of a short list at more.

    `weights`, one a ranked feature, are dyadic, so that float32 adds them exactly; drawn unless given.
    """
    ranked = [i for i, name in enumerate(sleeve.names) if name.startswith("rank_")]
    is_short = len(ranked) <= 9
    low, high, unit = (1000, 10_000, 2**17) if is_short else (10, 100, 1024)
    weights = np.random.default_rng(5).integers(low, high, len(ranked)) / unit if weights is None else weights
    cuts = CUTS if not is_short else np.linspace(-0.49, 0.49, 99, dtype=np.float32)
    feature, weight = np.repeat(ranked, len(cuts)), np.repeat(weights, len(cuts))
    return feature, np.tile(cuts, len(ranked)), weight.astype(np.float32)


def rank_scores(rows: np.ndarray, weights: np.ndarray | None = None, sleeve: Sleeve = SLEEVE) -> np.ndarray:
    """What `rank_model` computes, in numpy; float64 (n,)."""
    feature, threshold, weight = stumps(weights, sleeve)
    chosen = rows[:, feature]
    return np.where((chosen <= threshold) | np.isnan(chosen), weight, -weight).astype(np.float64).sum(axis=1)


def rank_model(weights: np.ndarray | None = None, sleeve: Sleeve = SLEEVE) -> bytes:
    """The ONNX file of the stumps."""
    feature, threshold, weight = stumps(weights, sleeve)
    spread = [(t, n) for t in range(len(feature)) for n in range(3)]
    branch = [n == 0 for _, n in spread]
    attributes = b"".join(
        (
            int_attribute("n_targets", 1),
            ints_attribute("nodes_treeids", [t for t, _ in spread]),
            ints_attribute("nodes_nodeids", [n for _, n in spread]),
            ints_attribute("nodes_featureids", [0 if n else int(feature[t]) for t, n in spread]),
            floats_attribute("nodes_values", [0.0 if n else float(threshold[t]) for t, n in spread]),
            floats_attribute("nodes_hitrates", [1.0] * len(spread)),
            strings_attribute("nodes_modes", ["BRANCH_LEQ" if b else "LEAF" for b in branch]),
            ints_attribute("nodes_truenodeids", [1 if b else 0 for b in branch]),
            ints_attribute("nodes_falsenodeids", [2 if b else 0 for b in branch]),
            ints_attribute("nodes_missing_value_tracks_true", [1 if b else 0 for b in branch]),
            ints_attribute("target_treeids", [t for t, n in spread if n]),
            ints_attribute("target_nodeids", [n for _, n in spread if n]),
            ints_attribute("target_ids", [0] * (2 * len(feature))),
            floats_attribute("target_weights", [float(weight[t]) * (1 if n == 1 else -1) for t, n in spread if n]),
            string_attribute("post_transform", "NONE"),
        )
    )
    width = len(sleeve.names)
    return model([node("TreeEnsembleRegressor", ["features"], ["score"], "ai.onnx.ml", attributes)], width)


__all__ = ["SIGNER", "Published", "publish_bundle", "publish_data", "publish_store", "rank_scores", "recipe", "republish", "sign_data"]
