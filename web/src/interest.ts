// Which part of the picture the page asks the server for: all of it while that is reasonable, else what is in view and
// some way around it. Pure.

import type { BBox, View } from "./wire.ts";

/**
 * Up to so many features the page holds the whole operation: counts and search then mean all of it, and panning never
 * waits. At 20,000 the first frame is about 6 MB of text, a second on a slow line.
 */
export const WHOLE_PICTURE = 20_000;

/** The view to ask for, given the one asked for now (`held`); the same object when nothing is to be asked. */
export function interest(held: View | null, bounds: BBox, zoom: number, features: number): View | null {
  if (held === null && features <= WHOLE_PICTURE) return null;
  if (held !== null && Math.abs(held.zoom - zoom) < 1.5 && contains(held.bbox, bounds)) return held;
  return { bbox: padded(bounds), zoom: Math.round(zoom * 100) / 100 };
}

function contains(outer: BBox, inner: BBox): boolean {
  if (outer[0] > outer[2] || inner[0] > inner[2]) return false;
  return outer[0] <= inner[0] && outer[1] <= inner[1] && outer[2] >= inner[2] && outer[3] >= inner[3];
}

/** Half a screen more on each side: a short pan then costs no message. Longitudes come back to -180 … 180. */
function padded([west, south, east, north]: BBox): BBox {
  const width = east - west;
  const height = north - south;
  const lats: [number, number] = [Math.max(-90, south - height / 2), Math.min(90, north + height / 2)];
  if (width * 2 >= 360) return [-180, lats[0], 180, lats[1]];
  return [wrap(west - width / 2), lats[0], wrap(east + width / 2), lats[1]];
}

function wrap(lng: number): number {
  return ((((lng + 180) % 360) + 360) % 360) - 180;
}
