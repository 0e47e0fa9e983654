// Which part of the picture the page asks the server for: all of it while that is reasonable, else what is in view. What
// lies around the view, so that a short pan shows no hole, is the server's to add. Pure.

import type { BBox, View } from "./wire.ts";

/**
 * Up to so many features the page holds the whole operation: counts and search then mean all of it, and panning never
 * waits. At 20,000 the first frame is about 6 MB of text, a second on a slow line.
 */
export const WHOLE_PICTURE = 20_000;

/** How much of the picture is held. */
export interface Amount {
  features: number;
  /** Whether some layer comes summed. Without a view, sums are of hexes as large as countries. */
  summed: boolean;
}

/** The view to ask for, given the one asked for now (`asked`); null: everything. */
export function interest(asked: View | null, bounds: BBox, zoom: number, held: Amount): View | null {
  // once it was too much it stays by view: what is held of a view says nothing of the whole
  if (asked === null && held.features <= WHOLE_PICTURE && !held.summed) return null;
  const view = { bbox: onEarth(bounds), zoom: Math.round(zoom * 100) / 100 };
  return asked !== null && isSame(asked, view) ? asked : view;
}

function isSame(a: View, b: View): boolean {
  return a.zoom === b.zoom && a.bbox.every((value, i) => value === b.bbox[i]);
}

/** A map that was panned around the world counts longitudes on; they come back to -180 … 180. */
function onEarth([west, south, east, north]: BBox): BBox {
  const [low, high] = [Math.max(-90, south), Math.min(90, north)];
  return east - west >= 360 ? [-180, low, 180, high] : [wrap(west), low, wrap(east), high];
}

function wrap(lng: number): number {
  const wrapped = lng >= -180 && lng <= 180 ? lng : ((((lng + 180) % 360) + 360) % 360) - 180;
  // centimetres of a view mean nothing, and a message is shorter without them
  return Math.round(wrapped * 1e6) / 1e6;
}
