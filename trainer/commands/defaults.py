"""Defaults of options: the workspace's only candidate, printed when it is used; several are asked about or refused."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import typer

from signals.errors import FixInput, TryAgain
from signals.text.wording import clean
from trainer.clock import now
from trainer.workspace import Places, Workspace

ENVIRONMENT = "environment"  # of child processes, as the program found it
SHOWN = 9  # runs of a question or a refusal
Rule = Callable[[Workspace, str], object]


def defaults(found: Workspace, commands: Mapping[str, Any]) -> dict[str, dict[str, Callable[[], object]]]:
    """Return what each option of each of typer's commands is where it is not given, looked for when it is needed."""
    return {
        name: {option.name: _printed(rule, found, option) for option in command.params if (rule := _rule(name, option.name))}
        for name, command in commands.items()
    }


def announce(option: str, value: object) -> None:
    """Print, on standard error, the value used for an option that was not given."""
    typer.echo(f"using {option} {clean(value)}", err=True)


def new_folder(context: typer.Context, option: str, *names: str) -> Path:
    """Return a folder of the workspace's runs that does not exist yet, named by the time of now and `names`, and print it."""
    path = workspace_of(context).new(now(), *names)
    announce(option, path)
    return path


def workspace_of(context: typer.Context) -> Workspace:
    """Return the workspace that the program found when it began."""
    return context.obj or Workspace(Places())


def recipe_of(context: typer.Context, sleeve: str) -> Path | None:
    """Return the workspace's recipe of a sleeve, printed; None where it has none."""
    found = workspace_of(context).recipe(sleeve)
    if found:
        announce("--config", found)
    return found


def one_run(found: Workspace, what: str = "run", *, is_asked: bool = False) -> Path:
    """Return the only folder of a run, a stack or a policy; of several, or where `is_asked`, the one that a person names."""
    document, fix = {"run": ("evidence.json", "`trainer train --sleeve equities_xs`"), "stack": ("stack.json", "`trainer stack`")}.get(
        what, ("policy.json", "`trainer policy`")
    )
    runs = found.require("runs", what) and found.runs(document)
    if not runs:
        raise FixInput(f"there is no {what} yet", where=str(found.places.runs), fix=f"Make one: {fix}")
    if len(runs) == 1 and not is_asked:
        return runs[0]
    if not is_a_person_there():
        _refuse(runs, what, f"Name one: --{what} FOLDER")
    rows = [f"{number:>3}  {clean(run.name)}" for number, run in enumerate(runs[:SHOWN], start=1)]
    typer.echo("\n".join([*rows, *[f"     and {len(runs) - SHOWN} older ones"] * (len(runs) > SHOWN)]), err=True)
    while True:
        answer = ask(f"Which {what}? A number, or a name").strip()
        chosen = [run for number, run in enumerate(runs, start=1) if answer in (str(number), run.name, str(run))]
        if len(chosen) == 1:
            return chosen[0]
        typer.echo(f"no {what} {clean(answer)!r}", err=True)


def ask(question: str, **how: Any) -> str:
    """Ask a person; raise `TryAgain` where the person leaves."""
    try:
        return str(typer.prompt(question, err=True, **how))
    except (typer.Abort, KeyboardInterrupt, EOFError):
        typer.echo(err=True)  # what is said of it begins a line of its own
        raise TryAgain("you left at the question; nothing was changed", fix="Run it again") from None


def _dataset(found: Workspace, option: str) -> Path:
    at = found.require("data", option)
    datasets = found.datasets()
    if not datasets:
        raise FixInput("there is no dataset yet", where=str(at), fix="Make one: `trainer ingest --bars FILE`")
    if len(datasets) > 1:
        _refuse(datasets, "dataset", f"Give --{option}, or name one as `data` in workspace.yml")
    return datasets[0]


def _keys(found: Workspace, option: str) -> Path:
    at: Path = found.require("keys", option)
    if found.file and not at.is_dir():
        raise FixInput("there are no keys yet", where=str(at), fix="Make them: `trainer keys`")
    return at


def _members(found: Workspace, option: str) -> list[str]:
    from trainer.publishing.publish import sleeve_of  # here: it loads what reads evidence

    runs = found.require("runs", option) and found.runs()
    sleeves = [sleeve_of(run) for run in runs]
    if len(set(sleeves)) < len(sleeves) or len(sleeves) < 2:
        _refuse(runs, "run", "A stack takes one of each of several sleeves; name them: --runs FOLDER --runs FOLDER")
    return [str(run) for run in runs]


def _data_store(found: Workspace, option: str) -> str:
    return f"{str(found.require('store', option)).rstrip('/')}/data"


def _place(key: str) -> Rule:
    return lambda found, option: getattr(found.places, key)


def _required(key: str) -> Rule:
    return lambda found, option: found.require(key, option)


RULES: Mapping[str | tuple[str, str], Rule] = {
    "data": _dataset,
    "keys": _keys,
    **{key: _place(key) for key in ("registry", "bars", "portfolio", "storage", "tracking", "cluster")},
    ("ingest", "config"): _place("bars"),
    ("keys", "to"): _required("keys"),
    ("publish", "to"): _required("store"),
    ("publish-stack", "to"): _required("store"),
    ("publish-stack", "stack"): lambda found, option: one_run(found, "stack", is_asked=True),
    ("publish-policy", "to"): _required("store"),
    ("publish-policy", "policy"): lambda found, option: one_run(found, "policy", is_asked=True),
    ("score-daily", "to"): _required("store"),
    ("pair", "to"): _required("store"),
    ("publish-data", "to"): _data_store,
    ("sign-data", "at"): _data_store,
    ("promote", "run"): lambda found, option: one_run(found, is_asked=True),
    ("publish", "run"): lambda found, option: one_run(found, is_asked=True),
    **{(command, "run"): lambda found, option: one_run(found) for command in ("shadow", "status", "validate", "policy")},
    ("stack", "runs"): _members,
}
ALONE = {("rollback", "keys"), ("rollback", "store")}  # their absence says something


def _rule(command: str, option: str) -> Rule | None:
    return None if (command, option) in ALONE else RULES.get((command, option), RULES.get(option))


def _printed(rule: Rule, found: Workspace, option: Any) -> Callable[[], object]:
    def given() -> object:
        value = rule(found, option.name)
        if value is None:  # an answer of None would take the place of the command's own default
            return option.default
        announce(option.opts[0], ", ".join(value) if isinstance(value, list) else value)
        return value

    return given


def is_a_person_there() -> bool:
    """Whether a question can be asked: on a terminal, and not by a program that wants JSON."""
    return sys.stdin.isatty() and sys.stderr.isatty() and "--json" not in sys.argv


def _refuse(candidates: Sequence[Path], what: str, fix: str) -> NoReturn:
    names = ", ".join(str(path) for path in candidates[:SHOWN]) + ", ..." * (len(candidates) > SHOWN)
    raise FixInput(f"which {what}? None is named, and these are there", where=names or "none", fix=fix)
