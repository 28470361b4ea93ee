"""Computes and publishes signed daily scores for devices with `scoring: pulled`.

The published bundles are verified as a device would verify them, and scored by `signals.scoring.scoring.score` on the dataset
that devices pull: what is delivered is, to the bit, what such a device would have computed from the same bundle.
Delivering again what did not change changes nothing; a change is a new revision.

Each night also leaves dated, versioned partitions: the rows that were scored, and the labels that followed.

    nights/<slot>/asof=2026-11-27/rows-1.parquet      symbol, asof, every feature, score, bundle, snapshot
    nights/<slot>/asof=2026-11-27/labels-1.parquet    symbol, asof, label

A higher number says that the same night was made again of corrected data or by another bundle; none is ever changed. Windows
and pictures are views of these rows. `trainer outlook --rows` scores a partition of rows again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from signals.bundle import Bundle, Keyset, Policy, Role, read_bundle_manifest, read_folder, verify_contents
from signals.bundle.contents import Contents
from signals.bundle.layout import TRADED, find_latest
from signals.bundle.manifest import MANIFEST_NAME
from signals.bundle.seal import sign
from signals.code_version import release
from signals.errors import DataNotUsable, FixInput, NotASession, ScoresRefused
from signals.features.panel import FeaturePanel
from signals.files import write_atomic
from signals.market.bars import Bars, Floats
from signals.market.dataset import load_bars, read_manifest
from signals.market.manifest import Manifest
from signals.market.sessions import SessionStatus
from signals.models.inference import infer
from signals.scoring.evening_scores import SCORES_KIND, EveningScores, open_scores, scores_name, seal_scores
from signals.scoring.scoring import newest_features, score
from signals.sleeves import SLEEVES, specs
from signals.sleeves.bars import BarsSleeve
from signals.sleeves.events import DAILY_EVENTS
from signals.sleeves.risk import RISK
from trainer.curation.store import ObjectStore
from trainer.curation.writer import parquet_bytes
from trainer.publishing.keys import load_keyset, signing_keys
from trainer.samples.joined_datasets import with_other_datasets

ROWS, LABELS = "rows", "labels"


def keep_rows(folder: Path, slot: str, features: FeaturePanel, payload: EveningScores) -> None:
    """Keep the features of the names that were scored, their scores, and what they were made by and of."""
    place = {symbol: column for column, symbol in enumerate(features.symbols)}
    values = features.values[-1, [place[symbol] for symbol in payload.symbols]]
    columns = {name: values[:, number] for number, name in enumerate(features.names)}
    made = {name: [text] * len(values) for name, text in (("bundle", payload.bundle_sha256), ("snapshot", payload.snapshot_id))}
    _keep(folder / slot, ROWS, payload.asof, payload.symbols, {**columns, "score": np.array(payload.scores), **made})


def keep_labels(folder: Path, slot: str, asof: date, symbols: tuple[str, ...], values: Floats) -> None:
    """Keep what came of the names that were scored, as far as it is known."""
    known = np.flatnonzero(np.isfinite(values))
    if known.size:
        _keep(folder / slot, LABELS, asof, tuple(symbols[number] for number in known), {"label": values[known]})


def _keep(slot: Path, kind: str, asof: date, symbols: tuple[str, ...], columns: Mapping[str, object]) -> None:
    """Write the next version, unless the newest is this one."""
    content = parquet_bytes(pa.table({"symbol": list(symbols), "asof": pa.array([asof] * len(symbols), pa.date32()), **columns}))
    night = slot / f"asof={asof}"
    newest = max((int(path.stem.rpartition("-")[2]) for path in night.glob(f"{kind}-*.parquet")), default=0)
    if not newest or (night / f"{kind}-{newest}.parquet").read_bytes() != content:
        write_atomic(night / f"{kind}-{newest + 1}.parquet", content)


SHOWN = 20  # names of either end that a person reads


@dataclass(frozen=True)
class ScoringRequest:
    """Run, dataset and session of a scoring.

    Attributes
    ----------
    data : Path
        The dataset that devices pull: published, not one that is ahead of it.
    keys : Path
        Key folder of `trainer keys`.
    asof : date or None
        None is the dataset's last session.
    created : datetime
        UTC; is kept in the documents and decides nothing but which keys sign.
    nights : Path or None
        Folder that keeps what was scored, as `trainer.publishing.daily_scores` has it.
    """

    data: Path
    keys: Path
    asof: date | None
    created: datetime
    nights: Path | None = None


@dataclass(frozen=True)
class PublishedScores:
    """One document: its name in the store, what it says, and whether it was written now."""

    name: str
    payload: EveningScores
    is_new: bool


def deliver(evening: ScoringRequest, bundles: ObjectStore, to: ObjectStore, folder: Path | None = None) -> tuple[PublishedScores, ...]:
    """Score every published bundle at asof and deliver the scores.

    Parameters
    ----------
    bundles : ObjectStore
        Where the bundles are published.
    to : ObjectStore
        Where devices look for scores: the store of their bundles.
    folder : Path, optional
        One bundle's folder, scored in place of the newest published one.

    Raises
    ------
    FixInput
        Nothing is published, the keys cannot sign, or what was delivered before cannot be read.
    BundleRefused
        A device would refuse the bundle; nothing was delivered.
    NotASession, DataNotUsable, ScoresInvalid
        The dataset does not hold asof, its data are RED, or a score is not finite.
    """
    manifest, keyset = read_manifest(evening.data), load_keyset(evening.keys)
    asof = evening.asof or manifest.last
    if not manifest.first <= asof <= manifest.last:
        raise NotASession(
            f"the dataset does not hold {asof}", where=f"{manifest.first} to {manifest.last}", fix="Choose a session inside it"
        )
    if manifest.status(asof).status is SessionStatus.RED:
        raise DataNotUsable(f"the data of {asof} are RED", where=str(evening.data), fix="Look at `trainer audit`")
    found = slots(bundles)
    if folder:
        own = read_folder(folder)
        found = {**{name: one for name, one in found.items() if name != _sleeve_of(own)}, _sleeve_of(own): own}
    if not any(name in SLEEVES and name != RISK.name for name in found):
        raise FixInput("no bundle is published", fix="Run `trainer publish`, or name a folder with --bundle")
    known = {name: verified(contents, keyset, manifest, asof) for name, contents in found.items()}
    made = {name: said for name, bundle in known.items() if (said := _said(bundle, keyset, manifest, asof, evening)) is not None}
    delivered = tuple(_put(to, name, payload, keyset, evening) for name, (payload, _) in made.items())
    if evening.nights is not None:
        for name, (payload, features) in made.items():
            keep_rows(evening.nights, name, features, payload)
    return delivered


def slots(store: ObjectStore) -> dict[str, Contents]:
    """The newest bundles that devices take: of each daily sleeve by its name, and of its shadow; they name their slots alike."""
    daily = [name for name, sleeve in SLEEVES.items() if not isinstance(sleeve, BarsSleeve)]
    traded = {name: _newest(store, (name,), TRADED, former=name == RISK.name) for name in daily}
    shadows = {f"{name}-{Role.SHADOW}": _newest(store, (name,), (Role.SHADOW,)) for name in daily}
    if not any(contents for name, contents in traded.items() if name != RISK.name):
        former = _newest(store, tuple(name for name in daily if name != RISK.name), TRADED, former=True)
        traded |= {_sleeve_of(former): former} if former else {}
    return {name: contents for name, contents in (*traded.items(), *shadows.items()) if contents is not None}


def _sleeve_of(contents: Contents) -> str:
    return read_bundle_manifest(contents.files.get(MANIFEST_NAME, b""), contents.where).sleeve


def _newest(store: ObjectStore, sleeves: tuple[str, ...], roles: tuple[Role, ...], *, former: bool = False) -> Contents | None:
    """The newest bundle of these sleeves and roles; None where there is none."""
    latest = find_latest(store.get, sleeves, roles, former=former)
    if latest is None:
        return None
    where = f"{latest.place}/{latest.folder}"
    found = {name: content for name in latest.files if (content := store.get(latest.path(name))) is not None}
    return Contents(where, found)


def verified(contents: Contents, keyset: Keyset, manifest: Manifest, asof: date) -> Bundle:
    """Verify a published bundle as a device would on the evening of asof, an expired one too; raise `BundleRefused`."""
    published = read_bundle_manifest(contents.files.get(MANIFEST_NAME, b""), contents.where)
    policy = Policy(
        today=asof,
        calendar=manifest.calendar,
        sleeves=specs(published.feature_spec),
        roles=frozenset(Role),
        appliance_version=release(),
        entry=published.entry,
        refuses_expired=False,
    )
    return verify_contents(contents, keyset, policy, reproduce=infer)


def _said(bundle: Bundle, keyset: Keyset, data: Manifest, asof: date, evening: ScoringRequest) -> tuple[EveningScores, FeaturePanel] | None:
    """Return what a bundle says of the evening; None of one of events where no name has any, so that the others are delivered.

    None too of one that reads what past events made: its device knows its bank, and nothing else does.
    """
    days = data.calendar
    if bundle.manifest.analogs_sha256 is not None:
        return None

    def trailing(last: date, sessions: int) -> Bars:
        bars = load_bars(evening.data, data, max(data.first, days.days[max(0, days.index(last) - sessions + 1)]), last)
        return with_other_datasets(SLEEVES[bundle.manifest.sleeve], bars, evening.data, data)

    features = newest_features(bundle, trailing, asof)
    if DAILY_EVENTS in SLEEVES[bundle.manifest.sleeve].inputs and not features.eligible[-1].any():
        return None
    found = score(bundle, features)
    payload = EveningScores(
        asof=asof,
        sleeve=found.sleeve,
        revision=1,
        created=evening.created,
        calendar=days.name,
        spec_hash=bundle.manifest.spec_hash,
        snapshot_id=data.snapshot_id,
        bundle_sha256=bundle.sha256,
        bundle_seq=bundle.manifest.seq,
        keyset_version=keyset.version,
        symbols=found.symbols,
        scores=tuple(float(value) for value in found.values),
    )
    return payload, features


def page(slot: str, payload: EveningScores) -> bytes:
    """Return what a person reads of an evening's scores, in Markdown; devices read the signed document beside it."""
    ranked = sorted(zip(payload.scores, payload.symbols, strict=True), key=lambda one: (-one[0], one[1]))
    rows = [f"| {place} | {symbol} | {value:+.4f} |" for place, (value, symbol) in enumerate(ranked, start=1)]
    if len(rows) > 2 * SHOWN:
        rows = [*rows[:SHOWN], "| ... | | |", *rows[-SHOWN:]]
    lines = [
        f"# Scores of {slot}, close of {payload.asof}",
        "",
        f"{len(ranked):,} names, revision {payload.revision}. Bundle {payload.bundle_sha256[:16]} (sequence {payload.bundle_seq}), "
        f"data {payload.snapshot_id[:16]}. Of two names the one with the higher score is expected to return more.",
        "",
        "| rank | symbol | score |",
        "|---:|---|---:|",
        *rows,
    ]
    return ("\n".join(lines) + "\n").encode()


def _put(to: ObjectStore, slot: str, payload: EveningScores, keyset: Keyset, evening: ScoringRequest) -> PublishedScores:
    name = scores_name(slot, payload.asof)
    before = to.get(name)
    if before is not None:
        standing = _standing(before, keyset, payload.asof, name)
        if _says_the_same(standing, payload):
            _put_page(to, slot, standing)
            return PublishedScores(name, standing, is_new=False)
        payload = payload.model_copy(update={"revision": standing.revision + 1})
    keys = signing_keys(evening.keys, keyset, evening.created.date())
    to.replace(name, seal_scores(payload, sign(SCORES_KIND, payload.to_bytes(), keys)), before)
    _put_page(to, slot, payload)
    return PublishedScores(name, payload, is_new=True)


def _put_page(to: ObjectStore, slot: str, payload: EveningScores) -> None:
    name, content = scores_name(slot, payload.asof).removesuffix(".json") + ".md", page(slot, payload)
    if to.get(name) != content:
        to.put(name, content)


def _standing(content: bytes, keyset: Keyset, asof: date, name: str) -> EveningScores:
    try:
        return open_scores(content, keyset, asof, name)
    except ScoresRefused as error:
        raise FixInput(
            f"what was delivered before cannot be believed: {error.what}", where=name, fix="Find out who wrote it, then remove it"
        ) from None


def _says_the_same(one: EveningScores, other: EveningScores) -> bool:
    silent = {"revision": other.revision, "created": other.created, "keyset_version": other.keyset_version}
    return one.model_copy(update=silent) == other
