// What a planner has set, and the question to the server that it makes. Pure.

import type { Ref } from "../map/symbol-pool.ts";
import type { Geometry, Position } from "../wire.ts";
import type { Change } from "./changes.ts";

/** The ring of what was drawn, open (the first corner is not repeated), or a feature by name. */
export type Area = { ring: Position[] } | { ref: Ref };

/** How far everything reaches, instead of what features and their layers state. */
export type Reach =
  | { by: "metres"; metres: number }
  | { by: "minutes"; minutes: number; speedKmh: number }
  | { by: "roads"; minutes: number; roads: string };

export const TABS = ["answer", "changes", "time", "next"] as const;
export type Tab = (typeof TABS)[number];

/** The two sets of changes that are compared. */
export type VariantName = "a" | "b";

export interface Plan {
  area: Area | null;
  /** Layers that count; empty: all that can. So it is with the next three. */
  layers: string[];
  /** null: features without a status. */
  statuses: (string | null)[];
  capabilities: string[];
  agencies: string[];
  atLeast: number;
  /** Whether units count that were last heard too long ago. */
  stale: boolean;
  resolution: number;
  /** null: as features and layers state it. */
  reach: Reach | null;
  /** The moment asked about, ms since 1970; null: now. */
  at: number | null;
  tab: Tab;
  /** Hexes coloured by how many cover them, instead of by gap and overlap. */
  byDepth: boolean;
  a: Change[];
  b: Change[];
  /** The variant that is changed and drawn. */
  variant: VariantName;
  /** The window of the timeline, ms since 1970; null: the last hours. */
  window: { from: number; to: number } | null;
  stepMinutes: number;
  /** How many new sites are looked for, and how far each reaches. */
  sites: number;
  siteReachM: number;
}

export const EMPTY_PLAN: Plan = {
  area: null,
  layers: [],
  statuses: [],
  capabilities: [],
  agencies: [],
  atLeast: 1,
  stale: false,
  resolution: 9,
  reach: null,
  at: null,
  tab: "answer",
  byDepth: false,
  a: [],
  b: [],
  variant: "a",
  window: null,
  stepMinutes: 15,
  sites: 2,
  siteReachM: 1500,
};

/** Whether the features of a layer may count. */
export function isAsked({ layers, agencies }: Plan, { id, agency }: { id: string; agency: string }): boolean {
  return (layers.length === 0 || layers.includes(id)) && (agencies.length === 0 || agencies.includes(agency));
}

export type Question = Record<string, unknown>;

/** The body of `POST /coverage/analysis`; null without an area. */
export function questionOf(plan: Plan): Question | null {
  const asked = lasting(plan);
  return asked && plan.at !== null ? { ...asked, at: iso(plan.at) } : asked;
}

/** The body of `POST /coverage/timeline`, which has a window instead of a moment. */
export function timelineOf(plan: Plan, now: number): Question | null {
  const asked = lasting(plan);
  const { from, to } = windowOf(plan, now);
  return asked && { ...asked, window: { from: iso(from), to: iso(to), step_minutes: plan.stepMinutes } };
}

const HOUR_MS = 3_600_000;

/** What was chosen, or the last three hours, to the minute. */
export function windowOf(plan: Plan, now: number): { from: number; to: number } {
  if (plan.window) return plan.window;
  const to = Math.floor(now / 60_000) * 60_000;
  return { from: to - 3 * HOUR_MS, to };
}

/** Tells apart questions that differ in more than their moment. */
export function lastingOf(plan: Plan): string {
  return JSON.stringify(lasting(plan));
}

/** The question without its moment. */
function lasting(plan: Plan): Question | null {
  if (!plan.area) return null;
  return {
    area: areaOf(plan.area),
    at_least: plan.atLeast,
    resolution: plan.resolution,
    ...(plan.layers.length > 0 ? { layers: plan.layers } : {}),
    ...(plan.statuses.length > 0 ? { where: { status: plan.statuses } } : {}),
    ...(plan.capabilities.length > 0 ? { capabilities: plan.capabilities } : {}),
    ...(plan.agencies.length > 0 ? { agencies: plan.agencies } : {}),
    ...(plan.stale ? { count_stale: true } : {}),
    ...(plan.reach ? { reach: reachOf(plan.reach) } : {}),
  };
}

function areaOf(area: Area): Geometry | Ref {
  if ("ref" in area) return area.ref;
  return { type: "Polygon", coordinates: [[...area.ring, area.ring[0]!]] };
}

function reachOf(reach: Reach): object {
  switch (reach.by) {
    case "metres":
      return { metres: reach.metres };
    case "minutes":
      return { minutes: reach.minutes, speed_kmh: reach.speedKmh };
    case "roads":
      return { minutes: reach.minutes, roads: reach.roads };
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}

/** A moment as `<input type="datetime-local">` has it: in the viewer's own zone, to the minute. */
export function localInput(ms: number): string {
  return new Date(ms - new Date(ms).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** What such an input holds, as ms since 1970; null while it is not whole. */
export function fromLocalInput(text: string): number | null {
  const ms = /^\d{4,6}-\d\d-\d\dT\d\d:\d\d/.test(text) ? new Date(text).getTime() : NaN;
  return Number.isFinite(ms) ? ms : null;
}

/** What was typed, if it is a whole number from 1 to `most`; null for anything else: nothing is rounded or moved in silence. */
export function wholeOf(text: string, most: number): number | null {
  const value = text.trim() === "" ? NaN : Number(text);
  return Number.isInteger(value) && value >= 1 && value <= most ? value : null;
}

/** One line on what is asked, for when the question is folded away. */
export function inWords(plan: Plan): string {
  const parts = [`at least ${plan.atLeast}`];
  if (plan.layers.length > 0)
    parts.push(plan.layers.length === 1 ? "1 layer" : `${plan.layers.length} layers`);
  if (plan.statuses.length > 0) parts.push(plan.statuses.map((each) => each ?? "no status").join(" or "));
  if (plan.capabilities.length > 0) parts.push(plan.capabilities.join(" or "));
  if (plan.agencies.length > 0) parts.push(plan.agencies.join(", "));
  if (plan.stale) parts.push("stale counts");
  if (plan.reach) parts.push(reachInWords(plan.reach));
  if (plan.at !== null) parts.push(`on ${localInput(plan.at).replace("T", ", ")}`);
  return parts.join(" · ").replaceAll("_", " ");
}

function reachInWords(reach: Reach): string {
  switch (reach.by) {
    case "metres":
      return `within ${reach.metres.toLocaleString("en-US")} m`;
    case "minutes":
      return `within ${reach.minutes} min at ${reach.speedKmh} km/h`;
    case "roads":
      return `within ${reach.minutes} min along streets`;
  }
}
