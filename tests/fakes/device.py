"""A device driven by its command line, in this process, and a look at everything it has written down."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

import apsw
import numpy as np

from appliance.__main__ import main
from signals.scoring.scores import Scores
from tests.fakes.repeated import worked_out_once


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Its standard output as one JSON document."""
        found: dict[str, Any] = json.loads(self.out)
        return found


@dataclass
class Workbench:
    """One state folder; calling it runs `appliance ...` there exactly as a shell would, errors and exit codes too."""

    state: Path

    def __call__(self, *arguments: str) -> Done:
        out, err = StringIO(), StringIO()
        command = ["appliance", *arguments]
        if arguments[0] not in ("--help",):
            command += ["--state", str(self.state)]
        code = 0
        streams = mock.patch.multiple(sys, argv=command, stdout=out, stderr=err)
        with streams, worked_out_once():
            try:
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        return Done(code, out.getvalue(), err.getvalue())

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every row of every table of the ledger."""
        ledger = apsw.Connection(str(self.state / "ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        names = [row[0] for row in ledger.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        found = {name: list(ledger.execute(f"SELECT * FROM {name}")) for name in names}
        ledger.close()
        return found

    def recorded_scores(self, asof: object, sleeve: str = "equities_xs") -> Scores | None:
        """The scores that the device recorded of an evening; None where it had none."""
        query = "SELECT symbol, score, source FROM scores WHERE asof = ? AND sleeve = ? ORDER BY symbol"
        if not (found := self.rows(query, str(asof), sleeve)):
            return None
        symbols, values, sources = zip(*found, strict=True)
        day = date.fromisoformat(str(asof))
        return Scores(day, sleeve, symbols, np.array(values, dtype=np.float64), sources[0])

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Answer a query on the ledger."""
        ledger = apsw.Connection(str(self.state / "ledger.sqlite"), flags=apsw.SQLITE_OPEN_READONLY)
        found = list(ledger.execute(query, values))
        ledger.close()
        return found
