// A plan as parts of the page's address, and back. Pure; `url.ts` puts them beside the settings of the map.

import type { Position } from "../wire.ts";
import { readChanges, writeChanges } from "./changes.ts";
import { type Area, EMPTY_PLAN, type Plan, type Reach, TABS } from "./plan.ts";

/** How the address names features without a status. */
export const NO_STATUS = "-";

const MOST_CORNERS = 500;

/** The plan that `query` says; what it does not say, or says badly, is the default. */
export function readPlan(query: URLSearchParams): Plan {
  const from = time(query.get("from"));
  const to = time(query.get("to"));
  return {
    area: readArea(query.get("area"), query.get("zone")),
    layers: list(query.get("count")),
    statuses: list(query.get("only")).map((each) => (each === NO_STATUS ? null : each)),
    capabilities: list(query.get("can")),
    agencies: list(query.get("of")),
    atLeast: whole(query.get("k"), 1, 20, EMPTY_PLAN.atLeast),
    stale: query.has("stale"),
    resolution: whole(query.get("res"), 5, 11, EMPTY_PLAN.resolution),
    reach: readReach(query.get("reach")),
    at: time(query.get("when")),
    tab: TABS.find((each) => each === query.get("tab")) ?? EMPTY_PLAN.tab,
    byDepth: query.has("depth"),
    a: readChanges(query.get("a")),
    b: readChanges(query.get("b")),
    variant: query.get("shown") === "b" ? "b" : "a",
    window: from !== null && to !== null && from < to ? { from, to } : null,
    stepMinutes: whole(query.get("step"), 1, 1440, EMPTY_PLAN.stepMinutes),
    sites: whole(query.get("sites"), 1, 50, EMPTY_PLAN.sites),
    siteReachM: whole(query.get("each"), 1, 100_000, EMPTY_PLAN.siteReachM),
  };
}

/** The parts of the address, by name, that `readPlan` turns back into `plan`. Defaults are left out. */
export function writePlan(plan: Plan): [name: string, value: string][] {
  const parts: [string, string][] = [];
  const add = (name: string, value: string | number | null, unless: unknown = "") => {
    if (value !== null && value !== unless) parts.push([name, String(value)]);
  };
  add("k", plan.atLeast, EMPTY_PLAN.atLeast);
  add("res", plan.resolution, EMPTY_PLAN.resolution);
  add("count", [...plan.layers].sort().join(","));
  add("only", plan.statuses.map((each) => each ?? NO_STATUS).join(","));
  add("can", plan.capabilities.join(","));
  add("of", plan.agencies.join(","));
  if (plan.reach) add("reach", writeReach(plan.reach));
  add("when", plan.at === null ? "" : isoOf(plan.at));
  if (plan.area && "ref" in plan.area) add("zone", `${plan.area.ref.layer}/${plan.area.ref.id}`);
  else if (plan.area)
    add("area", plan.area.ring.map(([lng, lat]) => `${round(lng!)},${round(lat!)}`).join(";"));
  add("tab", plan.tab, EMPTY_PLAN.tab);
  add("a", writeChanges(plan.a));
  add("b", writeChanges(plan.b));
  add("shown", plan.variant, EMPTY_PLAN.variant);
  add("from", plan.window && isoOf(plan.window.from));
  add("to", plan.window && isoOf(plan.window.to));
  add("step", plan.stepMinutes, EMPTY_PLAN.stepMinutes);
  add("sites", plan.sites, EMPTY_PLAN.sites);
  add("each", plan.siteReachM, EMPTY_PLAN.siteReachM);
  return parts;
}

/** The settings that are there or not, in the words of the address. */
export function flagsOf(plan: Plan): string[] {
  return [...(plan.stale ? ["stale"] : []), ...(plan.byDepth ? ["depth"] : [])];
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString().replace(".000Z", "Z");
}

function time(text: string | null): number | null {
  const ms = text && /^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text) ? Date.parse(text) : NaN;
  return Number.isFinite(ms) ? ms : null;
}

function readArea(ring: string | null, zone: string | null): Area | null {
  const ref = readRef(zone);
  if (ref) return { ref };
  const corners = (ring ?? "").split(";").map((corner) => numbers(corner, 2));
  const good =
    corners.length >= 3 && corners.length <= MOST_CORNERS && corners.every((each) => each !== null);
  return good ? { ring: corners as Position[] } : null;
}

/** A layer's name holds no slash, so the first one ends it; an id may hold more. */
export function readRef(text: string | null): { layer: string; id: string } | null {
  const at = text?.indexOf("/") ?? -1;
  return text && at > 0 && at < text.length - 1 ? { layer: text.slice(0, at), id: text.slice(at + 1) } : null;
}

/** `1500m`, `8min@40`, `8min@oem.roads`. */
function writeReach(reach: Reach): string {
  switch (reach.by) {
    case "metres":
      return `${reach.metres}m`;
    case "minutes":
      return `${reach.minutes}min@${reach.speedKmh}`;
    case "roads":
      return `${reach.minutes}min@${reach.roads}`;
  }
}

function readReach(text: string | null): Reach | null {
  const [, amount, unit, by] = /^(\d{1,6})(?:(m)|min@(.+))$/.exec(text ?? "") ?? [];
  if (amount === undefined) return null;
  if (unit === "m") return { by: "metres", metres: Number(amount) };
  return /^\d+$/.test(by!)
    ? { by: "minutes", minutes: Number(amount), speedKmh: Number(by) }
    : { by: "roads", minutes: Number(amount), roads: by! };
}

export function numbers(text: string, count: number): number[] | null {
  const values = text.split(",").map(Number);
  return values.length === count && values.every(Number.isFinite) ? values : null;
}

export function whole(text: string | null, low: number, high: number, otherwise: number): number {
  const value = Number(text ?? NaN);
  return Number.isInteger(value) && value >= low && value <= high ? value : otherwise;
}

export function list(text: string | null): string[] {
  return text ? text.split(",").filter((each) => each !== "") : [];
}

export function round(degrees: number): number {
  return Number(degrees.toFixed(5));
}
