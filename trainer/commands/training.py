"""`trainer train`: fit a sleeve, prove it out of fold, and write a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from signals.config import load, parse
from signals.console import emit
from signals.errors import FixInput
from trainer.code_version import code_version
from trainer.evidence import LEAK_IC
from trainer.recipes import RECIPES
from trainer.recipes.base import LabelKind, Recipe, RecipeConfig
from trainer.reports.training import rows_of
from trainer.train import Request, steps, train
from trainer.validation.oof import Step


def train_command(
    sleeve: str = typer.Option(..., help="Which sleeve: " + ", ".join(RECIPES) + "."),
    data: Path = typer.Option(..., help="Curated dataset made by `trainer ingest`."),
    run: Path = typer.Option(..., help="Run folder to write; it must not exist."),
    start: str = typer.Option("", help="First session whose features are learned from (YYYY-MM-DD)."),
    end: str = typer.Option("", help="Last session that a label may end at (YYYY-MM-DD)."),
    symbols: str = typer.Option("", help="Comma-separated names; all when left out."),
    label: LabelKind = typer.Option(None, help="What is learned.", show_default="horizon"),
    k: int = typer.Option(None, help="Sessions from entry to exit.", show_default="5"),
    folds: int = typer.Option(None, help="Groups of the cross-validation.", show_default="8"),
    embargo: int = typer.Option(None, help="Embargo in sessions.", show_default="10"),
    config: Path = typer.Option(None, help="Recipe, as configs/sleeves/<sleeve>.yml.", show_default="built in"),
    seed: int = typer.Option(1, help="Seed of every random choice."),
    threads: int = typer.Option(2, min=1, help="Threads of the learner; the result is the same."),
    as_json: bool = typer.Option(False, "--json", help="Print the evidence as JSON, without a progress bar."),
) -> None:
    """Train a sleeve under combinatorial purged cross-validation and write its run folder."""
    recipe = recipe_named(sleeve)
    chosen = overridden(
        load(config, RecipeConfig) if config else recipe.config,
        label=label,
        k=k,
        groups=folds,
        embargo_sessions=embargo,
    )
    request = Request(
        data=data, run=run, start=day(start, "--start"), end=day(end, "--end"),
        symbols=tuple(name.strip() for name in symbols.split(",") if name.strip()),
        seed=seed, threads=threads, code_version=code_version(),
    )  # fmt: skip
    with progress(steps(chosen), shown=not as_json) as step:
        known = train(recipe, chosen, request, step)
    emit(known, as_json=as_json, text=summary(known, run))


def recipe_named(sleeve: str) -> Recipe:
    """Return the recipe of `sleeve`; raise `FixInput` when there is none."""
    if sleeve not in RECIPES:
        raise FixInput(f"no sleeve {sleeve!r}", where="--sleeve", mend=f"Choose one of: {', '.join(RECIPES)}")
    return RECIPES[sleeve]


def overridden(
    config: RecipeConfig, *, label: LabelKind | None, k: int | None, groups: int | None, embargo_sessions: int | None
) -> RecipeConfig:
    """Return `config` with what the command line names; values are checked as a file's would be."""
    document = config.model_dump()
    for section, key, value in (
        ("label", "kind", label), ("label", "k", k), ("cpcv", "groups", groups),
        ("cpcv", "embargo_sessions", embargo_sessions),
    ):  # fmt: skip
        if value is not None:
            document[section][key] = value
    return parse(document, RecipeConfig, where="the command line")


def day(text: str, option: str) -> date | None:
    """Parse an ISO date; None for an empty text."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise FixInput(f"{text!r} is not a date", where=option, mend="Write it as YYYY-MM-DD") from None


def summary(known: dict[str, Any], run: Path) -> str:
    """Return what a person reads when a training is done."""
    lines = rows_of(known)
    width = max(len(what) for what, _ in lines)
    parts = [f"{what:<{width}}  {figure}" for what, figure in lines]
    if abs(known["ic"]["mean"]) > LEAK_IC:
        parts += [
            "",
            "!" * 78,
            f"IC {known['ic']['mean']:+.4f}: a leak until proven otherwise. Do not trade on it.",
            "!" * 78,
        ]
    parts += ["", *(f"warning: {warning}" for warning in known["warnings"]), "", f"Report: {run / 'report.html'}"]
    return "\n".join(parts)


@contextmanager
def progress(total: int, *, shown: bool) -> Iterator[Step]:
    """Draw a progress bar on standard error; `shown=False` draws nothing."""
    bar = Progress(
        TextColumn("{task.description:<28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TimeRemainingColumn(), console=Console(stderr=True), disable=not shown,
    )  # fmt: skip
    with bar:
        task = bar.add_task("reading bars, features, labels", total=total)
        yield lambda name: bar.update(task, advance=1, description=name)
