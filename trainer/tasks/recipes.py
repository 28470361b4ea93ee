"""Reads recipes: the YAML of a sleeve, a person's file, or what a run stored; the label's kind chooses the task.

A recipe whose parts disagree is refused here, in one sentence, before any data are read.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import yaml

from signals.config import parse, read_mapping
from signals.errors import BadConfig, FixInput
from signals.events.recorded import SHOWN
from signals.sleeves import SLEEVES
from signals.sleeves.bars import BarsSleeve
from signals.sleeves.events import EVENTS
from signals.sleeves.patterns import PATTERNS
from trainer.learners.base import FitDevice
from trainer.learners.table import capabilities_of
from trainer.recipes.base import HORIZON, MinutesConfig, Recipe, RecipeConfig
from trainer.runs.evidence import Evidence
from trainer.samples.intraday import shaped
from trainer.tasks import TASKS
from trainer.tasks.base import Task


class Recipes(Mapping[str, Recipe]):
    """The recipe of every sleeve: its own file in `trainer/recipes`, else the rank of the return over the sleeve's horizon.

    Gate, quantiles and offsets are learned by the sleeve `events`, each with the label of its name.
    """

    def __getitem__(self, sleeve: str) -> Recipe:
        """Return the recipe; `KeyError` where there is no such sleeve."""
        known = EVENTS if sleeve in SHOWN else SLEEVES[sleeve]
        own = files("trainer.recipes").joinpath(f"{sleeve}.yml")
        plain = {"label": {"kind": sleeve} if sleeve in SHOWN else {"kind": HORIZON, "k": known.horizon_sessions}}
        document = yaml.safe_load(own.read_text()) if own.is_file() else plain
        config = config_of(document, where=f"the recipe of {sleeve}")
        return Recipe(known, task_of(config), config)

    def __iter__(self) -> Iterator[str]:
        """Names of the sleeves."""
        return iter(SLEEVES)

    def __len__(self) -> int:
        """How many there are."""
        return len(SLEEVES)


RECIPES = Recipes()


def recipe_named(sleeve: str) -> Recipe:
    """Return the recipe of `sleeve`; raise `FixInput` when there is no such sleeve."""
    if sleeve not in RECIPES:
        raise FixInput(f"no sleeve {sleeve!r}", where="--sleeve", fix=f"Choose one of: {', '.join(RECIPES)}")
    return RECIPES[sleeve]


def preset_named(name: str) -> RecipeConfig:
    """Return a recipe that is ready to use, which names its sleeve; raise `FixInput` where there is none of that name."""
    known = {Path(file.name).stem: file for file in files("trainer.recipes.presets").iterdir() if file.name.endswith(".yml")}
    if name not in known:
        raise FixInput(f"no preset {name!r}", where="--preset", fix=f"Choose one of: {', '.join(sorted(known))}")
    return config_of(yaml.safe_load(known[name].read_text()), where=f"the preset {name}")


def agreed(recipe: Recipe, config: RecipeConfig, device: FitDevice = FitDevice.AUTO, wishes: tuple[str, ...] = ()) -> Recipe:
    """Return the recipe with `config` in the place of its own, whose label chooses the task, once all its parts agree.

    Parameters
    ----------
    wishes : tuple of str
        What is asked for that only a task whose scores are traded has.

    Raises
    ------
    BadConfig
        Sleeve, task, view, head, learner and device do not go together. No data were read.
    FixInput
        The task has not what is wished.
    """
    sleeve = recipe.sleeve if config.minutes is None else shaped(recipe.sleeve, config.minutes)
    found = replace(recipe, sleeve=sleeve, task=task_of(config), config=config)
    wishes = tuple(wish for wish in wishes if wish != "--importance" or not found.task.is_explained)
    if wishes and not found.task.is_traded:
        raise FixInput(f"the task {found.task.name} has no {', '.join(wishes)}", where=wishes[0], fix="Leave it out")
    require_agreement(found, device)
    return found


def task_of(config: RecipeConfig) -> Task:
    """Return the task of a recipe."""
    return task_of_kind(config.label.kind)


def task_of_kind(kind: str) -> Task:
    """Return the task of a label's kind, the ranking of returns where an earlier program named none."""
    return _task(kind or HORIZON, "label.kind")


def require_traded(evidence: Evidence, run: Path) -> None:
    """Raise `FixInput` where the run's scores rank no names for a book."""
    task = task_of_kind(evidence.label)
    if not task.is_traded:
        raise FixInput(f"a run of the task {task.name} ranks nothing to trade", where=str(run), fix="Name a run whose scores rank returns")


def config_of(document: object, *, where: str) -> RecipeConfig:
    """Check a recipe's document (parsed YAML or JSON) against the settings of its task; raise `BadConfig` for a wrong key or value."""
    label = document.get("label") if isinstance(document, Mapping) else None
    kind = label.get("kind", HORIZON) if isinstance(label, Mapping) else HORIZON
    return parse(document, _task(kind, where).config, where=where)


def read_config(path: Path, own: Recipe) -> RecipeConfig:
    """Read a person's recipe; a file that names no kind of label is of the task of the sleeve's `own` recipe."""
    document = read_mapping(path)
    label = document.get("label")
    if label is None or (isinstance(label, Mapping) and "kind" not in label):
        document["label"] = {**(label or {}), "kind": own.config.label.kind}
    return config_of(document, where=str(path))


def require_agreement(recipe: Recipe, device: FitDevice = FitDevice.AUTO) -> None:
    """Raise `BadConfig` unless sleeve, task, view, head, learner and device of a recipe go together; no data are read."""
    config, task, sleeve = recipe.config, recipe.task, recipe.sleeve
    can, learner, head = capabilities_of(config.learner, config), config.learner, task.head_of(config).kind
    lacking = [name for name in task.needs if name not in sleeve.names]
    reads_minutes, has_minutes = isinstance(sleeve, BarsSleeve), config.minutes is not None
    may_read = reads_minutes or (sleeve.name in (EVENTS.name, PATTERNS.name) and not task.is_traded)
    both = f"the sleeve {sleeve.name} and the task {task.name} do not both read minutes"
    # What a task reads itself, the kind of an event or the bars of a picture, is no figure to clip or to smooth.
    is_untreated = config.features is not None and (bool(task.needs) or sleeve.treated(config.features) is sleeve)
    faults = (
        ((has_minutes and not may_read) or (reads_minutes and not has_minutes), both),
        (config.regime and has_minutes, f"a recipe of minutes has no regime of daily bars; the sleeve {sleeve.name} reads minutes"),
        (has_minutes and bool(getattr(config.label, "analogs", "")), "the analogs of a net of pictures are of daily bars, not of minutes"),
        (has_minutes and bool(getattr(config.label, "checked", "")), "checked examples are of daily bars, not of minutes"),
        (has_minutes and bool(getattr(config.label, "peers", False)), "what peers say of an event is of daily bars, not of minutes"),
        (has_minutes and not reads_minutes and _has_ladder(config), f"the sleeve {sleeve.name} has no ladder of indicators of minutes"),
        (is_untreated, f"the sleeve {sleeve.name} takes its features as they are, for the task {task.name}"),
        (config.sleeve not in ("", sleeve.name), f"the recipe is of the sleeve {config.sleeve}, not of {sleeve.name}"),
        (bool(lacking), f"the task {task.name} needs the feature {''.join(lacking[:1])}, which the sleeve {sleeve.name} has not"),
        (config.view.kind not in can.views, f"the learner {learner} takes no {config.view.kind}, only {_list(can.views)}"),
        (head not in can.heads, f"the task {task.name} asks for {head}, the learner {learner} gives {_list(can.heads)}"),
        (device not in (FitDevice.AUTO, *can.devices), f"{learner} has no {device.upper()} device here, only {_list(can.devices)}"),
    )
    for is_fault, sentence in faults:
        if is_fault:
            raise BadConfig(sentence, where="the recipe", fix="Change one of the two")


def _has_ladder(config: RecipeConfig) -> bool:
    """Whether a recipe of minutes says which indicators a decision sees."""
    plain, asked = MinutesConfig(), config.minutes or MinutesConfig()
    return any(getattr(asked, name) != getattr(plain, name) for name in ("strategy", "indicators", "features"))


def _task(kind: object, where: str) -> Task:
    kinds = {task.kind: task for task in TASKS.values()}
    if kind not in kinds:
        raise BadConfig(f"label.kind: there is no label {kind!r}", where=where, fix=f"Choose one of: {', '.join(kinds)}")
    return kinds[str(kind)]


def _list(names: frozenset[str] | frozenset[FitDevice]) -> str:
    return " or ".join(sorted(names))
