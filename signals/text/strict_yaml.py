"""A strict YAML reader for the files that people write: plain values only, and no key twice.

Of two equal keys YAML libraries keep the last in silence: the limit that a person reads first would not be the one in
force. Whatever is wrong becomes `BadYaml`, a ValueError.
"""

from collections.abc import Hashable
from typing import Any

import yaml

from signals.text.wording import reason_of

MERGE = "tag:yaml.org,2002:merge"


class BadYaml(ValueError):
    """Not YAML, or with a key that comes twice."""


def loads(content: str) -> Any:
    r"""Parse one document; None for an empty one.

    Raises
    ------
    BadYaml
        As the module says.

    Examples
    --------
    >>> loads("venue: {broker: exchange}")
    {'venue': {'broker': 'exchange'}}
    >>> loads("max_drawdown: 0.1\nmax_drawdown: 0.5")
    Traceback (most recent call last):
    signals.text.strict_yaml.BadYaml: line 2: the key max_drawdown comes twice
    """
    try:
        return yaml.load(content, Loader=_Loader)  # a SafeLoader: plain values alone
    except BadYaml:
        raise
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # a 13th month, or nested without end
        raise BadYaml(reason_of(error)) from None


class _Loader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True) if key_node.tag != MERGE else key_node
            if isinstance(key, Hashable) and key in seen:
                raise BadYaml(f"line {key_node.start_mark.line + 1}: the key {key} comes twice")
            seen.add(key if isinstance(key, Hashable) else key_node)
        return super().construct_mapping(node, deep=deep)
