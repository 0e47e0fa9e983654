"""An analysis as a briefing; runs in the process that works the case out."""

from __future__ import annotations

from pathlib import Path

import shapely

from cop.briefing.basemap import read_basemap
from cop.briefing.facts import facts_of
from cop.briefing.page import as_page
from cop.briefing.picture import as_picture
from cop.planning.answers import pieces_of, totals
from cop.planning.desk import Loaded
from cop.planning.keeping import with_rule
from layers.model import BBox, JsonObject
from layers.planning.model import Geometry

MARGIN = 0.06
"""Of the area's width and height: what is shown around it …"""
GROUND = 0.8
"""… and how far beyond there is ground to be seen on a page that is wider than the area."""


def as_html(loaded: Loaded, stated: JsonObject, static: Path | None, *, title: str = "") -> bytes:
    """The briefing as one HTML file; *static* is the built page's folder, with the basemap and Leaflet."""
    facts = facts_of(with_rule(stated | totals(loaded)), loaded.case.rule, title=title)
    box, ground = _box(loaded.case.area, MARGIN), _box(loaded.case.area, GROUND)
    leaflet = (static or Path("missing")) / "leaflet"
    return as_page(
        facts, pieces_of(loaded.coverage), read_basemap(_basemap(static), ground), box, leaflet
    ).encode()


def as_png(loaded: Loaded, stated: JsonObject, static: Path | None, *, title: str = "") -> bytes:
    """The briefing as a picture."""
    facts = facts_of(with_rule(stated | totals(loaded)), loaded.case.rule, title=title)
    box = _box(loaded.case.area, MARGIN)
    return as_picture(facts, pieces_of(loaded.coverage), read_basemap(_basemap(static), box), box)


def _basemap(static: Path | None) -> Path | None:
    return None if static is None else static / "basemap"


def _box(area: Geometry, margin: float) -> BBox:
    west, south, east, north = shapely.geometry.shape(area).bounds
    across, up = (east - west) * margin, (north - south) * margin
    return (
        max(west - across, -180.0),
        max(south - up, -90.0),
        min(east + across, 180.0),
        min(north + up, 90.0),
    )
