// H3 cells as polygons to draw. Loaded only when somebody asks for gaps: the H3 library is as large as the rest of the page.

import type { Feature, FeatureCollection } from "geojson";
import { cellToBoundary, latLngToCell, uncompactCells } from "h3-js";
import type { Analysis, Cells, VariantAnswer } from "../planner/answers.ts";

export { CellSet } from "../planner/cell-set.ts";

/** Beyond this many hexes the compacted ones are drawn as they are: nobody tells 30,000 cells apart on one screen. */
const MOST_CELLS = 30_000;

export type HexRole = "gap" | "overlap" | "depth" | "lost" | "won" | "marked";

/** Outlines of `cells` at `resolution`, with their role, and how deep they are covered if that is told. */
export function outlines(
  { cells, cell_count }: Cells,
  resolution: number,
  role: HexRole,
  depth?: number,
): FeatureCollection {
  const drawn = cell_count <= MOST_CELLS ? uncompactCells(cells, resolution) : cells;
  const properties = depth === undefined ? { role } : { role, depth };
  return collection(
    drawn.map((cell) => ({
      type: "Feature",
      geometry: { type: "Polygon", coordinates: [unwrapped(cellToBoundary(cell))] },
      properties,
    })),
  );
}

/** By gap and overlap; by how many cover; or the gap alone, for what changes to be drawn over it. */
export type Colouring = "parts" | "depth" | "gap";

/** The hexes of an answer. */
export function answerHexes(answer: Analysis, colouring: Colouring): FeatureCollection {
  const { resolution } = answer;
  if (colouring === "depth") {
    const depths = answer.depth_cells.map((each) => outlines(each, resolution, "depth", each.depth));
    return collection(depths.flatMap(({ features }) => features));
  }
  const gap = outlines(answer.gap, resolution, "gap");
  if (colouring === "gap") return gap;
  return collection([...gap.features, ...outlines(answer.overlap, resolution, "overlap").features]);
}

/** The hexes that a variant uncovers and covers. */
export function changedHexes(variant: VariantAnswer, resolution: number): FeatureCollection {
  const lost = outlines(variant.newly_uncovered, resolution, "lost");
  const won = outlines(variant.newly_covered, resolution, "won");
  return collection([...lost.features, ...won.features]);
}

/** The cell at a place. */
export function cellAt(lng: number, lat: number, resolution: number): string {
  return latLngToCell(lat, lng, resolution);
}

function collection(features: Feature[]): FeatureCollection {
  return { type: "FeatureCollection", features };
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
