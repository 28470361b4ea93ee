"""Signed bundles for tests: a root, online keys, and a folder that a device would accept, or that breaks one rule."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signals.bundle import BundleManifest, DataKeys, Golden, Keyset, Part, Policy, Role, RollbackGrant, SigningKey
from signals.bundle.arrays import Arrays, described, packed
from signals.bundle.keyset import seal_grant, seal_keyset
from signals.bundle.manifest import BundleFile, FeatureLine, InformationCoefficient, MemberLine, ModelForm, Promotion, Trainer, identified
from signals.bundle.profiles import profile_of
from signals.bundle.seal import GRANT_KIND, KEYSET_KIND, MANIFEST_KIND, PublicKey, public_half, sign
from signals.features.panel import spec_hash
from signals.files import sha256_of
from signals.market.sessions import Calendar, Session
from tests.fakes.onnx_models import stump_model, stump_scores

FAR = date(2030, 12, 31)
SPEC = (("mom_5", "ratio", 6), ("vol_20", "ratio", 21), ("rank_mom_5", "rank", 6))
TODAY = date(2024, 3, 1)
CREATED = datetime(2024, 2, 1, 22, 0, tzinfo=UTC)


def private_key(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


ROOT, FIRST, SECOND, DATA, STRANGER = (private_key(seed) for seed in (1, 2, 3, 4, 9))


def weekdays(first: date = date(2023, 1, 2), count: int = 520) -> Calendar:
    """A calendar of weekdays: enough sessions to count ages in."""
    days = np.busday_offset(np.datetime64(first, "D"), np.arange(count), roll="forward").tolist()
    hours = [(datetime(d.year, d.month, d.day, 14, 30, tzinfo=UTC), datetime(d.year, d.month, d.day, 21, tzinfo=UTC)) for d in days]
    return Calendar("XNYS", tuple(Session(d, o, c) for d, (o, c) in zip(days, hours, strict=True)))


def signing_key(key: Ed25519PrivateKey, *, until: date = FAR, revoked: bool = False) -> SigningKey:
    public = public_half(key)
    return SigningKey(keyid=public.keyid, public=public.text, valid_until=until, revoked=revoked)


def keyset(*keys: SigningKey, version: int = 1, threshold: int = 1, until: date = FAR, data: DataKeys | None = None) -> Keyset:
    return Keyset(
        version=version,
        threshold=threshold,
        valid_until=until,
        keys=keys or (signing_key(FIRST),),
        data=data or DataKeys(threshold=1, keys=(signing_key(DATA),)),
    )


def keyset_file(payload: Keyset, root: Ed25519PrivateKey = ROOT) -> bytes:
    return seal_keyset(payload, sign(KEYSET_KIND, payload.to_bytes(), [root]))


def grant_file(grant: RollbackGrant, root: Ed25519PrivateKey = ROOT) -> bytes:
    return seal_grant(grant, sign(GRANT_KIND, grant.to_bytes(), [root]))


def roots() -> tuple[PublicKey, ...]:
    return (public_half(ROOT),)


def golden_inputs(width: int = len(SPEC), rows: int = 16) -> np.ndarray:
    rng = np.random.default_rng(7)
    inputs = rng.normal(size=(rows, width)).astype(np.float32)
    inputs[0, 0] = np.nan
    return inputs


def golden(width: int = len(SPEC)) -> Golden:
    inputs = golden_inputs(width)
    return Golden.of_scores(inputs, stump_scores(inputs))


def policy_book(t: float = 20.0, **changes: float) -> dict[str, float]:
    """What the policy's own walk-forward book came to: evidence enough to trade, unless `t` says otherwise."""
    return {
        "sessions": 500,
        "block_sessions": 21,
        "annual_return": 0.06,
        "annual_volatility": 0.04,
        "annual_sharpe": 1.5,
        "sharpe_low": 0.5,
        "sharpe_high": 2.5,
        "t": t,
        "gross": 0.9,
        "growth": 0.8,
        "growth_low": 0.1,
        "growth_high": 1.6,
    } | changes


def evidence_file(t: float = 20.0, **more: object) -> bytes:
    """An evidence document with such a book."""
    return json.dumps({"policy_book": policy_book(t), **more}).encode()


@dataclass(frozen=True)
class Recipe:
    """Everything that a bundle is made of; a test replaces what it wants to be wrong."""

    seq: int = 1
    role: Role = Role.EVALUATION
    refusal: str | None = "no promotion: unproven"
    promotion: Promotion | None = None
    files: Mapping[str, tuple[Part, bytes]] = field(
        default_factory=lambda: {
            "model.onnx": (Part.MODEL, stump_model(len(SPEC))),
            "drift.json": (Part.DRIFT, b'{"format":"trademl-drift/1"}'),
            "evidence.json": (Part.EVIDENCE, evidence_file()),
            "training.json": (Part.TRAINING, b"{}"),
        }
    )
    golden: Golden = field(default_factory=golden)
    arrays: Mapping[str, tuple[Part, Arrays]] = field(default_factory=dict)
    form: ModelForm | None = None
    spec: tuple[tuple[str, str, int], ...] = SPEC
    last: date = date(2024, 1, 31)
    expiry_sessions: int = 70
    keys: Sequence[Ed25519PrivateKey] = (FIRST,)
    keyset_version: int = 1
    entry: str = "opg"
    calendar: str = "XNYS"
    min_appliance_version: str = "0.1.0"
    sleeve: str = "equities_xs"
    config_sha256: str = "1" * 64
    analogs_sha256: str | None = None
    ic: InformationCoefficient = field(default_factory=lambda: InformationCoefficient(mean=0.01, t=1.2, standard_error=0.008))

    def but(self, **changes: object) -> Recipe:
        return replace(self, **changes)  # type: ignore[arg-type]

    def with_file(self, name: str, part: Part, content: bytes) -> Recipe:
        return self.but(files={**self.files, name: (part, content)})

    def manifest(self) -> BundleManifest:
        arrays = self.all_arrays()
        files = tuple(
            BundleFile(path=path, part=part, size=len(content), sha256=sha256_of(content), arrays=described(arrays.get(path, {})))
            for path, (part, content) in sorted(self.all_files().items())
        )
        form = self.form or ModelForm()
        if self.form is None or form.members == ModelForm().members:
            heads = tuple(line.name for line in form.heads)
            models = sorted(path for path, (part, _) in self.files.items() if part is Part.MODEL)
            members = tuple(MemberLine(path=path, profile=profile_of(form.view), heads=heads) for path in models)
            form = form.model_copy(update={"members": members})
        lines = tuple(FeatureLine(name=n, units=u, lookback_sessions=k) for n, u, k in self.spec)
        return identified(
            seq=self.seq,
            created=CREATED,
            role=self.role,
            refusal=self.refusal,
            promotion=self.promotion,
            sleeve=self.sleeve,
            features=lines,
            spec_hash=spec_hash(list(self.spec)),
            horizon_sessions=5,
            entry=self.entry,
            calendar=self.calendar,
            first_training_session=date(2023, 1, 2),
            last_training_session=self.last,
            expiry_sessions=self.expiry_sessions,
            ic=self.ic,
            golden_tolerance_sd=1e-5,
            trainer=Trainer(code_version="0.1.0", lock_sha256="0" * 64, config_sha256=self.config_sha256, snapshot_ids=("2" * 64,), seed=1),
            keyset_version=self.keyset_version,
            min_appliance_version=self.min_appliance_version,
            files=files,
            analogs_sha256=self.analogs_sha256,
            **{name: getattr(form, name) for name in ModelForm.model_fields},
        )

    def all_arrays(self) -> dict[str, Arrays]:
        """Every file of arrays."""
        return {"golden.bin": self.golden.arrays} | {path: arrays for path, (_, arrays) in self.arrays.items()}

    def all_files(self) -> dict[str, tuple[Part, bytes]]:
        """Every file but the manifest and its signature."""
        parts = {"golden.bin": Part.GOLDEN} | {path: part for path, (part, _) in self.arrays.items()}
        return {**self.files, **{path: (parts[path], packed(arrays)) for path, arrays in self.all_arrays().items()}}

    def write(self, folder: Path) -> BundleManifest:
        """Write the folder with its manifest signed by `keys`; return the manifest."""
        manifest = self.manifest()
        folder.mkdir(parents=True, exist_ok=True)
        for path, (_, content) in self.all_files().items():
            (folder / path).write_bytes(content)
        write_signed(folder, manifest.to_bytes(), self.keys)
        return manifest


def write_signed(folder: Path, raw: bytes, keys: Sequence[Ed25519PrivateKey] = (FIRST,)) -> None:
    """Write `raw` as the manifest, whatever it says, with good signatures over it."""
    (folder / "manifest.json").write_bytes(raw)
    (folder / "manifest.sig").write_bytes(sign(MANIFEST_KIND, raw, keys))


def policy(**changes: object) -> Policy:
    base = Policy(today=TODAY, calendar=weekdays(), sleeves={"equities_xs": SPEC}, roles=frozenset(Role), appliance_version="0.1.0")
    return replace(base, **changes)  # type: ignore[arg-type]
