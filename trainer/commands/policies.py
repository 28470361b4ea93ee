"""`trainer stack | publish-stack | policy | publish-policy | tuner`: what combines sleeves, what sizes the book, and arms of events."""

from pathlib import Path
from typing import Annotated

import typer

from signals.config import load
from signals.errors import FixInput
from signals.scoring.sleeve_weights import SleeveWeights
from signals.text.console import Kept, aligned, emit, progress
from trainer.clock import now
from trainer.commands.defaults import new_folder, workspace_of
from trainer.commands.options import OURS, PUBLISHING, REFUSED_EXIT, TRAINING, AsJson, Data, Keys, NewRun, Run, Seed, Store, registered
from trainer.publishing.stores import Endpoint, S3Credentials, dataset_store


def policy(
    context: typer.Context,
    run: Run = OURS,
    data: Data = OURS,
    to: Annotated[Path | None, typer.Option(help="Folder to write; it must not exist.", show_default="named by date and learner")] = None,
    learner: Annotated[str, typer.Option(help="What learns: fitted_q; iql, cql or decision_transformer need torch.")] = "fitted_q",
    blocks: Annotated[int, typer.Option(min=2, help="Blocks of the walk-forward; all but the first are judged.")] = 5,
    decisions: Annotated[
        Path | None, typer.Option(help="Draws to judge by too: a file of `appliance sizes --to`, or a folder of them.", show_default=False)
    ] = None,
    margin: Annotated[float, typer.Option(min=0.0, help="Gain that the bound must be above, of equity a year.")] = 0.005,
    equity: Annotated[float, typer.Option(min=1.0, help="USD in the account at the start.")] = 100_000.0,
    config: Annotated[Path | None, typer.Option(help="Folder with portfolio.yml and execution.yml: configs; defaults without it.")] = None,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Learn a sizing policy from a run's walk-forward book, and judge it.

    Each session it multiplies the book by 0, 0.25, 0.5, 0.75 or 1. It is accepted where the one-sided 95 % bound of its
    gain over the whole book is above --margin, neither drawdown nor turnover is worse, and no limit of losses is
    tripped that the whole book keeps, both on the replay of weights and by the order-exact engine, and by a log of
    drawn multipliers where one is given. A refusal says how often such a history would have shown a true gain. Every
    question of a sleeve makes the bound stricter, on datasets next to this one and in the registry too. The folder's
    policy.json is what `trainer publish-policy` signs. Exit code 1: refused.

    Example: trainer policy --run var/runs/a --data var/data/us
    """
    from signals.code_version import code_version
    from signals.text.documents import to_json
    from trainer.backtest.sizing import PolicyRequest, judged_policy
    from trainer.backtest.subject import settings_of
    from trainer.runs.evidence import read_evidence
    from trainer.tasks.recipes import require_traded

    require_traded(read_evidence(run), run)
    settings = settings_of(config, equity_usd=equity, fixed_ic=None)
    to = to or new_folder(context, "--to", "policy", learner)
    registry = workspace_of(context).places.registry
    request = PolicyRequest(run, data, to, settings, learner, seed, blocks, code_version("trainer"), decisions, margin, registry)
    with progress("policy", as_json=as_json) as step:
        made = judged_policy(request, step)
    rows = [("judged", f"{made.first} to {made.last}"), ("tries", str(made.tries))]
    rows += [(name, one.sentence) for name, one in made.verdicts.items()]
    rows += [("verdict", "refused" if made.refusals else "accepted"), ("to", str(to))]
    emit({**to_json(made), "is_accepted": not made.refusals, "to": str(to)}, as_json=as_json, text="\n".join(aligned(rows)))
    if made.refusals:
        raise typer.Exit(REFUSED_EXIT)


def publish_policy(
    policy: Annotated[Path, typer.Option("--policy", help="Folder that `trainer policy` wrote.", show_default="asked for")] = OURS,
    data: Data = OURS,
    keys: Keys = OURS,
    to: Store = OURS,
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Sign an accepted policy for devices with `sizing: true`.

    Policy and verdicts must be those that `trainer policy` recorded in the dataset's folder: changed by hand, of another
    dataset or refused, they are signed by nobody.
    """
    from trainer.publishing.signed.sizing import publish_sizing

    kept = Kept("a policy that was in the store already stays there, whole", "Run the same command: it publishes the next number")
    with progress("publishing", as_json=as_json, kept=lambda: kept):
        made = publish_sizing(policy, data, keys, dataset_store(to, endpoint, credentials), now())
    text = f"Sizing policy {made.seq}: at least {made.bound:+.2%} a year, learned to {made.last_training_session}"
    emit({"seq": made.seq, "bound": made.bound, "verdict_sha256": made.verdict_sha256}, as_json=as_json, text=text)


def tuner(
    recorded: Annotated[Path, typer.Option(help="What devices recorded: a file of `appliance arms --to`, or a folder of them.")],
    as_json: AsJson = False,
) -> None:
    """Judge arms of target and size by what events drew in shadow.

    Every arm is judged as the policy that always takes it: by inverse propensities (IPS, SNIPS) and doubly robust (DR), in
    R of an event before costs. An arm is preferred where the bound of its gain over the recipe's, which holds for all arms
    together, is above 0 with an effective sample of 100. Nothing is traded on it.
    """
    from signals.events.arms import ARMS
    from signals.text.documents import to_json
    from trainer.off_policy.tuner import report_of

    with progress("judging", as_json=as_json):
        found = report_of(recorded)
    heads = ("target", "size", "drawn", "effective", "IPS", "SNIPS", "DR", "gain", "bound", "")
    text = ["{:>6} {:>5} {:>7} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8}  {}".format(*heads)]
    for arm, one, count in zip(ARMS, found.arms, found.drawn, strict=True):
        figures = " ".join(f"{x:>+8.4f}" for x in (one.ips, one.snips, one.dr, one.gain, one.gain_bound))
        said = "preferred" if one.preferred else "; ".join(one.overlap.faults)
        text.append(f"{arm.target:>6} {arm.size:>5} {count:>7} {one.overlap.effective_sample:>9.0f} {figures}  {said}".rstrip())
    text.append(
        f"{found.decisions} decisions; left out: {found.is_open} since the first open trade, {found.without_result} without a result"
    )
    text += ["REHEARSAL: a device that made its own time recorded this"] * found.is_rehearsal
    emit(to_json(found), as_json=as_json, text="\n".join(text))


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


def publish_stack(
    stack: Annotated[Path, typer.Option("--stack", help="Folder that `trainer stack` wrote.", show_default="asked for")] = OURS,
    data: Data = OURS,
    keys: Keys = OURS,
    to: Store = OURS,
    endpoint: Endpoint = "",
    credentials: S3Credentials = None,
    as_json: AsJson = False,
) -> None:
    """Sign the weights of a promotable stack for devices with `stack: true`.

    The stack's verdict must be the one that `trainer stack` recorded in the dataset's folder. A device counts its sleeves
    by them while they are valid; where they are refused, the weights of its settings hold.
    """
    from trainer.publishing.signed.documents import publish_stack as published

    with progress("publishing", as_json=as_json):
        made = published(stack, data, keys, dataset_store(to, endpoint, credentials), now())
    said = ", ".join(f"{sleeve} {weight:.3f}" for sleeve, weight in made.weights.items())
    emit({"seq": made.seq, "weights": made.weights}, as_json=as_json, text=f"Stack {made.seq}: {said}")


register = registered({TRAINING: (stack, policy, tuner), PUBLISHING: (publish_stack, publish_policy)})
