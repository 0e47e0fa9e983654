// Where the picture lies, for a first look at it. Pure.

import { featuresOf, sizeOf, type State } from "../state.ts";
import type { BBox } from "../wire.ts";

/**
 * The box that holds the picture, for a first look: of the units if there are any, else of everything. The outermost
 * hundredth on each side is left out, so that one unit at 0, 0 does not show the dispatcher the Atlantic. What is summed
 * counts where `boxOf` says its hexes are.
 */
export function extent(state: State, boxOf?: (cell: string) => BBox): BBox | null {
  const lngs: number[] = [];
  const lats: number[] = [];
  const layers = [...state.layers.values()];
  const units = layers.filter((layer) => layer.info.kind === "units" && sizeOf(layer) > 0);
  for (const layer of units.length > 0 ? units : layers) {
    for (const [cell, { count }] of boxOf ? layer.cells : []) {
      const [west, south, east, north] = boxOf!(cell);
      // enough that a hex of one strayed unit falls into the hundredth
      for (let i = Math.min(count, 200); i > 0; i--) {
        lngs.push(west, east);
        lats.push(south, north);
      }
    }
    for (const { geometry } of featuresOf(layer)) {
      const at = geometry?.type === "Point" ? geometry.coordinates : null;
      if (!at) continue;
      lngs.push(at[0]!);
      lats.push(at[1]!);
    }
  }
  if (lngs.length === 0) return null;
  lngs.sort((a, b) => a - b);
  lats.sort((a, b) => a - b);
  const cut = Math.floor(lngs.length / 100);
  return [lngs[cut]!, lats[cut]!, lngs[lngs.length - 1 - cut]!, lats[lats.length - 1 - cut]!];
}
