"""What of a `where` no feature meets: most likely misspelt, and otherwise worth knowing. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any

import orjson

from layers.planning.model import Scalar, Source, Where

MAX_NAMED = 5
"""Names or values that are told of those there are."""
MAX_LENGTH = 40
"""Of a value that is told; the rest of it is left out."""


def unmet(where: Where, sources: Iterable[Source]) -> list[str]:
    """A line for each property, and each value of one, that *where* names and no feature of *sources* has.

    Where there is no feature at all, nothing is said, nor of a null: that none lacks a property is no mistake.
    """
    if not where:
        return []
    stated = [orjson.loads(row.properties) for source in sources for row in source.rows]
    if not stated:
        return []
    return [line for name, allowed in where.items() for line in _unmet(name, allowed, stated)]


def _unmet(name: str, allowed: Iterable[Scalar], stated: list[Mapping[str, Any]]) -> Iterator[str]:
    found = Counter(_key(value) for properties in stated for value in _values(properties.get(name)))
    if not found:
        names = {each for properties in stated for each in properties}
        near = get_close_matches(name, names, MAX_NAMED, cutoff=0)
        yield f"No feature near the area has a property “{_short(name)}”{_there(near)}"
        return
    for value in allowed:
        if value is not None and _key(value) not in found:
            known = [_text(each) for (_, each), _ in found.most_common(MAX_NAMED)]
            more = f" and {len(found) - len(known):,} more" if len(found) > len(known) else ""
            yield f"No feature near the area has “{_short(_text(value))}” as its {_short(name)}{_there(known, more)}"


def _there(known: Iterable[str], more: str = "") -> str:
    words = ", ".join(map(_short, known))
    return f"; there are: {words}{more}." if words else "."


def _values(value: Any) -> Iterator[Scalar]:
    """What a filter compares with: the items of a list one by one, and nothing of what is absent."""
    for each in value if isinstance(value, list) else [value]:
        if each is not None and not isinstance(each, list | dict):
            yield each


def _key(value: Scalar) -> tuple[bool, Scalar]:
    """The same of what a filter takes to be equal: 2 and 2.0, but neither 1 and true nor 1 and “1”."""
    return isinstance(value, bool), value


def _text(value: Scalar) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _short(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 1]}…"
