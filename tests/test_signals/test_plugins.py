"""Tables that installed packages extend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from signals.errors import FixInput
from signals.plugins import PluginTable
from signals.sleeves import SLEEVES
from signals.sleeves.base import Sleeve
from signals.sleeves.equities_xs import EQUITIES_XS
from tests.fakes.plugin import REVERSAL, write_plugin, write_reversal


def test_a_package_in_a_folder_adds_a_sleeve_and_leaves_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in sleeves stay first; without the folder on the path the table is what it was."""
    before = list(SLEEVES)
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(write_reversal(tmp_path)))
        assert list(SLEEVES) == [*before, "reversal"]
        assert SLEEVES["reversal"].horizon_sessions == 5
        assert SLEEVES["reversal"].names[:2] == ("momentum_5", "momentum_20")
        assert len(SLEEVES) == len(before) + 1
    assert list(SLEEVES) == before
    assert "reversal" not in SLEEVES


def test_the_battery_of_sleeves_passes_on_a_plug_in(tmp_path: Path) -> None:
    """`tests/contracts/test_sleeves.py` runs on what is installed, the plug-in too."""
    code = (
        f"import sys; sys.path.insert(0, {str(write_reversal(tmp_path))!r}); import pytest;"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'reversal', 'tests/contracts/test_sleeves.py']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.parametrize(
    ("source", "parts", "refusal"),
    [
        (REVERSAL, {"equities_xs": "REVERSAL"}, "takes the name 'equities_xs', which is taken"),
        (REVERSAL, {"fast": "REVERSAL"}, "calls itself 'reversal'"),
        (REVERSAL, {"reversal": "TABLE"}, "the plug-in is not of this kind"),
        (REVERSAL, {"reversal": "NOTHING"}, "cannot be imported"),
        ("raise ValueError('half written')", {"reversal": "REVERSAL"}, "cannot be imported: half written"),
    ],
)
def test_a_plug_in_that_is_none_is_refused_by_its_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, parts: dict[str, str], refusal: str
) -> None:
    folder = write_plugin(tmp_path, "half_sleeve", source, "trademl.sleeves", **parts)
    monkeypatch.syspath_prepend(str(folder))
    sys.modules.pop("half_sleeve", None)
    with pytest.raises(FixInput, match=refusal) as told:
        SLEEVES["equities_xs"]
    assert "half_sleeve" in str(told.value)


def test_two_packages_cannot_offer_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "other"):
        monkeypatch.syspath_prepend(str(write_plugin(tmp_path / name, f"{name}_sleeve", REVERSAL, "trademl.sleeves", reversal="REVERSAL")))
    with pytest.raises(FixInput, match="takes the name 'reversal', which is taken"):
        list(SLEEVES)


def test_nothing_is_looked_for_before_the_table_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in that ends the program on import does no harm until then."""
    monkeypatch.syspath_prepend(str(write_plugin(tmp_path, "bad_sleeve", "import nothing_of_this_name", "trademl.sleeves", bad="BAD")))
    table = PluginTable("trademl.sleeves", Sleeve, {"equities_xs": EQUITIES_XS})
    with pytest.raises(FixInput, match="nothing_of_this_name"):
        table.get("equities_xs")
