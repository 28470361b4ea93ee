"""A report page of figures, warnings and plots, as Markdown and HTML.

Every text of a page may come from outside (a run's name, a benchmark's, a vendor's words): each is cleaned here, and
shows in both forms as the characters that it is made of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from math import isfinite

from signals.text import wording

STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#2b2b2b}"
    "table{border-collapse:collapse;margin:1rem 0}td{padding:.25rem .8rem;border-bottom:1px solid #ddd;text-align:left}"
    "td:nth-child(2){font-variant-numeric:tabular-nums}img{max-width:100%}.warn{background:#fdf1e7;"
    "border-left:4px solid #c05621;padding:.5rem 1rem;margin:.5rem 0}"
)


@dataclass(frozen=True)
class Table:
    """A titled table: names of its columns, and rows of as many words."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Page:
    """Contents of a report: title, (what, figure) lines, warnings, the caption of each picture in `plots/`, tables."""

    title: str
    rows: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]
    captions: Mapping[str, str]
    tables: tuple[Table, ...] = ()


def files(page: Page, pictures: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the files of a report, relative path -> content: both forms of the page, and its pictures by name."""
    plots = {f"plots/{name}": content for name, content in pictures.items()}
    return {"report.md": markdown(page).encode(), "report.html": html(page).encode(), **plots}


def markdown(page: Page) -> str:
    """Return the page as Markdown."""
    parts = [f"# {wording.markdown(page.title)}", "", "| | |", "|---|---|"]
    parts += [_line(row) for row in page.rows]
    if page.warnings:
        parts += ["", "## Warnings", "", *(f"* {wording.markdown(warning)}" for warning in page.warnings)]
    for name, caption in page.captions.items():
        shown = wording.markdown(caption)
        parts += ["", f"![{shown}](plots/{name})", "", shown]
    for table in page.tables:
        parts += ["", f"## {wording.markdown(table.title)}", "", _line(table.head), "|---" * len(table.head) + "|"]
        parts += [_line(row) for row in table.rows]
    return "\n".join(parts) + "\n"


def html(page: Page) -> str:
    """Return the page as HTML next to its pictures."""
    title = _html(page.title)
    table = "".join(f"<tr><td>{_html(what)}</td><td>{_html(figure)}</td></tr>" for what, figure in page.rows)
    warned = "".join(f'<p class="warn">{_html(warning)}</p>' for warning in page.warnings)
    pictures = "".join(
        f'<figure><img src="plots/{name}" alt="{_html(caption)}"><figcaption>{_html(caption)}</figcaption></figure>'
        for name, caption in page.captions.items()
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head>"
        f"<body><h1>{title}</h1>{warned}<table>{table}</table>{pictures}{''.join(map(_html_table, page.tables))}"
        "</body></html>\n"
    )


def number(value: float | None, form: str) -> str:
    """Return a figure in words of `form`; one that does not exist, or is not finite, is n/a."""
    return format(value, form) if value is not None and isfinite(value) else "n/a"


def _line(words: tuple[str, ...]) -> str:
    return f"| {' | '.join(map(wording.markdown, words))} |"


def _html(text: str) -> str:
    return escape(wording.clean(text))


def _html_table(table: Table) -> str:
    head = "".join(f"<td><b>{_html(word)}</b></td>" for word in table.head)
    rows = "".join("<tr>" + "".join(f"<td>{_html(word)}</td>" for word in row) + "</tr>" for row in table.rows)
    return f"<h2>{_html(table.title)}</h2><table><tr>{head}</tr>{rows}</table>"
