"""A package in a folder: a module and the entry points by which it offers parts, as an installer would leave them."""

from __future__ import annotations

from pathlib import Path

REVERSAL = """
from functools import partial

from signals.features.price import momentum
from signals.features.panel import Feature
from signals.features.price import overnight_return, zscore
from signals.sleeves.base import Sleeve

TABLE = (
    Feature("momentum_5", "ratio", 5, partial(momentum, sessions=5)),
    Feature("momentum_20", "ratio", 20, partial(momentum, sessions=20)),
    Feature("zscore_20", "z", 20, partial(zscore, sessions=20)),
    Feature("overnight_return", "ratio", 1, overnight_return),
)
REVERSAL = Sleeve("reversal", ("daily_bars",), TABLE, horizon_sessions=5)
"""


def write_plugin(folder: Path, module: str, source: str, group: str, **parts: str) -> Path:
    """Write a package that offers `parts`, attribute by name, and return the folder to put on the path."""
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / f"{module}.py").write_text(source)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    rows = "".join(f"{name} = {module}:{attribute}\n" for name, attribute in parts.items())
    (info / "entry_points.txt").write_text(f"[{group}]\n{rows}")
    return folder


def write_reversal(folder: Path) -> Path:
    """Write the package of a second daily sleeve, `reversal`."""
    return write_plugin(folder, "reversal_sleeve", REVERSAL, "trademl.sleeves", reversal="REVERSAL")


CALM = '''
from typing import Literal

from trainer.labels.horizon import horizon_labels
from trainer.recipes.base import LabelConfig, RecipeConfig
from trainer.tasks.rank_return import RankReturn


class CalmLabel(LabelConfig):
    """The return over k sessions, of which the size is no merit."""

    kind: Literal["calm"] = "calm"
    k: int = 3


class CalmRecipe(RecipeConfig):
    """A recipe of the task."""

    label: CalmLabel = CalmLabel()


class Calm(RankReturn):
    """The sign of the return over k sessions."""

    name = kind = "calm"
    config = CalmRecipe

    def labels(self, bars, config, actions):
        """Label by the return's sign, which is what a book earns least noisily."""
        from dataclasses import replace

        import numpy as np

        found = horizon_labels(bars, config.label.k, delistings=actions)
        return replace(found, target=np.sign(found.values))


CALM = Calm()
'''


def write_calm(folder: Path) -> Path:
    """Write the package of a further task, `calm`."""
    return write_plugin(folder, "calm_task", CALM, "trademl.tasks", calm="CALM")


TICKS = '''
import csv
from functools import partial

import numpy as np

from signals.features.history import joined
from signals.features.panel import Feature
from signals.features.price import momentum
from signals.sleeves.base import Sleeve
from trainer.samples.joined_datasets import OtherDataset


def figures(names, bars, data, manifest):
    """Share of each session's volume that was bought, from its minutes."""
    bought, total = np.zeros((2, *bars.close.shape))
    for row in csv.DictReader((data / "ticks.csv").read_text().splitlines()):
        day = np.searchsorted(bars.sessions, np.datetime64(row["time"][:10]))
        if row["symbol"] in bars.symbols and day < len(bars.sessions) and str(bars.sessions[day]) == row["time"][:10]:
            column = bars.symbols.index(row["symbol"])
            bought[day, column] += float(row["bought"])
            total[day, column] += float(row["volume"])
    return {"bought_share": np.where(total > 0, bought / np.where(total > 0, total, 1), np.nan)}


INPUT = OtherDataset("ticks", "ticks.csv", figures)
TABLE = (
    Feature("bought_share", "ratio", 1, partial(joined, name="bought_share")),
    Feature("momentum_5", "ratio", 5, partial(momentum, sessions=5)),
)
SLEEVE = Sleeve("tick_flow", ("daily_bars", "ticks"), TABLE, 5, ("bought_share",))
'''


def write_ticks(folder: Path) -> Path:
    """Write the package of a sleeve of minutes, `tick_flow`, and of the input that it reads, `ticks`."""
    write_plugin(folder, "tick_sleeve", TICKS, "trademl.sleeves", tick_flow="SLEEVE")
    entry = folder / "tick_sleeve-1.0.dist-info" / "entry_points.txt"
    entry.write_text(f"{entry.read_text()}[trademl.inputs]\nticks = tick_sleeve:INPUT\n")
    return folder
