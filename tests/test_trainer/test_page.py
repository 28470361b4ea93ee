"""A report's page, as Markdown and as HTML: whatever comes from outside is shown as its characters and does nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from trainer.reports.canvas import new_axes, png
from trainer.reports.page import Page, Table, html, markdown

NASTY = "=cmd|' /C calc'!A0\x1b[2J\u202e\ud800[/x]<script>alert(1)</script>`x` ![](http://h) *b*\n# Fake\n| a | b |"
SHOWN = r"=cmd|' /C calc'!A0\x1b[2J\u202e\ud800[/x]<script>alert(1)</script>`x` ![](http://h) *b* # Fake | a | b |"
PAGE = Page(NASTY, ((NASTY, NASTY),), (NASTY,), {"plot.png": NASTY}, (Table(NASTY, (NASTY, "n"), ((NASTY, "1"),)),))


def unescaped(line: str) -> str:
    """The text that a reader of Markdown shows for a line of it."""
    return re.sub(r"\\([\\`*\[\]<>|_])", r"\1", line)


def test_a_page_of_markdown_has_the_form_that_its_author_gave_it() -> None:
    lines = markdown(PAGE).splitlines()
    heads = [line.split(" ")[0] for line in lines if line.startswith("#")]
    assert heads == ["#", "##", "##"], "a title, the warnings, one table"
    assert markdown(PAGE).isascii() and "\x1b" not in markdown(PAGE)
    cells = [len(re.findall(r"(?<!\\)\|", line)) for line in lines if line.startswith("|")]
    assert cells == [3] * 6
    assert not re.search(r"(?<!\\)[<`*](?! )", re.sub(r"^\* ", "", markdown(PAGE), flags=re.MULTILINE))
    assert unescaped(lines[0]) == f"# {SHOWN}"
    assert f"* {SHOWN}" in map(unescaped, lines) and f"![{SHOWN}](plots/plot.png)" in map(unescaped, lines)


def test_a_page_of_html_holds_no_tag_but_its_own() -> None:
    class Read(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags, self.texts = list[str](), list[str]()

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append(tag)
            self.texts += [value for name, value in attrs if name == "alt" and value]

        def handle_data(self, data: str) -> None:
            self.texts.append(data)

    read = Read()
    read.feed(html(PAGE))
    plain = Page("t", (("w", "f"),), ("w",), {"plot.png": "c"}, (Table("t", ("h", "n"), (("c", "1"),)),))
    usual = Read()
    usual.feed(html(plain))
    assert read.tags == usual.tags
    assert read.texts.count(SHOWN) == 10 and html(PAGE).strip().isascii()


@pytest.mark.parametrize("name", [NASTY, "$\\frac{$", "a $5 and b $6"])
def test_a_picture_draws_a_name_as_it_is(name: str) -> None:
    axes = new_axes(name, "x", "y")
    axes.plot([1, 2], [1, 2], label=name)
    axes.legend()
    assert png(axes).startswith(b"\x89PNG")
