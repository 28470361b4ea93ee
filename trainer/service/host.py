"""The context of a timetable row: workspace, settings, source of bars and notification of a person."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from pathlib import Path

from signals.alerts.alert import Alert, Notifier, Severity
from signals.errors import FixInput
from signals.market.sessions import NEW_YORK
from signals.schedule.job_windows import Timetable
from trainer.curation.store import ObjectStore
from trainer.publishing.stores import dataset_store
from trainer.service.settings import ServiceSettings, Source
from trainer.service.timetable import CADENCE, TIMETABLE, Cadence, RunLog
from trainer.tasks.recipes import read_config, recipe_named
from trainer.workspace import Workspace

ALERTS = "alerts.jsonl"  # in the registry


@dataclass(frozen=True, eq=False)
class Host:
    """The training host.

    Attributes
    ----------
    environment : mapping of str to str
        Of the processes that run rows.
    """

    workspace: Workspace
    settings: ServiceSettings
    source: Source
    notifier: Notifier
    code_version: str
    table: Timetable = TIMETABLE
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def data(self) -> Path:
        """The workspace's one dataset."""
        found = self.workspace.datasets()
        if len(found) != 1:
            raise FixInput(f"{len(found)} datasets may be meant", where="workspace.yml", fix="Name the one to build as `data`")
        return found[0]

    @property
    def registry(self) -> Path:
        """The folder of the chains."""
        return Path(self.workspace.require("registry", "registry"))

    @property
    def keys(self) -> Path:
        """The key folder."""
        return Path(self.workspace.require("keys", "keys"))

    @property
    def runs(self) -> Path:
        """The folder of runs."""
        return Path(self.workspace.require("runs", "runs"))

    @property
    def nights(self) -> Path:
        """The folder of what each night scored, beside the registry."""
        return self.registry.with_name("nights")

    @property
    def store(self) -> str:
        """Where devices pull from: a folder or `s3://bucket/prefix`."""
        return str(self.workspace.require("store", "store")).rstrip("/")

    def objects(self, below: str = "") -> ObjectStore:
        """Open the store, or what is below it."""
        return dataset_store(self.store + below, self.settings.endpoint, self.settings.credentials)

    @cached_property
    def log(self) -> RunLog:
        """The record of what ran."""
        return RunLog(self.registry)

    @property
    def cadence(self) -> dict[str, Cadence]:
        """How often each row is asked for: a recipe of the workspace says it of its sleeve's retraining."""
        sleeve = self.settings.challenge.sleeve
        file = self.workspace.recipe(sleeve)
        own = read_config(file, recipe_named(sleeve)).cadence if file else ""
        return {**CADENCE, **({"retrain": Cadence(own)} if own else {}), **self.settings.cadence}

    def notify(self, severity: Severity, key: str, title: str, body: str, at: datetime) -> None:
        """Notify a person; a message that reaches nobody stays in the record."""
        self.notifier.notify(Alert(severity, key, title, body, at))


@dataclass(frozen=True)
class Night:
    """One night of the timetable: D, asof before it, and the instant at which a row of it began."""

    session: date
    asof: date
    at: datetime

    @property
    def today(self) -> date:
        """The day in New York."""
        return self.at.astimezone(NEW_YORK).date()
