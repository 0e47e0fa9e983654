"""A briefing as one HTML file: a folium map with the library inside it, and the tables. It opens offline.

Whatever an agency said (names, notes) enters as text, never as HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import folium
import shapely
from branca.element import Element, Figure

from cop.briefing.basemap import Basemap
from cop.briefing.facts import Facts, Table
from cop.briefing.numbers import Size, Spot, asides, each_metre, spots
from layers.errors import Unavailable
from layers.model import BBox, JsonObject

COLORS = {"gap": "#b3001b", "overlap": "#1d4ed8", "covered": "#0f766e"}
MAP_PX = (1050, 540)
"""How wide and high the map is on a screen, less the steps in which Leaflet zooms."""
NUMBER_PX = (27, 26)
WORDS = {"gap": "Gap", "overlap": "Overlap", "covered": "Covered"}
STYLE = """
body { font: 15px/1.45 "Public Sans", system-ui, sans-serif; color: #16181d; margin: 0; background: #fff; }
main { max-width: 1100px; margin: 0 auto; padding: 20px 24px 48px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 17px; margin: 28px 0 6px; }
.headline { font-size: 19px; font-weight: 600; margin: 12px 0; }
.rule, .at, .more, footer { color: #454b57; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 10px 5px 0; border-bottom: 1px solid #d8dbe2; vertical-align: top; }
th { font-weight: 600; } footer { font-size: 13px; margin-top: 32px; overflow-wrap: anywhere; }
.notes { border-left: 4px solid #b45309; padding: 2px 0 2px 14px; margin: 16px 0; }
.mark { background: repeating-linear-gradient(45deg, #b3001b 0 14px, #8f0016 14px 28px); color: #fff;
  font-weight: 700; letter-spacing: .2em; text-align: center; padding: 8px; text-transform: uppercase; }
.folium-map { position: relative !important; height: 560px !important; width: 100% !important; margin: 14px 0;
  border: 1px solid #c3c8d2; background: #eef0ea !important; }
.number { position: absolute; transform: translate(-50%, -50%); background: #fff; border: 2px solid #b3001b;
  border-radius: 12px; padding: 0 6px; font-weight: 700; color: #16181d; }
.leaflet-map-pane svg.leader { z-index: 0; position: absolute; left: 0; top: 0; width: 1px; height: 1px;
  overflow: visible; }
.leader line { stroke: #b3001b; stroke-width: 2; }
.swatch { display: inline-block; width: 14px; height: 14px; border: 2px solid; vertical-align: -2px; }
.swatch.gap { color: #b3001b; background: #b3001b73; } .swatch.covered { color: #0f766e; background: #0f766e1a; }
.swatch.overlap { color: #1d4ed8; background: #1d4ed838; border-style: dashed; }
.leaflet-container { font: inherit !important; }
@media print { .folium-map { height: 420px !important; } main { max-width: none; } }
"""


# folium puts a marker on the map before it gives it its icon, and Leaflet would fetch the picture of its own.
NO_ICON = "L.Marker.prototype.options.icon = L.divIcon({iconSize: [0, 0]});"


def as_page(facts: Facts, pieces: Sequence[JsonObject], basemap: Basemap, box: BBox, leaflet: Path) -> str:
    """The briefing as HTML. *pieces* are GeoJSON features with `role` and `km2`; *leaflet* is where its two files are.

    Raises `Unavailable` (`briefing.assets`) where the page was never built, and so Leaflet is not at hand.
    """
    drawn = folium.Map(
        tiles=None, zoom_control=True, prefer_canvas=True, attributionControl=False, zoomSnap=0.25
    )
    # folium would fetch these from elsewhere, with jQuery, Bootstrap and fonts that nothing here needs.
    drawn.default_js, drawn.default_css = [], []
    _ground(drawn, basemap)
    for role in ("covered", "overlap", "gap"):
        _pieces(drawn, role, [piece for piece in pieces if piece["properties"]["role"] == role])
    _numbers(drawn, spots(facts.middles, pieces), box)
    folium.LayerControl(collapsed=False).add_to(drawn)
    drawn.fit_bounds([[box[1], box[0]], [box[3], box[2]]])
    root = Figure()
    root.add_child(drawn)
    root.header.add_child(Element(f"<title>{_text(facts.title)}</title>"), name="title", index=0)
    script, style = _leaflet(leaflet)
    root.header.add_child(Element(f"<style>{style}{STYLE}</style>"), name="style")
    root.header.add_child(Element(f"<script>{script}\n{NO_ICON}</script>"), name="leaflet", index=1)
    root.html.add_child(Element(f"{_mark(facts)}<main>{_head(facts)}"), name="head", index=0)
    # folium writes the map under its own name when it renders: the name is given a place here, below the head.
    root.html.add_child(Element(""), name=drawn.get_name())
    root.html.add_child(Element(f"{_tables(facts.tables)}{_foot(facts)}</main>{_mark(facts)}"), name="foot")
    return str(root.render())


def _ground(drawn: folium.Map, basemap: Basemap) -> None:
    ground = folium.FeatureGroup("Ground", control=False)
    ground.add_to(drawn)
    for shapes, style in (
        (basemap.land, {"fillColor": "#f6f4ee", "fillOpacity": 1, "stroke": False}),
        (basemap.water, {"fillColor": "#c9dcea", "fillOpacity": 1, "stroke": False}),
        (basemap.borders, {"color": "#a9a9b5", "weight": 1, "dashArray": "4 3", "fill": False}),
        (basemap.roads, {"color": "#cfcabd", "weight": 1.6, "fill": False}),
    ):
        if shapes:
            _add(ground, shapes, style)


def _add(group: folium.FeatureGroup, shapes: Sequence[Any], style: dict[str, Any]) -> None:
    collection = shapely.GeometryCollection(list(shapes))
    geometry = shapely.geometry.mapping(shapely.set_precision(collection, 1e-5))
    feature = {"type": "Feature", "geometry": geometry, "properties": {}}
    folium.GeoJson(feature, style_function=lambda _: style, interactive=False, smooth_factor=0.5).add_to(
        group
    )


def _pieces(drawn: folium.Map, role: str, pieces: Sequence[JsonObject]) -> None:
    if not pieces:
        return
    opacity = {"covered": 0.1, "overlap": 0.22, "gap": 0.45}[role]
    style = {"color": COLORS[role], "weight": 1.5, "fillColor": COLORS[role], "fillOpacity": opacity}
    if role == "overlap":
        style["dashArray"] = "2 3"
    swatch = f'<span class="swatch {role}"></span>'  # Leaflet takes a group's name as HTML, and it is ours.
    group = folium.FeatureGroup(f"{swatch} {WORDS[role]}", show=role != "covered")
    group.add_to(drawn)
    for piece in pieces:
        words = f"{WORDS[role]}: {piece['properties']['km2']:.2f} km²"
        folium.GeoJson(
            {"type": "Feature", "geometry": piece["geometry"], "properties": {}},
            style_function=lambda _, style=style: style,
            tooltip=folium.Tooltip(words),
        ).add_to(group)


def _numbers(drawn: folium.Map, found: Sequence[Spot], box: BBox) -> None:
    """Each in its gap, or beside it where it would hide it, with a line to it."""
    aside = asides(found, Size(*NUMBER_PX, each_metre(box, *MAP_PX)))
    for number, (spot, (right, up)) in enumerate(zip(found, aside, strict=True), 1):
        icon = folium.DivIcon(html=number_in_html(number, right, up), icon_size=(0, 0))
        folium.Marker((spot.lat, spot.lng), icon=icon, interactive=False).add_to(drawn)


def number_in_html(number: int, right: float, up: float) -> str:
    """A number whose middle stands so many pixels beside what it is the number of."""
    x, y = f"{right + 0.0:.0f}", f"{0.0 - up:.0f}"
    line = f'<svg class="leader"><line x2="{x}" y2="{y}"/></svg>' if right or up else ""
    return f'{line}<span class="number" style="left:{x}px;top:{y}px">{number}</span>'


def _leaflet(folder: Path) -> tuple[str, str]:
    try:
        script = (folder / "leaflet.js").read_text(encoding="utf-8")
        style = (folder / "leaflet.css").read_text(encoding="utf-8")
    except OSError:
        detail = "The page of this service was not built, and with it the map that a briefing needs."
        raise Unavailable(detail, code="briefing.assets") from None
    # Its pictures are of controls that are not shown, and its source map is for its authors.
    style = re.sub(r"url\([^)]*\)", "none", style)
    script = re.sub(r"//# sourceMappingURL=.*", "", script).replace("</script", "<\\/script")
    return script, style


def _mark(facts: Facts) -> str:
    return "" if facts.status == "actual" else f'<div class="mark">{_text(facts.status)} — not real</div>'


def _head(facts: Facts) -> str:
    notes = "".join(f"<p>{_text(note)}</p>" for note in facts.notes)
    return (
        f'<h1>{_text(facts.title)}</h1><p class="at">{_text(facts.at)}</p>'
        f'<p class="rule">{_text(facts.rule)}</p><p class="headline">{_text(facts.headline)}</p>'
        + (f'<div class="notes">{notes}</div>' if notes else "")
    )


def _tables(tables: Iterable[Table]) -> str:
    return "".join(
        f"<h2>{_text(table.title)}</h2><table><thead><tr>{_cells('th', table.columns)}</tr></thead><tbody>"
        + "".join(f"<tr>{_cells('td', row)}</tr>" for row in table.rows)
        + f'</tbody></table><p class="more">{_text(table.more)}</p>'
        for table in tables
    )


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}><bdi>{_text(text)}</bdi></{tag}>" for text in texts)


def _foot(facts: Facts) -> str:
    lines = "".join(f"<p>{_text(line)}</p>" for line in facts.provenance)
    credit = "Basemap © OpenStreetMap contributors (ODbL), Natural Earth, U.S. Census Bureau. Map: Leaflet."
    return f"<footer>{lines}<p>{credit}</p></footer>"


def _text(text: str) -> str:
    # Jinja renders what folium is given: braces of ours must not look like its own.
    return escape(text).replace("{", "&#123;").replace("}", "&#125;")
