"""Tables of named parts that installed packages extend: the built-in rows, and entry points of a group.

A package offers a part by an entry point whose name is the part's: `reversal = "reversal_sleeve:REVERSAL"` in the group
`trademl.sleeves`. A folder on the path with a module and a `*.dist-info/entry_points.txt` is such a package.

Invariants
----------
1. A name has one meaning: a plug-in that takes a name that is taken is refused, and with it every look into the table.
2. Nothing of a plug-in is imported before the table is looked into.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar, cast

from signals.errors import FixInput
from signals.text.wording import reason_of

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class PluginTable(Mapping[str, T]):
    """The built-in parts and those of installed packages, by name.

    Parameters
    ----------
    group : str
        Of the entry points, `trademl.sleeves`.
    kind : type
        What every part is an instance of.
    built_in : mapping of str to part
        They come first, in their order; plug-ins follow by name. A part given as `module:name` is imported when it is asked for.

    Raises
    ------
    FixInput
        From every look into it: a plug-in cannot be imported, is no part of this kind, bears another name than its
        entry point, or takes a name that is taken.
    """

    def __init__(self, group: str, kind: type[T], built_in: Mapping[str, T | str]) -> None:
        self._group, self._kind, self._built_in = group, kind, dict(built_in)
        self._read = lru_cache(maxsize=1)(self._rows_on)

    def __getitem__(self, name: str) -> T:
        """Return the part of this name; `KeyError` where there is none."""
        part = self._rows()[name]
        if isinstance(part, str):
            module, _, own = part.partition(":")
            part = cast("T", getattr(import_module(module), own))
        return part

    def __iter__(self) -> Iterator[str]:
        """Names, the built-in ones first."""
        return iter(self._rows())

    def __len__(self) -> int:
        """How many there are."""
        return len(self._rows())

    def _rows(self) -> Mapping[str, T | str]:
        return self._read(tuple(sys.path))

    def _rows_on(self, path: tuple[str, ...]) -> Mapping[str, T | str]:
        """Built-in rows and plug-ins on `path`, which is the key under which they are kept."""
        from importlib.metadata import entry_points  # brings modules that a device without plug-ins can do without until here

        rows = dict(self._built_in)
        for entry in sorted(entry_points(group=self._group), key=lambda entry: entry.name):
            where = f"{entry.name} = {entry.value} in {self._group}"
            if entry.name in rows:
                raise FixInput(
                    f"the plug-in takes the name {entry.name!r}, which is taken", where=where, fix="Uninstall one of the two, or rename it"
                )
            rows[entry.name] = self._loaded(entry, where)
        return rows

    def _loaded(self, entry: EntryPoint, where: str) -> T:
        try:
            part = entry.load()
        except Exception as error:  # somebody else's module may raise anything
            raise FixInput(f"the plug-in cannot be imported: {reason_of(error)}", where=where, fix="Repair or uninstall it") from error
        if not isinstance(part, self._kind):
            raise FixInput("the plug-in is not of this kind", where=where, fix="Correct its entry point")
        own = getattr(part, "name", entry.name)
        if own != entry.name:
            raise FixInput(f"the plug-in calls itself {own!r}", where=where, fix="Give its entry point that name")
        return part
