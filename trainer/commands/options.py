"""Options of the training host's command line that mean the same in every command, and the parsing of their values."""

from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer

from signals.errors import NotASession
from signals.market.manifest import PriceBasis

OURS: Any = None  # not given: `trainer.commands.defaults` finds it in the workspace, or refuses, before the command begins
WORKSPACE = "the workspace's"  # in the help of such an option
VAR = Path("var/registry")

DATA, TRAINING, PROMOTION, PUBLISHING, EXECUTION = "Data", "Training", "Promotion", "Publishing", "Execution"  # panels of the help
REFUSED_EXIT = 1


def registered(panels: Mapping[str, tuple[Callable[..., None], ...]]) -> Callable[[typer.Typer], None]:
    """Return the `register` of a module: its commands by panel of the help, each named as its function."""

    def register(app: typer.Typer) -> None:
        for panel, commands in panels.items():
            for command in commands:
                app.command(rich_help_panel=panel)(command)

    return register


def day(text: str | date) -> date:
    """Read an ISO date, or return one that is a default; raise `NotASession` for anything else."""
    try:
        return text if isinstance(text, date) else date.fromisoformat(text)
    except ValueError:
        raise NotASession(f"{text!r} is not a date", fix="Write it as YYYY-MM-DD") from None


def names_in(text: str) -> tuple[str, ...]:
    """Split a comma-separated list; empty for an empty text."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def dated(help: str, **how: Any) -> Any:
    """Return an option that takes a date."""
    return typer.Option(metavar="YYYY-MM-DD", parser=day, help=help, **how)


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Data = Annotated[Path, typer.Option(help="Dataset folder, as made by `trainer ingest`.", show_default=WORKSPACE)]
Run = Annotated[Path, typer.Option(help="Run folder of `trainer train`.", show_default="asked for")]
NewRun = Annotated[
    Path | None, typer.Option(help="Run folder to write; it must not exist.", show_default="named by date and configuration")
]
Registry = Annotated[Path, typer.Option(help="Folder that remembers every verdict, champion and opening.", show_default=WORKSPACE)]
Keys = Annotated[Path, typer.Option(help="Folder made by `trainer keys`.", show_default=WORKSPACE)]
Bars = Annotated[
    Path | None,
    typer.Option(
        help="YAML whose sections `promotion` and `lineage` hold the bars, as configs/trainer.yml; promotion holds a training to its own.",
        show_default=f"{WORKSPACE}, else the shipped ones",
    ),
]
RecipeFile = Annotated[
    Path | None,
    typer.Option("--config", help="Recipe YAML, as configs/sleeves/<sleeve>.yml.", show_default=f"{WORKSPACE}, else the sleeve's"),
]
Portfolio = Annotated[
    Path | None,
    typer.Option(help="The policy that holds the book, as configs/portfolio.yml.", show_default=f"{WORKSPACE}, else the shipped one"),
]
Equity = Annotated[float, typer.Option(min=1.0, help="USD at which market impact is priced.")]
Store = Annotated[str, typer.Option(help="Store that devices pull from: a folder or s3://bucket/prefix.", show_default=WORKSPACE)]
Tracking = Annotated[
    str, typer.Option(help="MLflow: a server or a SQLAlchemy URL.", show_default=f"{WORKSPACE}, else SQLite in --registry")
]
Storage = Annotated[
    str, typer.Option(help="The sampler's memory, a SQLAlchemy URL.", show_default=f"{WORKSPACE}, else SQLite in the search folder")
]
Cluster = Annotated[str, typer.Option(help="Dask scheduler that fits, tcp://HOST:PORT.", show_default=f"{WORKSPACE}, else this machine")]
Sleeve = Annotated[str, typer.Option(help="Which sleeve, as `equities_xs`.")]
Start = Annotated[date | None, dated("First session whose features are learned from.", show_default="the dataset's first")]
End = Annotated[date | None, dated("Last session that a label may end at.", show_default="the dataset's last")]
Symbols = Annotated[str, typer.Option(help="Comma-separated names.", show_default="all")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of every random choice.")]
Workers = Annotated[int, typer.Option(min=1, help="Models fitted at a time; the result is the same.")]
Learner = Annotated[
    str | None,
    typer.Option(
        help="What learns: lightgbm, catboost, ridge, logistic, a network as mlp or lstm, or a plug-in.", show_default="the recipe's"
    ),
]
Device = Annotated[str, typer.Option(help="Where to fit: auto, cpu, cuda. auto takes CUDA where learner and machine have it.")]
Basis = Annotated[
    PriceBasis | None, typer.Option(help="What the prices are adjusted for.", show_default="the dataset's own; of a new one split_adjusted")
]
Credentials = Annotated[
    Path | None, typer.Option(envvar="CREDENTIALS_DIRECTORY", show_default=False, help="Folder with alpaca-key-id and alpaca-secret-key.")
]
Url = Annotated[str, typer.Option(help="Alpaca's data host, or an exchange on this machine.")]
Feed = Annotated[str, typer.Option(help="sip, the consolidated tape; iex is one venue of many and refused.")]
