// What the picture has to choose from: which layers can cover ground, what statuses and capabilities they know, and whom a
// choice of statuses leaves out. Pure.

import { words as spelled } from "../format.ts";
import { featuresOf, type State } from "../state.ts";
import type { Kind, LayerInfo, Properties } from "../wire.ts";
import { isAsked, type Plan } from "./plan.ts";

/** Properties that say what a feature is good for; the server reads the same. */
const CAPABILITIES = ["capability", "capabilities", "unit_type", "asset_type"];

const COUNTING: ReadonlySet<Kind> = new Set(["units", "assets", "coverage"]);

/** A layer of layers' worth of words; beyond, a list of chips helps nobody. */
const MOST_WORDS = 40;

/** The layers that can cover ground, by name. */
export function counting(state: State): LayerInfo[] {
  return [...state.catalogue.values()]
    .filter(({ kind }) => COUNTING.has(kind))
    .sort((a, b) => a.id.localeCompare(b.id));
}

/** The statuses of the features of `layers`, in order; then null, for those that have none. */
export function statusesOf(state: State, layers: LayerInfo[]): (string | null)[] {
  const found = words(state, layers, ["status"]);
  return [...found, null];
}

/** Whether a feature is one that the question asks for; whether it counts is for the server to say. */
export function isPart(plan: Plan, layer: LayerInfo, properties: Properties): boolean {
  if (!COUNTING.has(layer.kind) || !isAsked(plan, layer)) return false;
  const { statuses, capabilities } = plan;
  if (statuses.length > 0 && !statuses.includes(statusOf(properties))) return false;
  const has = CAPABILITIES.flatMap((property) => [properties[property]].flat());
  return capabilities.length === 0 || capabilities.some((each) => has.includes(each));
}

/** Those of a layer whose status was not chosen. */
export interface LeftOut {
  layer: string;
  /** How many, of how many. */
  count: number;
  of: number;
  /** What they are instead, the most frequent first; null: they have no status. */
  statuses: (string | null)[];
}

/**
 * Whom the choice of `statuses` leaves out without being meant to: stations and areas, whose statuses are others than those
 * of units, and layers that it leaves out whole. That a busy unit of many is left out is what was asked for.
 */
export function leftOutOf(state: State, layers: LayerInfo[], statuses: (string | null)[]): LeftOut[] {
  if (statuses.length === 0) return [];
  return layers.flatMap(({ id, kind, title }) => {
    const layer = state.layers.get(id);
    const all = Array.from(layer ? featuresOf(layer) : [], ({ properties }) => statusOf(properties));
    const out = all.filter((status) => !statuses.includes(status));
    if (out.length === 0 || (kind === "units" && out.length < all.length)) return [];
    return { layer: title || id, count: out.length, of: all.length, statuses: byFrequency(out) };
  });
}

/** `Only “available” leaves out 44 of 44 of Firehouses: open.` */
export function leftOutInWords(
  statuses: (string | null)[],
  { layer, count, of, statuses: are }: LeftOut,
): string {
  const only = statuses.map((each) => `“${statusInWords(each)}”`).join(" or ");
  const numbers = `${count.toLocaleString("en-US")} of ${of.toLocaleString("en-US")}`;
  return `Only ${only} leaves out ${numbers} of ${layer}: ${are.map(statusInWords).join(", ")}.`;
}

/** A status as people write it. */
export function statusInWords(status: string | null): string {
  return status === null ? "no status" : spelled(status);
}

function statusOf(properties: Properties): string | null {
  const status = properties["status"];
  return status === undefined || status === null ? null : String(status);
}

function byFrequency<T>(values: T[]): T[] {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort(([, a], [, b]) => b - a).map(([value]) => value);
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
