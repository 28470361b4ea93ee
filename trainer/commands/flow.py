"""`trainer flow`: learn and judge what confirms the next move of a book; research, no device reads it."""

from pathlib import Path
from typing import Annotated

import typer

from signals.files import write_atomic
from signals.text.console import emit, progress
from trainer.commands.options import TRAINING, AsJson, Seed, registered
from trainer.validation.clustered import interval
from trainer.validation.ic import Mean

GROUPS, WANTED_MOVES = 4, 500_000


def flow(
    out: Annotated[Path, typer.Option(help="Folder to write: the chosen model and what was found.")],
    events: Annotated[
        Path | None, typer.Option(help="Parquet file of one instrument's market-by-order events.", show_default=False)
    ] = None,
    tick: Annotated[float, typer.Option(min=1e-9, help="Tick of its prices.")] = 0.01,
    seconds: Annotated[int, typer.Option(min=1, help="Without --events: seconds of an invented book of a known law.")] = 20_000,
    seed: Seed = 7,
    patience: Annotated[int, typer.Option(min=1, help="Seconds within which the middle moves, else a second is not labelled.")] = 10,
    net: Annotated[bool, typer.Option("--net", help="Let the net challenge the logistic regression; needs torch.")] = False,
    as_json: AsJson = False,
) -> None:
    """Learn whether the next move of the middle is up, from the top of a book second by second.

    A logistic regression of the imbalance is the champion; one of aggregates, and with --net a convolutional net with attention,
    takes its place where its log loss is lower in pairs, walking forward. Inputs that no source gives are never learned from.
    """
    from signals.text.documents import to_json
    from trainer.flow import confirmation
    from trainer.flow.top_of_book import INPUTS, LEARNED, generate_book, read_events, reconstruct
    from trainer.runs.run_folder import canonical_json

    with progress("order flow", as_json=as_json) as step:
        given = None if events is None else read_events(events)
        book = generate_book(seed, seconds)[0] if given is None else reconstruct(given, tick)
        shape = {"patience": patience, "groups": GROUPS, "seed": seed}
        found, exported = confirmation.judged(book, confirmation.config_of(), **shape, with_net=net, step=step)
    said = {
        "chosen": found.chosen,
        "inputs": [{"name": one.name, "units": one.units, "source": one.source} for one in INPUTS],
        "learned_from": list(LEARNED),
        "figures": to_json(found),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / "model.onnx", exported.onnx)
    write_atomic(out / "flow.json", canonical_json(said))
    lines = [
        f"{found.moves:,} moves of the middle, judged walking forward; {WANTED_MOVES:,} are wanted",
        *(f"AUC of {one.name:14} {interval(one.auc)}{_saved(one.advantage)}" for one in found.candidates),
    ]
    lines += [f"chosen: {found.chosen} ({out / 'model.onnx'})", f"no source: {', '.join(x.name for x in INPUTS if x.name not in LEARNED)}"]
    emit(said, as_json=as_json, text="\n".join(lines))


def _saved(advantage: Mean) -> str:
    return f", log loss saved {interval(advantage)} in pairs" if advantage.sessions else ""


register = registered({TRAINING: (flow,)})
