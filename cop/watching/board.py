"""The table of `cop watch`: what a watch holds, newest first, as many rows as there is room for. It only draws."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cop.watch import Link, Watch
from cop.watching.changes import Change, Held, Kind, moment
from cop.watching.fold import LayerHeld

DEPARTED = 200
"""How many features that are gone are remembered, so that their going is seen."""
HEADINGS = ("layer", "id", "status", "age", "lng, lat", "last change")
FRAME_LINES = 5
"""Lines of a table that are no rows: its borders, its headings, and one to spare."""


class Row(NamedTuple):
    """One line; `at` puts the newest first."""

    at: datetime
    layer: str
    id: str
    held: Held | None
    change: str


class Board:
    """What the table shows of *watch*, kept from its changes."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._changes: dict[tuple[str, str], str] = {}
        """The last change of what is held; it never has more entries than the picture."""
        self._departed: deque[Row] = deque(maxlen=DEPARTED)

    def take(self, change: Change) -> None:
        """Note *change*, which the watch has just told."""
        if change.layer is None or change.id is None:
            return
        at = (change.layer, change.id)
        if change.kind is not Kind.GONE:
            self._changes[at] = change.kind.value
        elif self._changes.pop(at, None):
            row = Row(self._watch.clock.now(), *at, None, f"gone: {change.why}")
            self._departed.append(row)

    def draw(self, *, height: int) -> RenderableType:
        """The header and the newest rows, in *height* lines; where not all fit, how many of how many they are."""
        now = self._watch.clock.now()
        head = list(self._head(now, max(height // 3, 1)))
        table = Table(*HEADINGS, expand=True)
        rows = list(self._rows())
        room = max(height - len(head) - FRAME_LINES, 1)
        if len(rows) > room:
            room = max(room - 1, 1)
            head.append(plain(f"the newest {room:,} of {len(rows):,}", "yellow"))
        for row in heapq.nlargest(room, rows, key=lambda row: row[:3]):
            table.add_row(*self._cells(row, now))
        return Group(*head, table)

    def _rows(self) -> Iterator[Row]:
        for name, layer in self._watch.fold.layers.items():
            for feature_id, held in layer.features.items():
                at = moment(held.observed_ms)
                assert at is not None, "every feature was observed"
                yield Row(at, name, feature_id, held, self._changes.get((name, feature_id), ""))
        yield from self._departed

    def _cells(self, row: Row, now: datetime) -> tuple[Text, ...]:
        layer = self._watch.fold.layers.get(row.layer)
        style = "red" if layer and layer.status != "actual" else ""
        status = place = ""
        if row.held is not None:
            status, place = str(row.held.properties.get("status") or ""), place_of(row.held)
        age = age_of(row.at, now)
        return (
            plain(row.layer, style),
            plain(row.id),
            plain(status),
            plain(age),
            plain(place),
            plain(row.change),
        )

    def _head(self, now: datetime, most_layers: int) -> Iterator[Text]:
        fold = self._watch.fold
        yield said_of(self._watch.link)
        if fold.missing_since is not None:
            yield plain(
                f"The service reads nothing since {clock_of(moment(fold.missing_since))}.", "bold red"
            )
        names = sorted(fold.layers, key=lambda name: (name not in fold.silent, name))
        for name in names[:most_layers]:
            layer = fold.layers[name]
            line = plain(f"{name}  {size_of(layer)}  at {layer.revision or 'no revision yet'}")
            if layer.status != "actual":
                line.append(f"  {layer.status}".upper(), "bold red")
            if (since := fold.silent.get(name)) is not None:
                line.append(f"  silent for {age_of(moment(since) or now, now)}", "yellow")
            yield line
        if (further := len(names) - most_layers) > 0:
            yield plain(f"and {further} more")


def said_of(link: Link) -> Text:
    """How the connection is, in a line."""
    style = "green" if link.state == "live" else "bold red"
    why = f": {link.why}" if link.why else ""
    return plain(f"{link.state} since {clock_of(link.since)}{why}", style)


def size_of(layer: LayerHeld) -> str:
    """How much of a layer is held."""
    if layer.tiled:
        return "as tiles"
    if layer.cells is not None:
        return f"{sum(count for count, _, _ in layer.cells.values()):,} features, summed"
    return f"{len(layer.features):,} features"


def place_of(held: Held) -> str:
    """Longitude and latitude of a point; of anything else, what it is."""
    match held.geometry:
        case {"type": "Point", "coordinates": [lng, lat, *_]}:
            return f"{lng:.5f}, {lat:.5f}"
        case {"type": str(shape)}:
            return shape
        case _:
            return ""


def age_of(then: datetime, now: datetime) -> str:
    """How long ago *then* was; a clock ahead is no news from the future."""
    seconds = max(0, int((now - then).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def clock_of(moment: datetime | None) -> str:
    """The time of day, UTC."""
    return f"{moment:%H:%M:%S}Z" if moment else ""


def plain(text: str, style: str = "") -> Text:
    """*text* as it stands; what a terminal would obey (escapes, line feeds) is shown as a dot."""
    return Text("".join(each if each.isprintable() else "·" for each in text), style, no_wrap=True)
