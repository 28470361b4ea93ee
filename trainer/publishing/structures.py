"""Publishes the evening's candidate structures as a signed document."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from signals.bundle.seal import sign
from signals.errors import DataNotUsable, FixInput
from signals.files import sha256_of
from signals.market.dataset import load_bars, read_manifest
from signals.models.inference import predict
from signals.scoring.evening_scores import seal_scores
from signals.scoring.option_structures import STRUCTURES_KIND, EveningStructures, structures_name
from signals.sleeves.options_vol import OPTIONS_VOL
from signals.text.documents import from_json
from signals.text.wording import reason_of
from trainer.curation.store import ObjectStore
from trainer.options.curation import FOLDER, MANIFEST, read_chains_of, read_manifest_of_chains
from trainer.options.structures import TEMPLATES, Forecast, VegaCaps, candidates
from trainer.options.surface import surface_of
from trainer.publishing.daily_scores import ScoringRequest
from trainer.publishing.keys import load_keyset, signing_keys
from trainer.runs import looks
from trainer.runs.evidence import read_evidence
from trainer.runs.run_folder import file_hash
from trainer.samples.joined_datasets import with_other_datasets
from trainer.validation.calibration import Platt


def publish_structures(request: ScoringRequest, run: Path, caps: VegaCaps, to: ObjectStore) -> tuple[str, EveningStructures]:
    """Compute a session's structures by a run of `options_vol`, sign and store them; return the document's name and content.

    Raises
    ------
    DataNotUsable
        No underlier has a chain of the session that may be used.
    FixInput
        The run is not of options_vol, lacks a model, is not what its training wrote, or the keys cannot sign.
    """
    evidence = read_evidence(run)
    if evidence.sleeve != OPTIONS_VOL.name:
        raise FixInput(f"a run of {evidence.sleeve or 'no sleeve'}, not of {OPTIONS_VOL.name}", where=str(run), fix="Name another run")
    looks.require_as_made(request.data, run, (file_hash(run / "model.onnx"),))
    manifest, folder = read_manifest(request.data), request.data / FOLDER
    asof = request.asof or manifest.last
    known = read_manifest_of_chains(folder)
    chains = (chain for root in known.roots for chain in read_chains_of(folder, known, root))
    evenings = {chain.root: surface_of(chain) for chain in chains if chain.day == asof}
    if not evenings:
        raise DataNotUsable("no underlier has a usable chain", where=str(asof), fix="Ingest the evening's chains")
    bars = load_bars(request.data, manifest, manifest.first, asof)
    panel = OPTIONS_VOL.features(with_other_datasets(OPTIONS_VOL, bars, request.data, manifest), asof)
    found = candidates(evenings, _forecasts(*panel.at(asof), run, evidence.part("hedged", dict[str, Any], {})), caps)
    keyset = load_keyset(request.keys)
    payload = EveningStructures(
        asof=asof,
        created=request.created,
        chains_sha256=sha256_of((folder / MANIFEST).read_bytes()),
        keyset_version=keyset.version,
        name_cap_usd=caps.name_usd,
        total_cap_usd=caps.total_usd,
        structures=found,
    )
    name = structures_name(asof)
    keys = signing_keys(request.keys, keyset, request.created.date())
    to.replace(name, seal_scores(payload, sign(STRUCTURES_KIND, payload.to_bytes(), keys)), to.get(name))
    return name, payload


def _forecasts(symbols: tuple[str, ...], rows: np.ndarray, run: Path, figures: Mapping[str, Any]) -> dict[tuple[str, str], Forecast]:
    """What the run's models say of the verticals and calendars of every underlier."""
    found: dict[tuple[str, str], Forecast] = {}
    for template in (name for name in TEMPLATES[1:] if name in figures and symbols):
        path = run / f"{template}.onnx"
        try:
            model = path.read_bytes()
        except OSError as error:
            raise FixInput(f"a model cannot be read: {reason_of(error)}", where=str(path), fix="Train again") from None
        points = predict([model], rows)
        chance = from_json(Platt, figures[template]).probability(np.abs(points))  # NaN where the run has no map
        said = map(Forecast, points.tolist(), chance.tolist())
        found |= {(symbol, template): one for symbol, one in zip(symbols, said, strict=True)}
    return found
