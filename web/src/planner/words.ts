// What the picture has to choose from: which layers can cover ground, and what statuses and capabilities they know. Pure.

import { featuresOf, type State } from "../state.ts";
import type { LayerInfo } from "../wire.ts";

/** Properties that say what a feature is good for; the server reads the same. */
const CAPABILITIES = ["capability", "capabilities", "unit_type", "asset_type"];

/** A layer of layers' worth of words; beyond, a list of chips helps nobody. */
const MOST_WORDS = 40;

/** The layers that can cover ground, by name. */
export function counting(state: State): LayerInfo[] {
  return [...state.catalogue.values()]
    .filter(({ kind }) => kind === "units" || kind === "assets" || kind === "coverage")
    .sort((a, b) => a.id.localeCompare(b.id));
}

/** The statuses of the features of `layers`, in order; then null, for those that have none. */
export function statusesOf(state: State, layers: LayerInfo[]): (string | null)[] {
  const found = words(state, layers, ["status"]);
  return [...found, null];
}

export function capabilitiesOf(state: State, layers: LayerInfo[]): string[] {
  return words(state, layers, CAPABILITIES);
}

function words(state: State, layers: LayerInfo[], properties: string[]): string[] {
  const found = new Set<string>();
  for (const { id } of layers) {
    const layer = state.layers.get(id);
    for (const feature of layer ? featuresOf(layer) : []) {
      for (const property of properties) {
        for (const value of [feature.properties[property]].flat())
          if (typeof value === "string") found.add(value);
      }
    }
  }
  return [...found].sort().slice(0, MOST_WORDS);
}
