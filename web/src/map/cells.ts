// Summed layers as hexes: one for each H3 cell, with the count in its middle. Loaded only when a layer comes summed: the H3
// library is as large as the rest of the page.

import type { FeatureCollection, Feature as GeoJsonFeature } from "geojson";
import { cellToBoundary, cellToLatLng } from "h3-js";
import { shortCount } from "../format.ts";
import { goesStale, type LayerState, type Sum } from "../state.ts";
import type { BBox, Position } from "../wire.ts";
import { anchor } from "./areas.ts";
import { unwrapped } from "./hexes.ts";
import { colorOf, Ring, ringOf } from "./symbols.ts";

/** How far a hex, and a slice of one, reaches towards its neighbours: each edge must be seen by itself, as it says a status. */
const INSET = 0.95;

/** The fill of the hex that counts most, and of one that counts one; the map below must be read through both. */
const STRONGEST = 0.5;
const FAINTEST = 0.12;

export interface CellProperties {
  layer: string;
  cell: string;
  color: string;
  ring: Ring;
  /** Of its fill: the more it counts the stronger, the older the paler; in steps, so that the source changes seldom. */
  opacity: number;
  /** Whether its oldest feature is stale. */
  stale: boolean;
  label: string;
  /** Counts that don't fit give way to larger ones, and all of them to distress. */
  order: number;
}

/** The hexes of `layers`, and a point in each for its count. Layers that share a cell part it like a cake. */
export function cellShapes(
  layers: LayerState[],
  agencyColor: (agency: string) => string,
  now: number,
): { hexes: FeatureCollection; counts: FeatureCollection } {
  const byCell = new Map<string, LayerState[]>();
  for (const layer of layers) {
    for (const cell of layer.cells.keys()) byCell.set(cell, [...(byCell.get(cell) ?? []), layer]);
  }
  const most = Math.max(1, ...layers.flatMap((layer) => [...layer.cells.values()].map(({ count }) => count)));
  const hexes: GeoJsonFeature[] = [];
  const counts: GeoJsonFeature[] = [];
  for (const [cell, sharing] of byCell) {
    const slices = slicesOf(cell, sharing.length);
    sharing.forEach((layer, i) => {
      const color = colorOf(layer.info.kind, agencyColor(layer.info.agency));
      const properties = { cell, color, ...describe(layer, layer.cells.get(cell)!, most, now) };
      const geometry = { type: "Polygon" as const, coordinates: [slices[i]!] };
      hexes.push({ type: "Feature", geometry, properties });
      counts.push({
        type: "Feature",
        geometry: { type: "Point", coordinates: anchor(geometry)! },
        properties,
      });
    });
  }
  return {
    hexes: { type: "FeatureCollection", features: hexes },
    counts: { type: "FeatureCollection", features: counts },
  };
}

function describe(
  { info }: LayerState,
  { count, worst, oldestAt }: Sum,
  most: number,
  now: number,
): Omit<CellProperties, "cell" | "color"> {
  const age = goesStale(info) ? Math.max(0, now - oldestAt) / 1000 / info.stale_after_s : 0;
  // as symbols do: they begin to fade at two fifths of their time, and are hollow when it is over
  const fade = age >= 1 ? 0.75 : Math.min(1, Math.max(0, (age - 0.4) / 0.6)) * 0.5;
  const filled = FAINTEST + ((STRONGEST - FAINTEST) * Math.log1p(count)) / Math.log1p(most);
  const ring = ringOf(info.kind, { status: worst });
  const distress = ring === Ring.Distress;
  return {
    layer: info.id,
    ring,
    opacity: Math.round(filled * (1 - fade) * 50) / 50,
    stale: age >= 1,
    label: distress ? `${shortCount(count)}\nDISTRESS` : shortCount(count),
    order: distress ? -1e9 : -count,
  };
}

/** The outline of a cell cut from its middle into as many slices, as closed rings. */
function slicesOf(cell: string, slices: number): Position[][] {
  const corners = unwrapped(cellToBoundary(cell)).slice(0, -1);
  const middle = centreOf(cell, corners[0]![0]!);
  if (slices === 1) return [drawnIn([...corners, corners[0]!], middle)];
  return Array.from({ length: slices }, (_, i) => {
    const [from, to] = [(i * corners.length) / slices, ((i + 1) * corners.length) / slices];
    const rim: Position[] = [alongRim(corners, from)];
    for (let corner = Math.floor(from) + 1; corner < to; corner++) rim.push(corners[corner]!);
    const ring = [middle, ...rim, alongRim(corners, to), middle];
    return drawnIn(ring, anchor({ type: "Polygon", coordinates: [ring] })!);
  });
}

function drawnIn(ring: Position[], towards: Position): Position[] {
  return ring.map((at) => between(towards, at, INSET));
}

/** The point of a ring at `at` corners from its first one. */
function alongRim(ring: Position[], at: number): Position {
  const corner = Math.floor(at);
  return between(ring[corner % ring.length]!, ring[(corner + 1) % ring.length]!, at - corner);
}

function between(a: Position, b: Position, part: number): Position {
  return [a[0]! + (b[0]! - a[0]!) * part, a[1]! + (b[1]! - a[1]!) * part];
}

/** The middle of a cell; its longitude is counted on from `near` across the antimeridian. */
function centreOf(cell: string, near: number): Position {
  const [lat, lng] = cellToLatLng(cell);
  return [lng - 360 * Math.round((lng - near) / 360), lat];
}

export function boxOf(cell: string): BBox {
  const ring = unwrapped(cellToBoundary(cell));
  const lngs = ring.map(([lng]) => lng!);
  const lats = ring.map(([, lat]) => lat!);
  return [Math.min(...lngs), Math.min(...lats), Math.max(...lngs), Math.max(...lats)];
}
