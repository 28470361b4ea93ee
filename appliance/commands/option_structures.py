"""`appliance structures`: the trainer's candidate option structures of an evening, with their payoffs; none is traded."""

from pathlib import Path
from typing import Annotated

import typer

from appliance.bundles.delivered_scores import newest_keyset
from appliance.bundles.store import BundleStore
from appliance.commands.bundle_verification import device_time
from appliance.commands.text_table import render
from appliance.config import load_config
from appliance.options import DEFAULT_STATE, AsJson, Credentials, State, to_session
from appliance.reports.svg import Box, Chart, Line, drawn
from appliance.storage.published_sources import PublishedSources
from appliance.system.clock import SystemClock
from appliance.system.state_folder import DurableFs, StateFolder
from signals.errors import FixInput, ScoresRefused
from signals.files import write_atomic
from signals.scoring.evening_scores import open_signed
from signals.scoring.option_structures import STRUCTURES_KIND, CandidateStructure, EveningStructures, structures_name
from signals.text.console import emit

PICTURE_WIDTH, PICTURE_HEIGHT, MOST_PICTURES = 760, 190, 40
PROFIT, ZERO = "#1f5f8b", "#c05621"
TICKS = (0, 15, 30, 45, 60)


def register(app: typer.Typer) -> None:
    """Put the command of this file on `app`."""
    app.command("structures")(show_structures)


def show_structures(
    asof: Annotated[str, typer.Option("--asof", metavar="YYYY-MM-DD", help="Session whose close priced them.", show_default=False)],
    state: State = DEFAULT_STATE,
    credentials: Credentials = None,
    to: Annotated[Path | None, typer.Option("--to", help="SVG file for the payoffs at the first expiry.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Show an evening's candidate option structures as the trainer signed them; they are not traded.

    The store's newest key set judges the signatures, by the device's day. Their |vega| is within the caps that the
    document names, or it is refused. With --to their payoffs are drawn.
    """
    folder, day = StateFolder(state), to_session(asof)
    folder.require()
    sources = PublishedSources(load_config(folder.config).stores, folder.key_folder(credentials))
    store, name = sources.bundles(), structures_name(day)
    content = store.find(name)
    if content is None:
        raise FixInput(f"there are no structures of {day}", where=name, fix="Publish them with `trainer options structures`")
    keyset = newest_keyset(store, BundleStore(folder.bundles, DurableFs(), keys=folder.bundles))
    manifest = sources.manifest(folder)
    today = manifest.calendar.last_closed(device_time(folder, manifest, credentials, SystemClock()))
    judged = max(day, today)  # a key that has expired since counts no more
    found = open_signed(content, STRUCTURES_KIND, EveningStructures, keyset, judged, name)
    if found.asof != day:  # signed, but of another evening: whoever has the store can put an old one under a new name
        raise ScoresRefused(f"structures of {found.asof}, not of {day}", where=name, fix="Publish those of that evening")
    if to is not None:
        write_atomic(to, payoffs(found))
    fields = [(one, one.model_dump(mode="json", exclude={"payoff"})) for one in found.structures]
    rows = [own | {"legs": _legs(one), "flags": ", ".join(one.flags)} for one, own in fields]
    text = render(rows, COLUMNS, empty="no structure is worth its spreads") + "\nCandidates only: nothing here is traded."
    emit({"asof": found.asof.isoformat(), "rows": rows}, as_json=as_json, text=text)


COLUMNS = ("root", "side", "template", "units", "legs", "debit_usd", "vega_usd", "theta_usd", "expected_points", "probability", "flags")


def _legs(one: CandidateStructure) -> str:
    return "; ".join(f"{leg.quantity:+g} {leg.expiration} {leg.strike:g}{leg.right} {leg.bid:g}/{leg.ask:g}" for leg in one.legs)


def payoffs(found: EveningStructures) -> bytes:
    """Return profit at the first expiry over the underlier of every structure, one chart each, as an SVG document."""
    shown = [one for one in found.structures if one.payoff][:MOST_PICTURES]
    charts = []
    for place, one in enumerate(shown):
        title = f"{one.side} {one.template} of {one.root}, USD a unit at the first expiry; underlier {one.underlier:g}"
        names = {tick: f"{one.payoff[tick][0]:.4g}" for tick in TICKS if tick < len(one.payoff)}
        lines = (Line([usd for _, usd in one.payoff], PROFIT), Line([0.0] * len(one.payoff), ZERO, is_dashed=True))
        charts.append((Chart(title, lines, names=names), Box(0.0, float(place * PICTURE_HEIGHT), PICTURE_WIDTH, PICTURE_HEIGHT)))
    return drawn(charts, PICTURE_WIDTH, PICTURE_HEIGHT * max(1, len(shown)))
