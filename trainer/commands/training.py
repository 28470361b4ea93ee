"""`trainer train | models | status | validate`: trains a sleeve and writes a run folder, lists learners, and checks a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from signals.errors import FixInput
from signals.minutes.grid import Hours
from signals.sleeves.bars import Strategy
from signals.text.console import GOES_ON, Kept, aligned, emit, progress
from signals.text.documents import to_json
from trainer.commands import options
from trainer.commands.defaults import new_folder, recipe_of

if TYPE_CHECKING:
    from trainer.learners.base import FitDevice
    from trainer.learners.row import LearnerRow
    from trainer.recipes.base import RecipeConfig
    from trainer.runs.evidence import Evidence


MINUTES, RECIPE = "One instrument's minutes", "In place of the recipe's settings"
SEARCH, CHECKS = "A search before the training", "Further checks"


def train(
    context: typer.Context,
    sleeve: Annotated[str, typer.Option(help="Which sleeve, as `equities_xs`.", show_default="the preset's")] = "",
    data: options.Data = options.OURS,
    run: options.NewRun = None,
    start: options.Start = None,
    end: options.End = None,
    symbols: options.Symbols = "",
    symbol: Annotated[
        str, typer.Option(help="The one name of a sleeve of minutes.", show_default="the dataset's only one", rich_help_panel=MINUTES)
    ] = "",
    timeframe: Annotated[
        int | None, typer.Option(help="Minutes of a decision's bar.", show_default="the recipe's", rich_help_panel=MINUTES)
    ] = None,
    strategy: Annotated[
        Strategy | None,
        typer.Option(help="What a decision sees of the ladder of timeframes.", show_default="the recipe's", rich_help_panel=MINUTES),
    ] = None,
    hours: Annotated[
        Hours | None, typer.Option(help="Hours of a session that are used.", show_default="the exchange's own", rich_help_panel=MINUTES)
    ] = None,
    horizon: Annotated[
        int | None, typer.Option(help="Bars of a decision's horizon, as --k.", show_default="the recipe's", rich_help_panel=MINUTES)
    ] = None,
    barriers: Annotated[
        int | None,
        typer.Option(help="Search barriers on the training part, this many trials.", show_default="the recipe's", rich_help_panel=MINUTES),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help="A recipe that is ready to use: small, the starter; event_minutes, a gate of events of 5 minutes.", show_default=False
        ),
    ] = "",
    label: Annotated[
        str | None,
        typer.Option(
            help="What is learned: horizon, triple_barrier, series_return, volatility, barrier_classes, event_gate, event_quantiles, "
            "event_arms, event_score.",
            show_default="the recipe's",
            rich_help_panel=RECIPE,
        ),
    ] = None,
    k: Annotated[int | None, typer.Option(help="Sessions from entry to exit.", show_default="the recipe's", rich_help_panel=RECIPE)] = None,
    folds: Annotated[
        int | None, typer.Option(help="Groups of the cross-validation.", show_default="the recipe's", rich_help_panel=RECIPE)
    ] = None,
    embargo: Annotated[int | None, typer.Option(help="Embargo in sessions.", show_default="the recipe's", rich_help_panel=RECIPE)] = None,
    learner: options.Learner = None,
    device: options.Device = "auto",
    config: options.RecipeFile = None,
    seed: options.Seed = 1,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, help="Models with seeds of their own to average.", show_default="the recipe's", rich_help_panel=RECIPE),
    ] = None,
    workers: options.Workers = 2,
    trials: Annotated[int, typer.Option(min=0, help="Search this many sets of parameters first.", rich_help_panel=SEARCH)] = 0,
    search: Annotated[
        Path | None,
        typer.Option(help="Folder of the sampler's memory.", show_default="search-<sleeve> next to the run folder", rich_help_panel=SEARCH),
    ] = None,
    storage: options.Storage = "",
    bars: options.Bars = None,
    cluster: options.Cluster = "",
    second_vendor: Annotated[
        Path | None,
        typer.Option(
            help="Dataset of another vendor's bars of the same names; 300 name-sessions are compared for leaks.",
            show_default=False,
            rich_help_panel=CHECKS,
        ),
    ] = None,
    importance: Annotated[bool, typer.Option(help="Add permutation importance and SHAP to the report.", rich_help_panel=CHECKS)] = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a sleeve and prove it out of fold.

    Fits the sleeve's learner under combinatorial purged cross-validation and walking forward, exports the published
    model to ONNX, and writes models, out-of-fold scores, evidence and report to the run folder. The last sessions stay
    sealed for promotion. Every training is a trial, recorded next to the data. RED sessions are refused. The label chooses
    the task: the sleeve risk forecasts volatilities, and drawdowns next to them.

    Example: trainer train --sleeve equities_xs
    Example: trainer train --sleeve bars --symbol GEN --timeframe 5 --strategy indicators --horizon 20
    Example: trainer train --preset small
    """
    # Imported here: learners and plots take seconds to load, and every other command does without them.
    from signals.code_version import code_version
    from trainer.learners.fanout import cluster as connected
    from trainer.promotion.bars.config import read_bars
    from trainer.search.run import SearchRequest
    from trainer.tasks.recipes import preset_named, read_config, recipe_named
    from trainer.training.train import TrainingRequest, steps
    from trainer.training.train import train as train_recipe

    ready = preset_named(preset) if preset else None
    if ready and config:
        raise FixInput("a preset and a recipe file at once", where="--preset", fix="Leave one of --preset and --config out")
    sleeve = sleeve or (ready.sleeve if ready else "")
    if not sleeve:
        raise FixInput("which sleeve is not said", where="--sleeve", fix="Give --sleeve equities_xs, or --preset small")
    config = config or (None if ready else recipe_of(context, sleeve))
    recipe, fixed = recipe_named(sleeve), read_bars(bars).fingerprint()
    chosen = overridden(
        ready or (read_config(config, recipe) if config else recipe.config),
        {
            **{"learner": learner, "seeds": seeds, "label.kind": label, "label.k": horizon or k, "label.search": barriers},
            **{"cpcv.groups": folds, "cpcv.embargo_sessions": embargo},
            **{"minutes.timeframe": timeframe, "minutes.strategy": strategy, "minutes.hours": hours},
        },
    )
    run = run or new_folder(context, "--run", sleeve, chosen.learner, chosen.fingerprint()[:8])
    request = TrainingRequest(
        data=data,
        run=run,
        start=start,
        end=end,
        symbols=(symbol,) if symbol else options.names_in(symbols),
        seed=seed,
        workers=workers,
        code_version=code_version("trainer"),
        device=device_named(device),
        search=SearchRequest(search or run.parent / f"search-{sleeve}", trials, storage, fixed) if trials else None,
        importance=importance,
        bars_hash=fixed,
        second=second_vendor,
    )
    say_where((chosen.learner,), chosen, request.device, shown=not as_json)
    total = steps(chosen, trials=trials, is_explained=importance)
    with connected(cluster), progress("training", total, as_json=as_json, kept=lambda: _kept(run, trials)) as step:
        known = train_recipe(recipe, chosen, request, step)
    emit({**to_json(known), "run": str(run)}, as_json=as_json, text=summary(known, run))


def _kept(run: Path, trials: int) -> Kept:
    """What there is of a training that a person ended."""
    from trainer.runs.run_folder import checkpoints_of

    if checkpoints_of(run).exists():
        return Kept(f"the epochs of its networks are kept in {checkpoints_of(run)}", f"Run the same command with --run {run}: it goes on")
    return Kept("the trials that were done are kept, no run was written", GOES_ON) if trials else Kept("no run was written")


def device_named(name: str) -> FitDevice:
    """Return the device of that name; raise `FixInput` when there is none."""
    from trainer.learners.base import FitDevice

    if name not in list(FitDevice):
        raise FixInput(f"no device {name!r}", where="--device", fix=f"Choose one of: {', '.join(FitDevice)}")
    return FitDevice(name)


def say_where(learners: tuple[str, ...], config: RecipeConfig, wish: FitDevice, *, shown: bool) -> None:
    """Write on standard error where each learner fits; raise `FixInput` where that cannot be what was wished for."""
    from trainer.learners.base import FitDevice
    from trainer.learners.table import capabilities_of, learner_named

    for name in learners:
        device = learner_named(name, config, 0, wish).device
        without = wish is FitDevice.AUTO and device is FitDevice.CPU and FitDevice.CUDA in capabilities_of(name, config).devices
        if shown:
            typer.echo(f"{name} fits on {device}{': it finds no CUDA device here' if without else ''}", err=True)


def overridden(config: RecipeConfig, given: Mapping[str, object]) -> RecipeConfig:
    """Return `config` with what the command line names, as `cpcv.groups`, and None where it does not; checked as a file's would be."""
    from trainer.tasks.recipes import config_of

    document = config.model_dump(mode="json")
    if given.get("label.kind") not in (None, config.label.kind):
        document["label"] = {}  # what was chosen of another label means nothing to this one
    for name, value in given.items():
        section, _, key = name.rpartition(".")
        held = document[section] if section else document
        if value is not None:
            if held is None:
                fix = "Leave it out, or take --sleeve bars or --preset event_minutes"
                raise FixInput(f"the recipe reads no minutes, so it has no {key}", where=f"--{key}", fix=fix)
            held[key] = value
    return config_of(document, where="the command line")


def summary(known: Evidence, run: Path) -> str:
    """Return what a person reads when a training is done."""
    from trainer.tasks import TASKS

    lines = next(task for task in TASKS.values() if task.kind == known.label).rows(known)
    warned = [f"WARNING: {warning}" for warning in known.warnings]
    return "\n".join([*aligned(lines), "", *warned, "", f"Report: {run / 'report.html'}"])


def models(as_json: options.AsJson = False) -> None:
    """List the learners: family, views, heads, scaling, usual feature set, GPU, and cost of 60,000 rows on two cores.

    Those of installed packages are listed too. `docs/models.md` says how to choose one, and how to add one.

    Example: trainer models
    """
    from trainer.learners.table import LEARNERS

    lines = [_line_of(row) for row in LEARNERS.values()]
    rows = [tuple(lines[0]), *(tuple(line.values()) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    text = "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    emit({"models": lines}, as_json=as_json, text=text)


def _line_of(row: LearnerRow) -> dict[str, str]:
    """What a recipe must know of one learner, by its parameters and capabilities."""
    from trainer.learners.base import FitDevice
    from trainer.learners.networks.parameters import AttentionConfig, MambaConfig, NetworkConfig
    from trainer.learners.parameters import BoostedConfig, EnsembleConfig, FoundationConfig, RandomForestConfig

    config, can = row.config, row.capabilities
    usual = ("table", "in the graph, by moments or quartiles", "ensemble_base", "seconds")
    for kinds, found in (
        (BoostedConfig, ("trees", "none: numbers as they are", "boosting_optimal", "seconds")),
        (RandomForestConfig, ("trees", "none: the mean where one is missing", "boosting_optimal", "a minute")),
        ((AttentionConfig, MambaConfig), ("network", "in the graph, by moments or quartiles", "transformer_raw", "an hour")),
        (NetworkConfig, ("network", "in the graph, by moments or quartiles", "neural_optimal", "minutes")),
        (EnsembleConfig, ("ensemble", "the members'", "ensemble_base", "the members', once a fold")),
        (FoundationConfig, ("foundation", "the library's", "one series of returns", "no fit, an hour to score")),
    ):
        if issubclass(config, kinds):
            usual = found
            break
    family, scaling, features, cost = usual
    heads, views = (", ".join(sorted(names)) for names in (can.heads, can.views))
    gpu = "yes" if FitDevice.CUDA in can.devices else "no"
    known = {"name": row.name, "family": family, "views": views, "heads": heads}
    return {**known, "scaling": scaling, "features": features, "gpu": gpu, "cost": cost}


def status(run: options.Run = options.OURS, as_json: options.AsJson = False) -> None:
    """Show the stages of a training on minutes: which are done, and what each of them found.

    Works while the training is under way, after it broke off, and on a finished run.

    Example: trainer status --run var/runs/bars
    """
    from trainer.training.stages import STAGES, read_stages

    found = {str(stage["stage"]): stage for stage in read_stages(run)}
    rows = [
        (f"{number:2d} {name}", _figures(found[name]) if name in found else "to be done") for number, name in enumerate(STAGES, start=1)
    ]
    emit(
        {"run": str(run), "done": len(found), "of": len(STAGES), "stages": list(found.values())},
        as_json=as_json,
        text="\n".join(aligned(rows)),
    )


def validate(run: options.Run = options.OURS, as_json: options.AsJson = False) -> None:
    """Check a finished run against itself: features, golden scores, certificate, stages; exit code 1 where something differs.

    Example: trainer validate --run var/runs/bars
    """
    from trainer.training.stages import faults_of

    faults = faults_of(run)
    emit({"run": str(run), "faults": faults}, as_json=as_json, text="\n".join(faults) or f"{run}: nothing differs")
    if faults:
        raise typer.Exit(options.REFUSED_EXIT)


def _figures(stage: dict[str, object]) -> str:
    """Plain figures of a stage in one line."""
    return ", ".join(
        f"{name} {value}" for name, value in stage.items() if name not in ("stage", "number") and not isinstance(value, list | dict)
    )


register = options.registered({options.TRAINING: (train, models, status, validate)})
