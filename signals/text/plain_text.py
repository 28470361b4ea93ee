r"""Makes text from outside (symbols, reasons, paths, server answers) safe to display.

A terminal obeys escape sequences, a spreadsheet computes cells, Markdown and HTML have words of their own, a reordering
character makes a line read as another one, and a lone surrogate cannot be written at all. Whoever shows text cleans it
where it is shown; what is stored keeps every character. Text that is given to Rich or Textual is given as their `Text`
or `Content`, or with `markup=False`: it is never joined into markup.

>>> clean("MOVE\x1b[2J" + chr(0x202E) + "\n1")
'MOVE\\x1b[2J\\u202e 1'
"""

import re

FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # a spreadsheet in Japanese computes the wide ones, too
NUMBER = re.compile(r"[+-]?(\d+(,\d{3})*(\.\d*)?|\.\d+)([eE][+-]?\d+)?%?", re.ASCII)
MARKDOWN = re.compile(r"([\\`*\[\]<>|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9]))")


def clean(text: object) -> str:
    r"""Return `text` as one line without a character that cannot be seen: each of these is written as its escape.

    White space of any kind becomes a space. Control characters (an ANSI escape among them), characters that reorder
    or join text, surrogates, private and unassigned characters become `\x1b`, `\u202e`, `\U000e0001`.
    """
    line = str(text)
    return line if line.isprintable() else "".join(map(_shown, line))


def clean_lines(text: object) -> str:
    """Return `text` with each of its lines cleaned; only a line feed ends a line."""
    return "\n".join(map(clean, str(text).split("\n")))


def csv_cell(value: object) -> object:
    """Return a CSV cell that no spreadsheet computes: text that begins like a formula gets an apostrophe before it.

    Numbers stay numbers, also where they are written in words of their own (`-1.25%`, `+1,000.00`).
    """
    if not isinstance(value, str):
        return value
    begins = value.lstrip(" ").startswith(FORMULA_STARTS)
    return f"'{clean(value)}" if begins and NUMBER.fullmatch(value) is None else clean(value)


def markdown(text: object) -> str:
    """Return `text` as one line that Markdown shows as it is: no link, no tag, no emphasis, no new cell of a table."""
    return MARKDOWN.sub(r"\\\1", clean(text))


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if character.isspace():
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
