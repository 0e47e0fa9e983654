// H3 cells as polygons to draw. Loaded only when somebody asks for gaps: the H3 library is as large as the rest of the page.

import type { FeatureCollection } from "geojson";
import { cellToBoundary, getResolution, uncompactCells } from "h3-js";

/** Beyond this many hexes the compacted ones are drawn as they are: nobody tells 30,000 cells apart on one screen. */
const MOST_CELLS = 30_000;

/** Outlines of compacted `cells` at `resolution`, with `role` as their property. */
export function outlines(
  cells: string[],
  cellCount: number,
  resolution: number,
  role: "gap" | "overlap",
): FeatureCollection {
  const drawn = cellCount <= MOST_CELLS ? uncompactCells(cells, resolution) : cells;
  return {
    type: "FeatureCollection",
    features: drawn.map((cell) => ({
      type: "Feature",
      geometry: { type: "Polygon", coordinates: [unwrapped(cellToBoundary(cell))] },
      properties: { role, cell, resolution: getResolution(cell) },
    })),
  };
}

/**
 * The corners that H3 gives (lat, lng, open) as a closed ring of GeoJSON. Across the antimeridian it goes on: MapLibre draws
 * longitudes beyond 180 as meant.
 */
export function unwrapped(corners: number[][]): number[][] {
  const first = corners[0]![1]!;
  const ring = corners.map(([lat, lng]) => [lng! - 360 * Math.round((lng! - first) / 360), lat!]);
  return [...ring, [...ring[0]!]];
}
