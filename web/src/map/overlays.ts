// The layers that MapLibre draws between the basemap and the symbols: areas, names, trails, gaps, and tiled layers as
// vector tiles. Each is a source and its style; `picture-map.ts` gives them their data.

import type {
  ExpressionSpecification,
  FilterSpecification,
  LayerSpecification,
  SourceSpecification,
  SymbolLayerSpecification,
} from "maplibre-gl";
import type { LayerInfo } from "../wire.ts";
import type { HexRole } from "./hexes.ts";
import { FONT, FONT_BOLD } from "./style.ts";
import { Ring } from "./symbols.ts";
import type { Palette } from "./theme.ts";

export const EMPTY_COLLECTION = { type: "FeatureCollection" as const, features: [] };

/** Our GeoJSON sources. */
export const SOURCES = [
  "areas",
  "names",
  "callsigns",
  "trail",
  "hexes",
  "changed-hexes",
  "marked-hexes",
  "sites",
  "area-of-interest",
  "cells",
  "cell-counts",
] as const;
export type SourceName = (typeof SOURCES)[number];
/** Those that the page fills, not the map by itself. */
export type ShownSource = Extract<
  SourceName,
  "trail" | "hexes" | "changed-hexes" | "marked-hexes" | "sites" | "area-of-interest"
>;

/** The basemap's first layer of names: areas go below it, so that streets can still be read. */
export const BELOW_NAMES = "street-names";

/** What a watched analysis publishes: the gaps that it finds. */
const GAP_ZONE: ExpressionSpecification = [
  "all",
  ["==", ["get", "kind"], "zones"],
  ["==", ["get", "type"], "gap"],
];

function role(name: HexRole): ExpressionSpecification {
  return ["==", ["get", "role"], name];
}

/** Hexes by how many cover them: nobody is hatched, the more the stronger, the last shade for its depth and deeper. */
function depthLayers(c: Palette): LayerSpecification[] {
  const depth: ExpressionSpecification = ["get", "depth"];
  const shades = DEPTH_OPACITY.flatMap((opacity, i) => [i, opacity]);
  const opacity = ["interpolate", ["linear"], depth, ...shades] as unknown as ExpressionSpecification;
  const covered: FilterSpecification = ["all", role("depth"), [">", depth, 0]];
  return [
    {
      id: "depth-fill",
      type: "fill",
      source: "hexes",
      filter: covered,
      paint: { "fill-color": c.overlap, "fill-opacity": opacity },
    },
    pattern("depth-none", "hexes", ["all", role("depth"), ["==", depth, 0]], "gap-hatch"),
    line("depth-line", "hexes", role("depth"), c.overlap, 0.4),
  ];
}

/** How strongly a hex of each depth is filled; the legend of the panel is made of the same. */
export const DEPTH_OPACITY = [0, 0.12, 0.24, 0.36, 0.5, 0.64] as const;

/** Layers drawn below the names of the basemap. */
export function groundLayers(c: Palette): LayerSpecification[] {
  const kind = (...kinds: string[]): ExpressionSpecification => ["in", ["get", "kind"], ["literal", kinds]];
  return [
    road("roads-line", { source: "areas", filter: kind("roads") }, c.label),
    fill("coverage-fill", "areas", kind("coverage"), c.coverage, 0.06),
    line("coverage-line", "areas", kind("coverage"), c.coverage, 1.5, [1, 2]),
    fill("zones-fill", "areas", ["all", kind("zones"), ["!", GAP_ZONE]], c.zone, 0.15),
    line("zones-line", "areas", ["all", kind("zones"), ["!", GAP_ZONE]], c.zone, 2.5, [3, 2]),
    pattern("gap-zones-fill", "areas", GAP_ZONE, "gap-hatch"),
    line("gap-zones-line", "areas", GAP_ZONE, c.gap, 1.5),
    fill("incidents-fill", "areas", ["all", kind("incidents"), ["!", ["get", "closed"]]], c.incident, 0.2),
    line("incidents-line", "areas", kind("incidents"), c.incident, 2.5),
    fill("assets-fill", "areas", kind("assets"), c.text, 0.2),
    ...depthLayers(c),
    pattern("gap-fill", "hexes", role("gap"), "gap-hatch"),
    line("gap-line", "hexes", role("gap"), c.gap, 1),
    pattern("overlap-fill", "hexes", role("overlap"), "overlap-dots"),
    pattern("lost-fill", "changed-hexes", role("lost"), "lost-cross"),
    line("lost-line", "changed-hexes", role("lost"), c.lost, 2.5),
    pattern("won-fill", "changed-hexes", role("won"), "won-plus"),
    line("won-line", "changed-hexes", role("won"), c.won, 2.5),
    line("marked-line", "marked-hexes", undefined, c.label, 4),
    line("area-line", "area-of-interest", undefined, c.label, 2, [4, 3]),
    {
      id: "cells-fill",
      type: "fill",
      source: "cells",
      paint: {
        "fill-color": ["get", "color"],
        "fill-opacity": ["get", "opacity"],
      },
    },
  ];
}

/** Layers drawn above the names of the basemap, below the symbols. */
export function upperLayers(c: Palette): LayerSpecification[] {
  const halo = { "text-halo-color": c.halo, "text-halo-width": 1.8 };
  return [
    {
      ...line("trail-line", "trail", ["==", ["geometry-type"], "LineString"], c.trail, 3),
      layout: { "line-cap": "round", "line-join": "round" },
    } as LayerSpecification,
    {
      id: "trail-points",
      type: "circle",
      source: "trail",
      filter: ["==", ["geometry-type"], "Point"],
      paint: {
        "circle-radius": 3.5,
        "circle-color": c.trail,
        "circle-stroke-color": c.halo,
        "circle-stroke-width": 1,
      },
    },
    {
      id: "area-names",
      type: "symbol",
      source: "names",
      minzoom: 9.5,
      filter: ["in", ["get", "kind"], ["literal", ["zones", "coverage"]]],
      layout: {
        "text-field": ["get", "name"],
        "text-font": FONT_BOLD,
        "text-size": 13,
        "text-max-width": 9,
        "text-padding": 4,
      },
      paint: {
        "text-color": ["match", ["get", "kind"], "zones", c.zone, c.coverage],
        ...halo,
      },
    },
    pointNames("asset-names", ["==", ["get", "kind"], "assets"], 13.2, FONT, c.label, c.halo),
    pointNames("incident-names", ["==", ["get", "kind"], "incidents"], 11.2, FONT_BOLD, c.incident, c.halo),
    callsignLayer(c, "callsigns", ["!", ["has", "side"]], {
      "text-variable-anchor": ["top", "bottom", "left", "right"],
    }),
    callsignLayer(c, "callsigns-in-rings", ["has", "side"], { "text-anchor": ["get", "side"] }),
    ...cellEdges(),
    counts("cells-count", ["!=", ["get", "ring"], Ring.Distress], c.label, c.halo),
  ];
}

/** Names of units; `placed` says on which side of each. */
function callsignLayer(
  c: Palette,
  id: string,
  filter: ExpressionSpecification,
  placed: SymbolLayerSpecification["layout"],
): SymbolLayerSpecification {
  return {
    id,
    type: "symbol",
    source: "callsigns",
    filter,
    layout: {
      "text-field": ["get", "name"],
      "text-font": FONT_BOLD,
      "text-size": 11.5,
      "text-radial-offset": 1.55,
      "text-padding": 1,
      "symbol-sort-key": ["get", "order"],
      ...placed,
    },
    paint: { "text-color": c.label, "text-halo-color": c.halo, "text-halo-width": 1.8 },
  };
}

/** Drawn over everything, symbols too: hexes that hold somebody in distress, and proposed sites with their numbers. */
export function topLayers(c: Palette): LayerSpecification[] {
  return [
    counts("cells-distress", ["==", ["get", "ring"], Ring.Distress], c.distressText, c.halo),
    {
      id: "sites-dot",
      type: "circle",
      source: "sites",
      paint: {
        "circle-radius": 13,
        "circle-color": c.won,
        "circle-stroke-color": c.halo,
        "circle-stroke-width": 2.5,
      },
    },
    {
      id: "sites-number",
      type: "symbol",
      source: "sites",
      layout: {
        "text-field": ["get", "name"],
        "text-font": FONT_BOLD,
        "text-size": 14,
        "text-allow-overlap": true,
      },
      paint: { "text-color": c.halo },
    },
  ];
}

function counts(id: string, filter: FilterSpecification, color: string, halo: string): LayerSpecification {
  return {
    id,
    type: "symbol",
    source: "cell-counts",
    filter,
    layout: {
      "text-field": ["get", "label"],
      "text-font": FONT_BOLD,
      "text-size": 13,
      "text-padding": 0,
      "text-line-height": 1.05,
      "text-overlap": "cooperative",
      "symbol-sort-key": ["get", "order"],
    },
    paint: { "text-color": color, "text-halo-color": halo, "text-halo-width": 2 },
  };
}

/** The edge of a hex says the worst status in it, in the colours of the rings; dashed: its oldest report is stale. */
function cellEdges(): LayerSpecification[] {
  const ring: ExpressionSpecification = ["get", "ring"];
  // what is worse lies above its neighbours
  const above: ExpressionSpecification = ["-", 0, ["get", "order"]];
  const layout = { "line-join": "round", "line-sort-key": above } as const;
  const edge = (id: string, stale: boolean, dashes: object): LayerSpecification =>
    ({
      id,
      type: "line",
      source: "cells",
      filter: ["==", ["get", "stale"], stale],
      layout,
      paint: {
        "line-color": [
          "match",
          ring,
          Ring.EnRoute,
          "#fadb1a",
          Ring.OnScene,
          "#0a0a0a",
          Ring.Distress,
          "#e00024",
          ["get", "color"],
        ],
        "line-width": ["match", ring, Ring.Distress, 5, [Ring.EnRoute, Ring.OnScene], 2, 1.2],
        ...dashes,
      },
    }) as LayerSpecification;
  return [
    {
      id: "cells-case",
      type: "line",
      source: "cells",
      layout,
      paint: {
        // yellow is told from a light ground, and black from a dark one, by what lies beneath
        "line-color": ["match", ring, Ring.EnRoute, "#0d0d0d", "#ffffff"],
        "line-width": ["match", ring, Ring.Distress, 9, [Ring.EnRoute, Ring.OnScene], 3.6, 0],
        "line-opacity": ["case", ["all", ["get", "stale"], ["!=", ring, Ring.Distress]], 0.3, 0.9],
      },
    } as LayerSpecification,
    edge("cells-line", false, {}),
    edge("cells-line-stale", true, { "line-dasharray": [2, 1.6] }),
  ];
}

function pointNames(
  id: string,
  filter: FilterSpecification,
  minzoom: number,
  font: string[],
  color: string,
  halo: string,
): LayerSpecification {
  return {
    id,
    type: "symbol",
    source: "names",
    filter,
    minzoom,
    layout: {
      "text-field": ["get", "name"],
      "text-font": font,
      "text-size": 12,
      "text-max-width": 10,
      "text-variable-anchor": ["top", "bottom"],
      "text-radial-offset": 1.5,
    },
    paint: { "text-color": color, "text-halo-color": halo, "text-halo-width": 1.8 },
  };
}

function fill(
  id: string,
  source: string,
  filter: FilterSpecification,
  color: string,
  opacity: number,
): LayerSpecification {
  return { id, type: "fill", source, filter, paint: { "fill-color": color, "fill-opacity": opacity } };
}

function pattern(id: string, source: string, filter: FilterSpecification, image: string): LayerSpecification {
  return { id, type: "fill", source, filter, paint: { "fill-pattern": image, "fill-opacity": 0.75 } };
}

function line(
  id: string,
  source: string,
  filter: FilterSpecification | undefined,
  color: string,
  width: number,
  dashes?: number[],
): LayerSpecification {
  return {
    id,
    type: "line",
    source,
    ...(filter ? { filter } : {}),
    paint: { "line-color": color, "line-width": width, ...(dashes ? { "line-dasharray": dashes } : {}) },
  };
}

/** A street of a layer: thin, and from afar faint, for the basemap has drawn it already and a city has thousands. */
function road(
  id: string,
  of: { source: string; "source-layer"?: string; filter?: FilterSpecification },
  color: string,
): LayerSpecification {
  return {
    id,
    type: "line",
    ...of,
    layout: { "line-cap": "round", "line-join": "round" },
    paint: {
      "line-color": color,
      "line-opacity": ["interpolate", ["linear"], ["zoom"], 10, 0.1, 13.5, 0.5],
      "line-width": ["interpolate", ["linear"], ["zoom"], 10, 0.3, 13, 0.8, 17, 2.5],
    },
  } as LayerSpecification;
}

/** The source of a tiled layer. Its revision is in the address, so that a change is seen at once and the rest stays cached. */
export function tileSource(origin: string, layer: LayerInfo, revision: number): SourceSpecification {
  const path = `/collections/${encodeURIComponent(layer.id)}/tiles/WebMercatorQuad`;
  return {
    type: "vector",
    tiles: [`${origin}${path}/{z}/{y}/{x}?revision=${layer.epoch}-${revision}`],
    maxzoom: 16,
  };
}

/** How a tiled layer is drawn: areas, lines, and symbols named `tile|kind|glyph type|colour` that are drawn on demand. */
export function tileLayers(layer: LayerInfo, color: string, c: Palette): LayerSpecification[] {
  const source = `tiles:${layer.id}`;
  const base = { source, "source-layer": "features" };
  if (layer.kind === "roads") return [road(`${source}:line`, base, color)];
  const type = ["coalesce", ["get", `${layer.kind.replace(/s$/, "")}_type`], ""];
  return [
    {
      ...base,
      id: `${source}:fill`,
      type: "fill",
      filter: ["==", ["geometry-type"], "Polygon"],
      paint: { "fill-color": color, "fill-opacity": 0.2 },
    },
    {
      ...base,
      id: `${source}:line`,
      type: "line",
      filter: ["!=", ["geometry-type"], "Point"],
      paint: { "line-color": color, "line-width": 2 },
    },
    {
      ...base,
      id: `${source}:point`,
      type: "symbol",
      filter: ["==", ["geometry-type"], "Point"],
      layout: {
        "icon-image": ["concat", `tile|${layer.kind}|`, type, `|${color}`],
        "icon-size": ["interpolate", ["linear"], ["zoom"], 8, 0.35, 12, 0.6, 15, 1],
        "icon-allow-overlap": true,
        "text-field": [
          "step",
          ["zoom"],
          "",
          15,
          ["coalesce", ["get", "name"], ["get", "callsign"], ["get", "title"], ""],
        ],
        "text-font": FONT,
        "text-size": 11,
        "text-optional": true,
        "text-offset": [0, 1.3],
        "text-anchor": "top",
      },
      paint: { "text-color": c.label, "text-halo-color": c.halo, "text-halo-width": 1.6 },
    },
  ] as LayerSpecification[];
}

/**
 * Patterns, so that gap, overlap and what changes differ in more than colour. 16 × 16 pixels, drawn at twice the density.
 * With `ink` the ground is solid, as what changes lies over gap and overlap, and the pattern is of that colour.
 */
export function patternImage(
  kind: "hatch" | "dots" | "cross" | "plus",
  color: string,
  ink?: string,
): ImageData {
  const side = 16;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d")!;
  pen.fillStyle = color;
  pen.globalAlpha = ink ? 0.85 : 0.15;
  pen.fillRect(0, 0, side, side);
  pen.fillStyle = pen.strokeStyle = ink ?? color;
  pen.globalAlpha = 0.75;
  pen.lineWidth = kind === "hatch" ? 2.5 : 1.5;
  pen.beginPath();
  if (kind === "dots") pen.arc(side / 2, side / 2, 2.6, 0, 7);
  else if (kind === "plus") plus(pen, side);
  else diagonals(pen, side, kind === "cross");
  if (kind === "dots") pen.fill();
  else pen.stroke();
  return pen.getImageData(0, 0, side, side);
}

function plus(pen: CanvasRenderingContext2D, side: number): void {
  pen.moveTo(side / 2, 3);
  pen.lineTo(side / 2, side - 3);
  pen.moveTo(3, side / 2);
  pen.lineTo(side - 3, side / 2);
}

/** Lines that go on in the next tile of the pattern, in one direction or in both. */
function diagonals(pen: CanvasRenderingContext2D, side: number, both: boolean): void {
  for (const shift of [-side, 0, side]) {
    pen.moveTo(shift, side);
    pen.lineTo(shift + side, 0);
    if (!both) continue;
    pen.moveTo(shift, 0);
    pen.lineTo(shift + side, side);
  }
}
