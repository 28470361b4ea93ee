"""`trainer status | validate`: the stages of a training on minutes, and verification of its run."""

import typer

from signals.text.console import aligned, emit
from trainer.commands.options import OURS, REFUSED_EXIT, TRAINING, AsJson, Run


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(rich_help_panel=TRAINING)(status)
    app.command(rich_help_panel=TRAINING)(validate)


def status(run: Run = OURS, as_json: AsJson = False) -> None:
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


def validate(run: Run = OURS, as_json: AsJson = False) -> None:
    """Check a finished run against itself: features, golden scores, certificate, stages; exit code 1 where something differs.

    Example: trainer validate --run var/runs/bars
    """
    from trainer.training.stages import faults_of

    faults = faults_of(run)
    emit({"run": str(run), "faults": faults}, as_json=as_json, text="\n".join(faults) or f"{run}: nothing differs")
    if faults:
        raise typer.Exit(REFUSED_EXIT)


def _figures(stage: dict[str, object]) -> str:
    """Plain figures of a stage in one line."""
    return ", ".join(
        f"{name} {value}" for name, value in stage.items() if name not in ("stage", "number") and not isinstance(value, list | dict)
    )
