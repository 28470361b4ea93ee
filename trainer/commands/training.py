"""`trainer train`: trains a sleeve, validates it out of fold and writes a run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from signals.errors import FixInput
from signals.text.console import emit
from signals.text.documents import to_json

if TYPE_CHECKING:
    from trainer.learners.base import FitDevice
    from trainer.recipes.base import RecipeConfig
    from trainer.runs.evidence import Evidence
    from trainer.search.tried import SearchRequest

PANEL = "Training"
SEARCH_HELP = "Folder of the sampler's memory, `search-<sleeve>` next to the run folder; trials are recorded with the data."
LEARNER_HELP = "What learns: lightgbm, catboost, ridge, logistic, mlp; lightgbm unless configured."
BARS_HELP = "YAML whose section `promotion` holds the bars, configs/trainer.yml; promotion will hold it to them."
SECOND_HELP = "Dataset of another vendor's bars of the same names; 300 name-sessions are compared for leaks."
DEVICE_HELP = "Where to fit: auto, cpu, cuda. auto takes CUDA where learner and machine have it."


def register(app: typer.Typer) -> None:
    """Add the training commands to `app`."""
    app.command(rich_help_panel=PANEL)(train)


def train(
    sleeve: Annotated[str, typer.Option(help="Which sleeve, as `equities_xs`.")],
    data: Annotated[Path, typer.Option(help="Dataset folder, as made by `trainer ingest`.")],
    run: Annotated[Path, typer.Option(help="Run folder to write; it must not exist.")],
    start: Annotated[str, typer.Option(help="First session whose features are learned from, YYYY-MM-DD.")] = "",
    end: Annotated[str, typer.Option(help="Last session that a label may end at, YYYY-MM-DD.")] = "",
    symbols: Annotated[str, typer.Option(help="Comma-separated names; all where empty.")] = "",
    label: Annotated[str | None, typer.Option(help="What is learned: horizon, triple_barrier, series_return or volatility.")] = None,
    k: Annotated[int | None, typer.Option(help="Sessions from entry to exit; 5 unless configured.")] = None,
    folds: Annotated[int | None, typer.Option(help="Groups of the cross-validation; 8 unless configured.")] = None,
    embargo: Annotated[int | None, typer.Option(help="Embargo in sessions; 10 unless configured.")] = None,
    learner: Annotated[str | None, typer.Option(help=LEARNER_HELP)] = None,
    device: Annotated[str, typer.Option(help=DEVICE_HELP)] = "auto",
    config: Annotated[Path | None, typer.Option(help="Recipe YAML: configs/sleeves/<sleeve>.yml.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of every random choice.")] = 1,
    seeds: Annotated[int | None, typer.Option(min=1, help="Models with seeds of their own to average.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Models fitted at a time; the result is the same.")] = 2,
    trials: Annotated[int, typer.Option(min=0, help="Search this many sets of parameters first.")] = 0,
    search: Annotated[Path | None, typer.Option(help=SEARCH_HELP)] = None,
    storage: Annotated[str, typer.Option(help="The sampler's memory, a SQLAlchemy URL; SQLite in --search.")] = "",
    bars: Annotated[Path | None, typer.Option(help=BARS_HELP)] = None,
    cluster: Annotated[str, typer.Option(help="Dask scheduler that fits, tcp://HOST:PORT; else this machine.")] = "",
    second_vendor: Annotated[Path | None, typer.Option(help=SECOND_HELP)] = None,
    importance: Annotated[bool, typer.Option(help="Add permutation importance and SHAP to the report.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the evidence as JSON; no progress bar.")] = False,
) -> None:
    """Train a sleeve and prove it out of fold.

    Fits the sleeve's learner under combinatorial purged cross-validation and walking forward, exports the published
    model to ONNX, and writes models, out-of-fold scores, evidence and report to the run folder. The last sessions stay
    sealed for promotion. Every training is a trial, recorded next to the data. RED sessions are refused. The label chooses
    the task: the sleeve risk forecasts volatilities, and drawdowns next to them.
    """
    # Imported here: learners and plots take seconds to load, and every other command does without them.
    from signals.code_version import code_version
    from trainer.learners.fanout import cluster as connected
    from trainer.promotion.bars.config import read_bars
    from trainer.tasks.recipes import read_config, recipe_named
    from trainer.training.train import TrainingRequest, steps
    from trainer.training.train import train as train_recipe

    recipe, fixed = recipe_named(sleeve), read_bars(bars).fingerprint()
    chosen = overridden(
        read_config(config, recipe) if config else recipe.config,
        label=label,
        k=k,
        groups=folds,
        embargo_sessions=embargo,
        learner=learner,
        seeds=seeds,
    )
    request = TrainingRequest(
        data=data,
        run=run,
        start=day(start, "--start"),
        end=day(end, "--end"),
        symbols=names_in(symbols),
        seed=seed,
        workers=workers,
        code_version=code_version("trainer"),
        device=device_named(device),
        search=_search_request(run, sleeve, trials, search, storage, fixed),
        importance=importance,
        bars_hash=fixed,
        second=second_vendor,
    )
    total = steps(chosen, trials=trials, is_explained=importance)
    with connected(cluster), progress(total, shown=not as_json) as step:
        known = train_recipe(recipe, chosen, request, step)
    emit({**to_json(known), "run": str(run)}, as_json=as_json, text=summary(known, run))


def names_in(symbols: str) -> tuple[str, ...]:
    """Split a comma-separated list; empty for an empty text."""
    return tuple(name.strip() for name in symbols.split(",") if name.strip())


def _search_request(run: Path, sleeve: str, trials: int, search: Path | None, storage: str, bars_hash: str) -> SearchRequest | None:
    """Return the search to run first; None where none is asked for."""
    from trainer.search.tried import SearchRequest

    return SearchRequest(search or run.parent / f"search-{sleeve}", trials, storage, bars_hash) if trials else None


def device_named(name: str) -> FitDevice:
    """Return the device of that name; raise `FixInput` when there is none."""
    from trainer.learners.base import FitDevice

    if name not in list(FitDevice):
        raise FixInput(f"no device {name!r}", where="--device", fix=f"Choose one of: {', '.join(FitDevice)}")
    return FitDevice(name)


def overridden(
    config: RecipeConfig,
    *,
    label: str | None,
    k: int | None,
    groups: int | None,
    embargo_sessions: int | None,
    learner: str | None = None,
    seeds: int | None = None,
) -> RecipeConfig:
    """Return `config` with what the command line names; values are checked as a file's would be."""
    document = config.model_dump(mode="json")
    if label is not None and label != config.label.kind:
        document["label"] = {}  # what was chosen of another label means nothing to this one
    if learner is not None:
        document["learner"] = learner
    if seeds is not None:
        document["seeds"] = seeds
    for section, key, value in (
        ("label", "kind", label),
        ("label", "k", k),
        ("cpcv", "groups", groups),
        ("cpcv", "embargo_sessions", embargo_sessions),
    ):
        if value is not None:
            document[section][key] = value
    from trainer.tasks.recipes import config_of

    return config_of(document, where="the command line")


def day(text: str, option: str) -> date | None:
    """Parse an ISO date; None for an empty text."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise FixInput(f"{text!r} is not a date", where=option, fix="Write it as YYYY-MM-DD") from None


def summary(known: Evidence, run: Path) -> str:
    """Return what a person reads when a training is done."""
    from trainer.tasks import TASKS

    lines = next(task for task in TASKS.values() if task.kind == known.label).rows(known)
    width = max(len(what) for what, _ in lines)
    parts = [f"{what:<{width}}  {figure}" for what, figure in lines]
    parts += ["", *(f"WARNING: {warning}" for warning in known.warnings), "", f"Report: {run / 'report.html'}"]
    return "\n".join(parts)


@contextmanager
def progress(total: int, *, shown: bool) -> Iterator[Callable[[str], None]]:
    """Draw a progress bar on standard error; `shown=False` draws nothing."""
    bar = Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
        transient=True,
    )
    with bar:
        task = bar.add_task("bars, features, labels", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)
