"""Options of a serving command that mean the same on both hosts."""

from pathlib import Path
from typing import Annotated

import typer

Listen = Annotated[str, typer.Option(help="IP address to serve on; one beyond loopback needs TLS.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="Port to serve on; 0 takes a free one.")]
Names = Annotated[
    list[str] | None, typer.Option("--name", help="Another name under which it may be asked for; repeat it.", show_default=False)
]
Certificate = Annotated[Path | None, typer.Option(help="PEM file of the certificate for TLS, with its chain.", show_default=False)]
Key = Annotated[Path | None, typer.Option(help="PEM file of its key, which only its owner may read.", show_default=False)]
RowsHelp = typer.Option(help="Parquet file of rows of features, or of bars where it has a column `close`.", show_default=False)
Rows = Annotated[Path, RowsHelp]
To = Annotated[Path | None, typer.Option(help="Parquet file to write.", show_default=False)]
