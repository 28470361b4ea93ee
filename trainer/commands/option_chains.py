"""`trainer options`: chains, surfaces, structures and their backtest."""

from collections import Counter
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from signals.bundle.seal import sign
from signals.config import load_section, parse
from signals.errors import BadDataset, DataNotUsable, FixInput
from signals.files import sha256_of, write_atomic
from signals.market.dataset import load_bars, read_manifest
from signals.market.sessions import NEW_YORK, SessionStatus, xnys
from signals.models.inference import predict
from signals.scoring.evening_scores import seal_scores
from signals.scoring.option_structures import STRUCTURES_KIND, EveningStructures, structures_name
from signals.sleeves.options_vol import OPTIONS_VOL
from signals.text.console import aligned, emit, progress, remark
from signals.text.documents import from_json, to_json
from signals.text.wording import clean
from trainer.clock import now
from trainer.commands.options import DATA, AsJson, dated
from trainer.curation.vendors.actions import read_actions
from trainer.curation.vendors.mapping import read_mapping
from trainer.curation.vendors.packing import pack
from trainer.options.backtest import OptionBacktestConfig, option_backtest
from trainer.options.curation import FOLDER, MANIFEST, ChainDelivery, ingest_chains, read_chains_of, read_manifest_of_chains
from trainer.options.positions import TEMPLATES, Forecast, Forecasts, VegaCaps, candidates, of_evenings
from trainer.options.surface import Surface, surface_of
from trainer.publishing.keys import load_keyset, signing_keys
from trainer.publishing.stores import dataset_store
from trainer.runs import looks
from trainer.runs.evidence import read_evidence
from trainer.runs.run_folder import file_hash
from trainer.samples.joined_datasets import with_other_datasets
from trainer.validation.calibration import Platt

SHOWN = 20
FIRST, AHEAD = date(1990, 1, 2), timedelta(days=3 * 365)  # of the sessions that an action may take effect at
OPTIONS = typer.Typer(no_args_is_help=True, help="Curate option chains, fit their surfaces, and judge and backtest what is built on them.")

Chains = Annotated[Path, typer.Option("--chains", help="Folder of option chains, as made by `trainer options ingest`.")]
Root = Annotated[str, typer.Option(help="Underlier.")]
ReportFolder = Annotated[Path, typer.Option(help="Folder for the report.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands to `app`."""
    app.add_typer(OPTIONS, name="options", rich_help_panel=DATA)


@OPTIONS.command()
def ingest(
    quotes: Annotated[list[Path], typer.Option(help="File of option quotes or contracts, .parquet, .csv or .json; may be repeated.")],
    to: Annotated[Path, typer.Option(help="Folder of chains to write; `options` in a dataset's folder is where trainings look.")],
    actions: Annotated[Path | None, typer.Option(help="Corporate actions, whose splits restate the closes.", show_default=False)] = None,
    mapping: Annotated[Path | None, typer.Option(help="YAML whose section `options` names the columns.", show_default=False)] = None,
    vendor: Annotated[str, typer.Option(help="Who delivered it.")] = "",
    add: Annotated[bool, typer.Option("--add", help="Keep the days that are not delivered now.")] = False,
    today: Annotated[date | None, dated("Last day that a quote may have.", show_default="today in New York")] = None,
    as_json: AsJson = False,
) -> None:
    """Read option quotes, audit them by underlying and day, and write them as chains.

    Files on the same contracts are joined. Rows that are no quotes are quarantined with their reason. Exit code 1: every day is RED.

    Example: trainer options ingest --quotes spxw.parquet --to var/data/spxw/options
    """
    names, last = read_mapping(mapping), today or now().astimezone(NEW_YORK).date()
    calendar = xnys(FIRST, last + AHEAD)
    known = () if actions is None else read_actions(pack(actions)[1], names.actions, calendar, where=str(actions), today=last)
    delivery = ChainDelivery({str(path): pack(path)[1] for path in quotes}, names.options, known, vendor)
    with progress("ingesting", as_json=as_json):
        found = ingest_chains(delivery, to, today=last, add=add, note=lambda note: remark(f"NOTE {note}"))
    counted = Counter(str(audit.status) for audit in found.audits)
    poor = [audit for audit in found.audits if audit.status is not SessionStatus.GREEN]
    lines = [f"{len(found.roots)} underlyings, {len(found.audits)} days: {', '.join(f'{n} {word}' for word, n in sorted(counted.items()))}"]
    lines += [f"{audit.status} {audit.root} {audit.day}: {'; '.join(audit.reasons)}" for audit in poor[:SHOWN]]
    lines += [f"and {len(poor) - SHOWN} more"] if len(poor) > SHOWN else []
    emit({"folder": str(to), "days": dict(counted), **to_json(found)}, as_json=as_json, text="\n".join(map(clean, lines)))
    raise typer.Exit(int(counted[str(SessionStatus.RED)] == len(found.audits)))


@OPTIONS.command()
def report(
    chains: Chains,
    root: Root,
    to: ReportFolder,
    day: Annotated[date | None, dated("Day that is shown in full.", show_default="the last")] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the surfaces of an underlier and report them with their quality, and what its history can show of a premium.

    Example: trainer options report --chains var/data/spxw/options --root SPXW --to var/reports/spxw
    """
    from trainer.reports.options import surface_report  # it brings matplotlib, which few commands need
    from trainer.tasks.hedged_pnl import LEAST_SESSIONS, refusal  # tasks bring what learns

    surfaces = [surface for surface in _surfaces(chains, root, as_json=as_json) if surface.smiles]
    wanted = [surface for surface in surfaces if day in (None, surface.chain.day)]
    if not wanted:
        raise BadDataset(f"no surface of {root} on {day or 'any day'}", where=str(chains), fix="Name a day that is not RED")
    profits = of_evenings(surfaces)["straddle_1"]
    warning = (refusal(profits),) if np.isfinite(profits).sum() < LEAST_SESSIONS else ()
    for name, content in surface_report(surfaces, wanted[-1], warning).items():
        write_atomic(to / name, content)
    slices = [(one.chain.day, smile) for one in surfaces for smile in one.smiles]
    rows = [{"day": at, "expiration": str(s.expiration), "rmse": s.rmse, "inside": s.inside, "flags": s.flags} for at, s in slices]
    text = "\n".join([f"{to / 'report.html'}", *warning])
    emit({"report": str(to), "slices": to_json(rows), "refusal": warning}, as_json=as_json, text=text)


@OPTIONS.command()
def backtest(
    chains: Chains,
    root: Root,
    to: ReportFolder,
    config: Annotated[Path | None, typer.Option(help="YAML with a section `options_backtest`: trade, costs.", show_default=False)] = None,
    template: Annotated[str | None, typer.Option(help="straddle, vertical or calendar.", show_default="configured, else straddle")] = None,
    side: Annotated[str | None, typer.Option(help="Whether to buy or to sell it.", show_default="configured, else sell")] = None,
    as_json: AsJson = False,
) -> None:
    """Trade a template of one underlier day by day, hedged at the close, and account for it to the cent.

    Example: trainer options backtest --chains var/data/spxw/options --root SPXW --to var/reports/spxw-backtest
    """
    from trainer.reports.options import backtest_report, backtest_rows  # as above
    from trainer.tasks.hedged_pnl import LEAST_SESSIONS, refusal

    own = load_section(config, "options_backtest", OptionBacktestConfig)
    given = {name: word for name, word in (("template", template), ("side", side)) if word is not None}
    own = parse({**own.model_dump(), **given}, OptionBacktestConfig, where="--template, --side")
    evenings = [evening for evening in _surfaces(chains, root, as_json=as_json) if evening.chain.spot > 0.0]
    if not evenings:
        raise BadDataset(f"no day of {root} has a close of the underlying", where=str(chains), fix="Ingest closes with the quotes")
    days = option_backtest(evenings, own)
    warning = (refusal(np.array([float(one.net) for one in days]), unit="USD"),) if len(days) < LEAST_SESSIONS else ()
    for name, content in backtest_report(root, days, own, warning).items():
        write_atomic(to / name, content)
    rows = [{**to_json(one), "gross": str(one.gross), "costs": str(one.costs), "net": str(one.net)} for one in days]
    emit({"report": str(to), "days": rows, "refusal": warning}, as_json=as_json, text="\n".join([*aligned(backtest_rows(days)), *warning]))


@OPTIONS.command()
def structures(
    data: Annotated[Path, typer.Option(help="Dataset folder with the underliers' bars, and their chains in its folder options.")],
    run: Annotated[Path, typer.Option(help="Run folder of `trainer train --sleeve options_vol`.")],
    keys: Annotated[Path, typer.Option(help="Folder made by `trainer keys`.")],
    to: Annotated[str, typer.Option(help="Store that devices pull from: a folder or s3://bucket/prefix.")],
    asof: Annotated[date | None, dated("Session whose close prices them.", show_default="the dataset's last")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML whose section `vega_caps` caps |vega|.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Price the evening's candidate structures at the touch, size them by caps of vega, sign and publish them.

    A device shows them with `appliance structures`. Nobody trades them.

    Example: trainer options structures --data var/data/us --run var/runs/options_vol --keys var/keys --to var/store
    """
    caps, created, evidence = load_section(config, "vega_caps", VegaCaps), now(), read_evidence(run)
    if evidence.sleeve != OPTIONS_VOL.name:
        raise FixInput(f"a run of {evidence.sleeve or 'no sleeve'}, not of {OPTIONS_VOL.name}", where=str(run), fix="Name another run")
    looks.require_as_made(data, run, (file_hash(run / "model.onnx"),))
    manifest, folder = read_manifest(data), data / FOLDER
    day, known = asof or manifest.last, read_manifest_of_chains(folder)
    chains = (chain for root in known.roots for chain in read_chains_of(folder, known, root))
    evenings = {chain.root: surface_of(chain) for chain in chains if chain.day == day}
    if not evenings:
        raise DataNotUsable("no underlier has a usable chain", where=str(day), fix="Ingest the evening's chains")
    bars = load_bars(data, manifest, manifest.first, day)
    panel = OPTIONS_VOL.features(with_other_datasets(OPTIONS_VOL, bars, data, manifest), day)
    found = candidates(evenings, _forecasts(*panel.at(day), run, evidence.part("hedged", dict[str, Any], {})), caps)
    store, keyset, name = dataset_store(to, "", None), load_keyset(keys), structures_name(day)
    payload = EveningStructures(
        asof=day,
        created=created,
        chains_sha256=sha256_of((folder / MANIFEST).read_bytes()),
        keyset_version=keyset.version,
        name_cap_usd=caps.name_usd,
        total_cap_usd=caps.total_usd,
        structures=found,
    )
    signatures = sign(STRUCTURES_KIND, payload.to_bytes(), signing_keys(keys, keyset, created.date()))
    store.replace(name, seal_scores(payload, signatures), store.get(name))
    lines = [f"{name}: {len(found)} structures"]
    lines += [f"{one.side} {one.units:g} {one.template} of {one.root}: {one.debit_usd:+,.2f} USD a unit" for one in found]
    emit({"name": name, "structures": payload.model_dump(mode="json")["structures"]}, as_json=as_json, text="\n".join(map(clean, lines)))


def _forecasts(symbols: tuple[str, ...], rows: np.ndarray, run: Path, figures: Mapping[str, Any]) -> Forecasts:
    """What the run's models say of the verticals and calendars of every underlier."""
    found: dict[tuple[str, str], Forecast] = {}
    for template in (name for name in TEMPLATES[1:] if name in figures and symbols):
        points = predict([(run / f"{template}.onnx").read_bytes()], rows)
        chance = from_json(Platt, figures[template]).probability(np.abs(points))  # NaN where the run has no map
        said = map(Forecast, points.tolist(), chance.tolist())
        found |= {(symbol, template): one for symbol, one in zip(symbols, said, strict=True)}
    return found


def _surfaces(folder: Path, root: str, *, as_json: bool) -> list[Surface]:
    chains, fitted = read_chains_of(folder, read_manifest_of_chains(folder), root), []
    with progress("surfaces", len(chains), as_json=as_json) as step:
        for chain in chains:
            fitted.append(surface_of(chain))
            step(chain.day)
    return fitted
