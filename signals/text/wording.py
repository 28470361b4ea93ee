r"""Words for people: caught errors and instants without class names, addresses or microseconds, and text from outside made safe to show.

A terminal obeys escape sequences, a spreadsheet computes cells, Markdown and HTML have words of their own, a reordering
character makes a line read as another one, and a lone surrogate cannot be written at all. Whoever shows text from outside (symbols,
reasons, paths, server answers) cleans it where it is shown; what is stored keeps every character. Text that is given to Rich or
Textual is given as their `Text` or `Content`, or with `markup=False`: it is never joined into markup.

>>> reason_of(PermissionError(13, "Permission denied", "/var/lib/x"))
'Permission denied'
>>> reason_of(KeyError("seq"))
'seq is missing'
>>> utc_words(datetime(2024, 3, 12, 13, 0, 7, 250, tzinfo=UTC))
'2024-03-12 13:00:07 UTC'
>>> clean("MOVE\x1b[2J" + chr(0x202E) + "\n1")
'MOVE\\x1b[2J\\u202e 1'
"""

import re
from datetime import UTC, datetime

WRAPPERS = frozenset({"requests", "urllib3", "botocore", "httpx", "httpcore"})  # their errors hide the network's own
DEEPEST = 10  # wrapped in one another; three in practice
OTHER_KIND = "a part is of another kind than it should be"
NO_ANSWER, CUT_OFF = "no answer in time", "the answer was cut off"
WORDS = {  # by class, also of libraries that are not imported here: what their own text is no sentence for
    "AttributeError": OTHER_KIND,
    "TypeError": OTHER_KIND,
    "RecursionError": "nested too deep",
    "MemoryError": "not enough memory",
    "DecimalException": "a number that cannot be computed with",
    "TimeoutError": NO_ANSWER,
    "Timeout": NO_ANSWER,  # requests
    "TimeoutException": NO_ANSWER,  # httpx
    "ReadTimeoutError": NO_ANSWER,  # urllib3, botocore
    "ConnectTimeoutError": NO_ANSWER,
    "IncompleteRead": CUT_OFF,
    "ChunkedEncodingError": CUT_OFF,
    "RemoteDisconnected": "the connection was closed without an answer",
    "BadStatusLine": "the answer is not HTTP",
    "LineTooLong": "the answer is not HTTP",
    "MaxRetryError": "no connection",
    "NewConnectionError": "no connection",
}
OF_PYTHON = re.compile(r"<class | object at 0x|^\(.*\)$", re.DOTALL)


def reason_of(error: BaseException) -> str:
    """Return what an error says, without its class and without the file, which the message around it names."""
    cause = _cause(error)
    if isinstance(cause, OSError) and cause.strerror:
        return cause.strerror
    known = next((WORDS[kind.__name__] for kind in type(cause).__mro__ if kind.__name__ in WORDS), "")
    if known:
        return known
    if isinstance(cause, KeyError) and cause.args:  # its text is the key's repr
        return str(cause.args[0]) if " " in str(cause.args[0]) else f"{cause.args[0]} is missing"
    said = str(cause)
    return said if said and not OF_PYTHON.search(said) else "it gives no reason in words"


def _cause(error: BaseException) -> BaseException:
    """The error that the libraries' wrappers around it were raised for, or itself."""
    for _ in range(DEEPEST):
        within = error.__cause__ or error.__context__
        if within is None or type(error).__module__.partition(".")[0] not in WRAPPERS:
            break
        error = within
    return error


def counted(number: int, what: str) -> str:
    """Return a number with its noun: `1 order`, `1,204 orders`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def utc_words(at: datetime) -> str:
    """Return an instant to the second, in UTC; one without a time zone as it is, and that it has none."""
    if at.tzinfo is None:
        return f"{at:%Y-%m-%d %H:%M:%S}, without a time zone"
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


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
