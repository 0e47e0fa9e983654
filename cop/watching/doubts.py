"""Whether what a watch asks for can be there at all: a slip looks like a quiet night unless somebody says so.

Plain rules on what the service has told; `cop watch` says what they find.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, NamedTuple

from cop.watching.fold import Fold
from layers.kinds import KINDS
from layers.model import BBox


class Doubt(NamedTuple):
    """What looks like a slip; *certain* where nothing can ever come of it."""

    text: str
    certain: bool


def doubts_of_statuses(statuses: Sequence[Any], kinds: AbstractSet[str]) -> list[Doubt]:
    """The texts among *statuses* that no kind of *kinds* knows, with all that are known of them.

    It is certain when every one of the kinds has a set list of statuses. The others take any text, but what
    stands in a list elsewhere is more likely meant.
    """
    known = {name: KINDS[name].statuses for name in sorted(kinds) if name in KINDS}
    listed = {name: statuses for name, statuses in known.items() if statuses is not None}
    if not listed:
        return []
    lists = "; ".join(f"of {name}: {', '.join(statuses)}" for name, statuses in listed.items())
    free = sorted(kinds - listed.keys())
    ending = f"; only {' and '.join(free)} may have it, whose statuses are free text" if free else ""
    return [
        Doubt(f"“{status}” is no known status ({lists}){ending}.", certain=not free)
        for status in statuses
        if status is not None and not any(status in each for each in listed.values())
    ]


def doubt_of_view(view: BBox | None, fold: Fold) -> Doubt | None:
    """Once *fold* is current: that it holds nothing at all in *view*, which swapped coordinates look like."""
    if view is None or any(layer.features or layer.cells or layer.tiled for layer in fold.layers.values()):
        return None
    west, south, east, north = view
    place = f"longitude {west:g} to {east:g}, latitude {south:g} to {north:g}"
    text = f"Nothing that was asked for is there now ({place}); are longitude and latitude swapped?"
    return Doubt(text, certain=False)
