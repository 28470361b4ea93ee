"""What `trainer promote` refuses before anything is read or judged: half a word, a waiver of nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from signals.errors import FixInput
from tests.fakes.promoting import WORD, Desk, desk_at
from trainer.commands.promotion import _word


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Neither a run nor a dataset is there, and nothing is made."""
    yield (made := desk_at(tmp_path))
    assert not Path(made.of("registry")).exists()


@pytest.mark.parametrize("given", [WORD[:2], WORD[2:], ("--replace-for", "taste", *WORD[2:])])
def test_half_a_word_is_refused_before_anything_is_judged(desk: Desk, given: tuple[str, ...]) -> None:
    with pytest.raises(FixInput, match="a reason, a sentence and a name"):
        desk.call("promote", *desk.judging(desk.folder / "run")[:-6], *given)


def test_a_word_without_a_name_is_refused() -> None:
    with pytest.raises(FixInput, match="a reason, a sentence and a name"):
        _word("age", "it knows thirty sessions more", " ")
    assert _word("", "", "Ada") is None, "the name may be that of a waiver"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--waive", "large caps"], "under a person's name"),
        (["--waive", "leak: ", "--by", "Ada"], "needs a reason"),
        (["--waive", " ", "--by", "Ada"], "needs a reason"),
        (["--waive", "leak: x", "--by", "  "], "person's name"),
    ],
)
def test_a_bar_is_waived_under_a_name_and_with_a_reason(desk: Desk, words: list[str], told: str) -> None:
    with pytest.raises(FixInput, match=told):
        desk.call("promote", *desk.judging(desk.folder / "run")[:-4], *words)
