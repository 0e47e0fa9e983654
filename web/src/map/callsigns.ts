// The callsigns that are written beside units where the map is near enough to read them. Pure: `picture-map.ts` asks for
// them again every second, as units move.

import type { FeatureCollection } from "geojson";
import { nameOf } from "../format.ts";
import { ageS, type LayerState } from "../state.ts";
import type { BBox, Position } from "../wire.ts";
import type { Ref } from "./symbol-pool.ts";

/** Callsigns are written from this zoom on, for so many units at most; nearer the street there are fewer in sight. */
export const CALLSIGN_ZOOM = 13.4;
const MOST_CALLSIGNS = 400;
/** Two metres. */
const BESIDE_DEG = 2e-5;

/** The anchor of a name: of a unit in a ring it stands outside of the ring, where no other unit can be taken for its own. */
export type Side = "left" | "right" | "top" | "bottom";

/** The side of its text that a unit at `drawn` turns to when it stands at `real`; null: it is drawn where it stands. */
export function sideOf(drawn: Position, real: Position): Side | null {
  const east = (drawn[0]! - real[0]!) * Math.cos((real[1]! * Math.PI) / 180);
  const north = drawn[1]! - real[1]!;
  if (Math.hypot(east, north) < BESIDE_DEG) return null;
  if (Math.abs(east) >= Math.abs(north)) return east > 0 ? "left" : "right";
  return north > 0 ? "bottom" : "top";
}

/** The callsigns of the units of `layers` in `box`; `placeOf`: where a unit is drawn right now. */
export function callsigns(
  layers: Iterable<LayerState>,
  [west, south, east, north]: BBox,
  placeOf: (ref: Ref) => Position | null,
  nowMs: number,
): FeatureCollection {
  const features: FeatureCollection["features"] = [];
  for (const { info, features: units } of layers) {
    if (info.kind !== "units" || info.stream === "tiled") continue;
    for (const unit of units) {
      if (unit?.geometry?.type !== "Point" || features.length >= MOST_CALLSIGNS) continue;
      const [lng, lat] = unit.geometry.coordinates as [number, number];
      if (lng < west || lng > east || lat < south || lat > north) continue;
      const at = placeOf({ layer: info.id, id: unit.id }) ?? [lng, lat];
      // where names would overlap, the one heard last is written
      const order = ageS(unit, nowMs);
      const name = nameOf("units", unit.id, unit.properties);
      // who drives is drawn ahead of its last report, and is in no ring
      const side = Number(unit.properties["speed_mps"]) > 0 ? null : sideOf(at, [lng, lat]);
      const properties = { name, order, ...(side ? { side } : {}) };
      features.push({ type: "Feature", geometry: { type: "Point", coordinates: at }, properties });
    }
  }
  return { type: "FeatureCollection", features };
}
