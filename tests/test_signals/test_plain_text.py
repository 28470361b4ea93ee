"""Text from outside is shown as what it is: nothing obeys it, computes it or reads it as markup."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signals.errors import FixInput
from signals.text.console import emit, run
from signals.text.wording import clean, clean_lines, csv_cell, markdown

ANY_TEXT = st.text(st.characters(exclude_categories=()))
UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("BRK.B", "BRK.B"),
        ("Zürich ✔ 株式", "Zürich ✔ 株式"),
        ("AAA\x1b[2J\x1b]0;owned\x07", r"AAA\x1b[2J\x1b]0;owned\x07"),
        ("a\tb\nc\rd\x0be\u2028f\xa0g", "a b c d e f g"),
        ("sell\u202ellub\u2066", r"sell\u202ellub\u2066"),
        ("\ud800 lone, \udfff last", r"\ud800 lone, \udfff last"),
        ("A\u200bB\x9b\U000e0041", r"A\u200bB\x9b\U000e0041"),
        ("[/x] [link=file:///etc/passwd]here[/link]", "[/x] [link=file:///etc/passwd]here[/link]"),
    ],
)
def test_what_cannot_be_seen_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(ANY_TEXT)
def test_a_cleaned_text_is_one_visible_line_and_stays_as_it_is_when_cleaned_again(text: str) -> None:
    line = clean(text)
    assert not UNSEEN & {unicodedata.category(character) for character in line}
    assert clean(line) == line
    line.encode()


def test_lines_stay_lines() -> None:
    assert clean_lines("one\x1b[1m\ntwo\r\n") == "one\\x1b[1m\ntwo \n"


@pytest.mark.parametrize(
    "formula", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "=NOW()", "\t=1", "\r=1", "\n=1", " =1", "＝1+1", "-A1", "+", "-2+3+cmd|' /C calc'!A0"]
)
def test_no_cell_begins_like_a_formula(formula: str) -> None:
    assert str(csv_cell(formula)).startswith("'")


@given(ANY_TEXT)
def test_every_cell_survives_a_csv_reader_and_is_text_or_a_number(text: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow([csv_cell(text), "end"])
    [(cell, _)] = list(csv.reader(io.StringIO(stream.getvalue())))
    assert cell == csv_cell(text)
    assert not cell.startswith(("=", "@", "\t", "\r"))
    assert not cell.startswith(("+", "-")) or float(cell.replace(",", "").removesuffix("%")) is not None


@pytest.mark.parametrize("number", ["-1.25%", "+1,000.00", "-3", "+.5", "1e-9", -4, 2.5, None, "2024-03-12", ""])
def test_a_number_stays_a_number(number: object) -> None:
    assert csv_cell(number) == number


def test_markdown_shows_the_characters_themselves() -> None:
    assert markdown("a|b <img src=x> [x](javascript:1) `c` *d* _e_ reconcile_close \\\n# f") == (
        r"a\|b \<img src=x\> \[x\](javascript:1) \`c\` \*d\* \_e\_ reconcile_close \\ # f"
    )


def test_every_command_speaks_cleaned(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The two ways out of a command, text and error, let no escape through; JSON carries the text itself."""
    said = "AAA\x1b[2J\ud800\u202e"
    emit({"said": said}, as_json=False, text=f"one {said}\ntwo\n")
    assert capsys.readouterr().out == "one AAA\\x1b[2J\\ud800\\u202e\ntwo\n"
    emit({"said": said}, as_json=True, text="")
    written = capsys.readouterr().out
    assert written.isascii() and json.loads(written) == {"said": said}

    def refuse() -> None:
        raise FixInput("no row matches", where=said, fix="Look")

    monkeypatch.setattr("sys.argv", ["appliance"])
    with pytest.raises(SystemExit):
        run(refuse)
    assert capsys.readouterr().err == "no row matches (AAA\\x1b[2J\\ud800\\u202e). Look\n"
