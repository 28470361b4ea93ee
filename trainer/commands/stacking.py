"""`trainer stack`: combines several sleeves' scores, if the combination beats the best member."""

from pathlib import Path
from typing import Annotated

import typer

from signals.config import load
from signals.errors import FixInput
from signals.scoring.sleeve_weights import SleeveWeights
from signals.text.console import aligned, emit, progress
from trainer.clock import now
from trainer.commands.defaults import new_folder
from trainer.commands.options import OURS, PUBLISHING, REFUSED_EXIT, TRAINING, WORKSPACE, AsJson, Data, Keys, NewRun
from trainer.publishing.stores import Endpoint, S3Credentials, dataset_store


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(rich_help_panel=TRAINING)(stack)
    app.command("publish-stack", rich_help_panel=PUBLISHING)(publish_stack_command)


def stack(
    context: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Option(help="Run folder of `trainer train`; once for each sleeve.", show_default="those there, one of each sleeve"),
    ] = OURS,
    data: Data = OURS,
    to: NewRun = None,
    learner: Annotated[str, typer.Option(help="What combines: ridge (non-negative weights) or lightgbm.")] = "ridge",
    sleeves: Annotated[Path | None, typer.Option("--sleeves", "--router", help="Configured weights: configs/sleeves.yml; equal.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the trees.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Stack runs that were trained on the same sessions, folds and label.

    The stack learns from scores of models that saw neither what they score nor what the stack is tested on. It is
    promotable when it beats the best member out of sample without a worse deflated Sharpe ratio or probability of loss,
    and its probabilities do no harm; then sleeves.yml in the folder holds the weights for devices, which
    `trainer publish-stack` signs. Exit code 1: not promotable.
    """
    from signals.code_version import code_version
    from signals.text.documents import to_json
    from trainer.stacking.run import StackLearner, StackRequest, lines_of, warnings_of
    from trainer.stacking.run import stack as stack_runs

    if learner not in list(StackLearner):
        raise FixInput(f"no combiner {learner!r}", where="--learner", fix="Choose ridge or lightgbm")
    average = load(sleeves, SleeveWeights).weights if sleeves else {}
    to = to or new_folder(context, "--to", "stack", learner)
    with progress("stacking", as_json=as_json):
        known = stack_runs(StackRequest(tuple(runs), data, to, average, StackLearner(learner), seed, code_version("trainer")))
    text = [*aligned(lines_of(known)), "", *(f"WARNING: {warning}" for warning in warnings_of(known)), f"Report: {to / 'report.html'}"]
    emit({**to_json(known), "to": str(to)}, as_json=as_json, text="\n".join(text))
    if not known.promotable:
        raise typer.Exit(REFUSED_EXIT)


def publish_stack_command(
    stack: Annotated[Path, typer.Option("--stack", help="Folder that `trainer stack` wrote.", show_default="asked for")] = OURS,
    data: Data = OURS,
    keys: Keys = OURS,
    to: Annotated[str, typer.Option(help="Store that devices pull from: a folder or s3://bucket/prefix.", show_default=WORKSPACE)] = OURS,
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Sign the weights of a promotable stack for devices with `stack: true`.

    The stack's verdict must be the one that `trainer stack` recorded in the dataset's folder. A device counts its sleeves
    by them while they are valid; where they are refused, the weights of its settings hold.
    """
    from trainer.publishing.signed.stack import publish_stack

    with progress("publishing", as_json=as_json):
        made = publish_stack(stack, data, keys, dataset_store(to, endpoint, credentials), now())
    said = ", ".join(f"{sleeve} {weight:.3f}" for sleeve, weight in made.weights.items())
    emit({"seq": made.seq, "weights": made.weights}, as_json=as_json, text=f"Stack {made.seq}: {said}")
