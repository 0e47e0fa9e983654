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
      features.push({
        type: "Feature",
        geometry: { type: "Point", coordinates: at },
        properties: { name, order },
      });
    }
  }
  return { type: "FeatureCollection", features };
}
