// The basemap's style, light and dark, from the two PMTiles files that we serve ourselves: the world everywhere, streets
// where there is a city file. Everything that moves or is pushed is drawn above it by the other files of this folder.

import type { ExpressionSpecification, LayerSpecification, StyleSpecification } from "maplibre-gl";
import { PALETTE, type Palette, type Theme } from "./theme.ts";

export const FONT = ["Public Sans"];
export const FONT_BOLD = ["Public Sans Bold"];

/** Where the style finds what it loads: absolute addresses on our own server. */
export interface Addresses {
  /** Folder of the PMTiles files, ending in a slash. */
  basemap: string;
  font: string;
  fontBold: string;
}

export function basemapStyle(theme: Theme, at: Addresses): StyleSpecification {
  const c = PALETTE[theme];
  return {
    version: 8,
    // All text is drawn from these files by the browser: no glyph server.
    "font-faces": { [FONT[0]!]: at.font, [FONT_BOLD[0]!]: at.fontBold },
    sources: {
      world: {
        type: "vector",
        url: `pmtiles://${at.basemap}world.pmtiles`,
        attribution: "Natural Earth · U.S. Census Bureau",
      },
      city: {
        type: "vector",
        url: `pmtiles://${at.basemap}chicago.pmtiles`,
        attribution: "© OpenStreetMap contributors",
      },
    },
    layers: [...world(c), ...ground(c), ...roads(c, theme), ...labels(c)],
  };
}

/** A width or size that grows with zoom from `low` to `high`. */
function byZoom(fromZoom: number, low: number, toZoom: number, high: number): ExpressionSpecification {
  return ["interpolate", ["exponential", 1.4], ["zoom"], fromZoom, low, toZoom, high];
}

function classIs(...classes: string[]): ExpressionSpecification {
  return ["match", ["get", "class"], classes, true, false];
}

function world(c: Palette): LayerSpecification[] {
  const line = (id: string, layer: string, minzoom: number, color: string, width: ExpressionSpecification) =>
    ({
      id,
      type: "line",
      source: "world",
      "source-layer": layer,
      minzoom,
      paint: { "line-color": color, "line-width": width },
    }) satisfies LayerSpecification;
  return [
    { id: "sea", type: "background", paint: { "background-color": c.water } },
    { id: "land", type: "fill", source: "world", "source-layer": "land", paint: { "fill-color": c.land } },
    line("counties", "counties", 5, c.county, byZoom(5, 0.3, 9, 1.2)),
    { id: "lakes", type: "fill", source: "world", "source-layer": "lakes", paint: { "fill-color": c.water } },
    line("states", "states", 2, c.state, byZoom(3, 0.4, 8, 1.6)),
    line("borders", "borders", 0, c.border, byZoom(1, 0.5, 8, 2)),
  ];
}

function ground(c: Palette): LayerSpecification[] {
  const fill = (id: string, layer: string, color: string, more: object = {}) =>
    ({
      id,
      type: "fill",
      source: "city",
      "source-layer": layer,
      paint: { "fill-color": color },
      ...more,
    }) as LayerSpecification;
  return [
    fill("green", "landuse", c.green, {
      filter: classIs("park", "grass", "pitch", "wood", "cemetery", "scrub"),
    }),
    fill("built-up", "landuse", c.grey, {
      filter: classIs("industrial", "hospital", "school", "parking", "rail"),
    }),
    fill("water", "water", c.water),
    {
      id: "waterway",
      type: "line",
      source: "city",
      "source-layer": "waterway",
      paint: { "line-color": c.water, "line-width": byZoom(9, 0.4, 14, 2.5) },
    },
    {
      id: "runways",
      type: "line",
      source: "city",
      "source-layer": "aeroway",
      minzoom: 10,
      filter: ["==", ["geometry-type"], "LineString"],
      paint: { "line-color": c.rail, "line-width": byZoom(10, 0.6, 15, 8) },
    },
    fill("buildings", "building", c.building, { minzoom: 13 }),
  ];
}

interface Road {
  id: string;
  classes: string[];
  minzoom: number;
  /** Pixels at `minzoom` and at zoom 16. */
  width: [number, number];
  color: string;
  cased: boolean;
}

function roads(c: Palette, theme: Theme): LayerSpecification[] {
  const streets = ["street", "street_limited", "service"];
  const kinds: Road[] = [
    {
      id: "rail",
      classes: ["major_rail", "minor_rail"],
      minzoom: 10,
      width: [0.5, 1.6],
      color: c.rail,
      cased: false,
    },
    {
      id: "street",
      classes: streets,
      minzoom: 12,
      width: [0.3, 7],
      color: c.street,
      cased: theme === "light",
    },
    {
      id: "secondary",
      classes: ["secondary", "tertiary"],
      minzoom: 10,
      width: [0.5, 9],
      color: c.street,
      cased: true,
    },
    {
      id: "primary",
      classes: ["primary", "trunk", "main"],
      minzoom: 9,
      width: [0.5, 11],
      color: c.primary,
      cased: true,
    },
    {
      id: "ramp",
      classes: ["motorway_link", "link"],
      minzoom: 11,
      width: [0.4, 5],
      color: c.motorway,
      cased: false,
    },
    { id: "motorway", classes: ["motorway"], minzoom: 9, width: [0.8, 9], color: c.motorway, cased: true },
  ];
  return kinds.flatMap((road) =>
    road.cased ? [roadLine(road, c, true), roadLine(road, c)] : [roadLine(road, c)],
  );
}

function roadLine(road: Road, c: Palette, casing = false): LayerSpecification {
  const [low, high] = road.width;
  return {
    id: casing ? `${road.id}-casing` : road.id,
    type: "line",
    source: "city",
    "source-layer": "road",
    filter: classIs(...road.classes),
    minzoom: road.minzoom,
    layout: { "line-cap": "round", "line-join": "round" },
    paint: {
      "line-color": casing ? c.casing : road.color,
      "line-width": casing
        ? byZoom(road.minzoom, low + 0.8, 16, high + 2.4)
        : byZoom(road.minzoom, low, 16, high),
    },
  };
}

const NAME: ExpressionSpecification = ["coalesce", ["get", "name_en"], ["get", "name"]];

function labels(c: Palette): LayerSpecification[] {
  const paint = { "text-color": c.text, "text-halo-color": c.halo, "text-halo-width": 1.4 };
  return [
    {
      id: "street-names",
      type: "symbol",
      source: "city",
      "source-layer": "road_label",
      minzoom: 12.5,
      layout: {
        "symbol-placement": "line",
        "text-field": NAME,
        "text-font": FONT,
        "text-size": byZoom(12, 9.5, 16, 13),
      },
      paint,
    },
    {
      id: "stations",
      type: "symbol",
      source: "city",
      "source-layer": "rail_station_label",
      minzoom: 14,
      layout: { "text-field": NAME, "text-font": FONT, "text-size": 10.5 },
      paint,
    },
    {
      id: "places",
      type: "symbol",
      source: "city",
      "source-layer": "place_label",
      minzoom: 9,
      layout: {
        "text-field": NAME,
        "text-font": FONT_BOLD,
        "symbol-sort-key": ["get", "localrank"],
        "text-transform": "uppercase",
        "text-letter-spacing": 0.06,
        "text-size": byZoom(9, 10, 14, 14),
        "text-max-width": 7,
        "text-padding": 8,
      },
      paint,
    },
    {
      id: "county-names",
      type: "symbol",
      source: "world",
      "source-layer": "county_pts",
      minzoom: 7,
      maxzoom: 10,
      layout: {
        "text-field": ["get", "name"],
        "text-font": FONT,
        "text-size": byZoom(7, 10, 10, 15),
        "text-transform": "uppercase",
        "text-letter-spacing": 0.1,
      },
      paint: { ...paint, "text-opacity": 0.8 },
    },
  ];
}
