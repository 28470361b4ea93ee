"""`trainer search` and `trainer compare`: selects parameters and learners without using the holdout."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from signals.errors import FixInput
from signals.files import write_atomic
from signals.text.console import GOES_ON, Kept, aligned, emit, progress
from signals.text.documents import to_json
from trainer.commands import options
from trainer.commands.defaults import announce, new_folder, recipe_of, workspace_of
from trainer.commands.training import device_named, overridden, say_where

if TYPE_CHECKING:
    from trainer.runs.trials import EvidenceTrials, SearchFigures
    from trainer.search.trial_log import Trial


def search(
    context: typer.Context,
    sleeve: options.Sleeve,
    data: options.Data = options.OURS,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the best recipe and the sampler's memory; it is added to.", show_default="search-<sleeve> among the runs"
        ),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Trials that the study shall have, those it has included.")] = 20,
    storage: options.Storage = "",
    bars: options.Bars = None,
    start: options.Start = None,
    end: options.End = None,
    symbols: options.Symbols = "",
    learner: options.Learner = None,
    device: options.Device = "auto",
    config: options.RecipeFile = None,
    seed: options.Seed = 1,
    workers: options.Workers = 2,
    cluster: options.Cluster = "",
    as_json: options.AsJson = False,
) -> None:
    """Search for a learner's parameters; stop and resume at will.

    Trials are judged by the task's own metric: a book's net Sharpe ratio where returns are ranked, the AUC of a gate, the loss
    that a forecast saves. Every trial, failed and pruned ones too, is written to trials.jsonl in the dataset's folder, with its
    series, and counts. The best recipe names its study, for `trainer train --config`.

    Example: trainer search --sleeve equities_xs --trials 50
    """
    from trainer.learners.fanout import cluster as connected
    from trainer.promotion.bars.config import read_bars
    from trainer.runs import looks
    from trainer.samples.samples import Range, prepare
    from trainer.search.run import SearchRequest, TrialRun, figures, per_split, searched, steps, tried
    from trainer.tasks.recipes import agreed, read_config, recipe_named

    recipe, config = recipe_named(sleeve), config or recipe_of(context, sleeve)
    if to is None:
        to = workspace_of(context).require("runs", "to") / f"search-{sleeve}"
        announce("--to", to)
    chosen = overridden(read_config(config, recipe) if config else recipe.config, {"learner": learner})
    recipe = agreed(recipe, chosen, device_named(device))
    say_where((chosen.learner,), chosen, device_named(device), shown=not as_json)
    material = prepare(recipe, chosen, Range(data, start, end, options.names_in(symbols)))
    recipe, chosen = replace(recipe, sleeve=material.sleeve, config=material.config), material.config
    run, fixed = TrialRun(data, seed, device_named(device), workers), read_bars(bars).fingerprint()
    total = steps(chosen, trials) + (chosen.cpcv.groups - 1) * recipe.task.is_traded
    kept = Kept(f"the trials that were done are kept in {to}", GOES_ON)
    with connected(cluster), progress("searching", total, as_json=as_json, kept=lambda: kept) as step:
        found, shared = searched(recipe, chosen, material, SearchRequest(to, trials, storage, fixed), run, step)
        by_book = per_split(recipe, found.config, material, run, bars_hash=fixed, step=step) if recipe.task.is_traded else None
    path = to / f"best-{found.study}.yml"
    write_atomic(path, yaml.safe_dump(found.config.model_dump(mode="json"), sort_keys=False).encode())
    looks.record(data, looks.of_rows("search", sleeve, found.study, material.rows, chosen.cpcv))
    judged: EvidenceTrials | SearchFigures | None = figures(data, found.study, found.best.key, material.rows)
    if by_book is not None:
        judged = tried(data, by_book[0], material.rows, by_book[1], study=found.study, shared=shared).document
    assert judged is not None
    known = {**to_json(judged), "best": {"number": found.best.number, "parameters": found.best.parameters}, "recipe": str(path)}
    emit(known, as_json=as_json, text=_summary(judged, found.best, path))


def compare(
    context: typer.Context,
    sleeve: options.Sleeve,
    learners: Annotated[str, typer.Option(help="Comma-separated names of learners; `all` of those that the task's head allows.")],
    data: options.Data = options.OURS,
    to: options.NewRun = None,
    horizons: Annotated[str, typer.Option(help="Comma-separated bars ahead, of a sleeve of minutes; the recipe's where empty.")] = "",
    start: options.Start = None,
    end: options.End = None,
    symbols: options.Symbols = "",
    device: options.Device = "auto",
    config: options.RecipeFile = None,
    seed: options.Seed = 1,
    workers: options.Workers = 2,
    cluster: options.Cluster = "",
    weights: Annotated[
        Path | None, typer.Option(help="Folder of a foundation model's checkpoint; nothing is fetched.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Prove several learners on the same rows, splits and seed, and print one table.

    The sealed holdout stays sealed. Writes comparison.md and comparison.json. Of a sleeve of minutes validation ranks every
    learner at every horizon, the sealed part is opened once for the best one, and compare.html shows all next to the clock alone
    and a noise twin. Learners that were compared before on the instrument, and earlier looks at the sealed part, are charged.

    Example: trainer compare --sleeve equities_xs --learners lightgbm,ridge
    """
    from trainer.learners.fanout import cluster as connected
    from trainer.learners.table import with_weights
    from trainer.runs import looks
    from trainer.runs.run_folder import canonical_json, refuse_existing, write_run
    from trainer.samples.samples import Range, prepare
    from trainer.search.run import TrialRun
    from trainer.tasks.barrier_classes.comparison_files import files, summary
    from trainer.tasks.barrier_classes.config import BarsRecipe
    from trainer.tasks.recipes import agreed, config_of, read_config, recipe_named
    from trainer.training.compare import compare as compared
    from trainer.training.compare import compared as compared_bars
    from trainer.training.compare import document, every_learner, steps, table

    recipe, config = recipe_named(sleeve), config or recipe_of(context, sleeve)
    to = to or new_folder(context, "--to", "comparison", sleeve)
    refuse_existing(to)
    chosen = read_config(config, recipe) if config else recipe.config
    kinds = every_learner(chosen) if learners == "all" and isinstance(chosen, BarsRecipe) else learners_named(learners)
    if weights is not None:
        sections = with_weights(chosen, kinds, weights)
        chosen = config_of({**chosen.model_dump(mode="json"), **sections}, where="--weights")
    span = Range(data, start, end, options.names_in(symbols))
    if isinstance(chosen, BarsRecipe):
        asked = tuple(int(one) for one in horizons.split(",")) if horizons else (chosen.label.k,)
        say_where(kinds, chosen, device_named(device), shown=not as_json)
        with connected(cluster), progress("comparing", len(asked) * len(kinds), as_json=as_json) as step:
            found = compared_bars(recipe, chosen, kinds, asked, span, seed, step)
        written = files(found, f"Learners of direction, {', '.join(span.symbols) or sleeve}")
        write_run(to, dict(written))
        emit(json.loads(written["compare.json"]), as_json=as_json, text="\n".join(aligned(summary(found))))
        return
    recipe = agreed(recipe, chosen, wishes=("comparison",))
    say_where(kinds, chosen, device_named(device), shown=not as_json)
    with connected(cluster), progress("comparing", steps(chosen, kinds), as_json=as_json) as step:
        material = prepare(recipe, chosen, span)
        recipe = replace(recipe, sleeve=material.sleeve)
        rows = compared(recipe, chosen, material, kinds, TrialRun(data, seed, device_named(device), workers), step)
    looks.record(data, looks.of_rows("compare", sleeve, chosen.fingerprint(), material.rows, chosen.cpcv))
    identity = {"sleeve": sleeve, "seed": seed, "snapshot_id": material.source.manifest.snapshot_id}
    content = canonical_json(document(rows, chosen, identity))
    printed = table(rows)
    write_run(to, {"comparison.json": content, "comparison.md": f"# Learners of {sleeve}\n\n{printed}\n".encode()})
    emit(json.loads(content), as_json=as_json, text=printed)


def trials(
    data: options.Data = options.OURS,
    merge: Annotated[
        list[Path] | None, typer.Option(help="Dataset, search or run folder whose record is added; repeatable.", show_default=False)
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Say what is on a dataset's record of trials, and merge the record of another folder into it.

    Versions of a dataset share one record, and datasets in one folder are read together. What was tried on a copy of
    the data, or on another machine, is merged: each trial once, and which sessions it showed.
    """
    from trainer.runs import looks
    from trainer.search import trial_log
    from trainer.search.counting import counting, sleeves_of

    if not data.is_dir():
        raise FixInput("no such folder", where=str(data), fix="Name a dataset: --data DIR")
    came = {str(folder): trial_log.merge(data, folder) for folder in merge or ()}
    for folder in merge or ():
        looks.merge(data, folder)
    history = trial_log.known(data)
    sleeves = sorted({sleeve for study in history.studies.values() for sleeve in sleeves_of(study.identity)})
    counts = {sleeve: counting(history, (sleeve,), "0000", "9999") for sleeve in sleeves}
    rows = {
        sleeve: {"trials": found.tries, "blind": found.blind, "retrained": found.retrained, "states": found.states}
        for sleeve, found in counts.items()
    }
    lines = [f"{number} records from {folder}" for folder, number in came.items()]
    lines += [
        f"{sleeve}: {row['trials']} trials, {row['blind']} of them without returns; {row['retrained']} retrainings of "
        "a lineage count as none"
        for sleeve, row in rows.items()
    ]
    anchor = history.anchor
    document = {"merged": came, "sleeves": rows, "records": anchor.records, "head": anchor.head}
    emit(document, as_json=as_json, text="\n".join(lines) or "Nothing has been tried yet.")


def learners_named(text: str) -> tuple[Any, ...]:
    """Return the kinds of a comma-separated list; raise `FixInput` for an unknown one."""
    from trainer.learners.table import LEARNERS

    names = options.names_in(text)
    unknown = [name for name in names if name not in LEARNERS]
    if unknown or not names:
        raise FixInput(f"no learner {', '.join(unknown) or 'named'}", where="--learners", fix=f"Choose from: {', '.join(LEARNERS)}")
    return tuple(names)


def _summary(judged: EvidenceTrials | SearchFigures, best: Trial, recipe: Path) -> str:
    from trainer.reports.training import deflation, search_lines
    from trainer.runs.trials import SearchFigures

    lines = [
        ("Best trial", f"{best.number}: " + ", ".join(f"{k} {v}" for k, v in best.parameters.items())),
        *(search_lines(judged) if isinstance(judged, SearchFigures) else deflation(judged)),
        ("Recipe", str(recipe)),
    ]
    return "\n".join(aligned(lines))


register = options.registered({options.TRAINING: (search, compare, trials)})
