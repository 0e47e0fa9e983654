// The server's answers to planners as types, and how people read parts of them. Pure.

import { age, km2, words } from "../format.ts";

/** Cells, compacted: a coarse one stands for all finer ones in it. */
export interface Cells {
  cells: string[];
  /** At the resolution of the question. */
  cell_count: number;
}

export interface Cover {
  layer: string;
  id: string;
  name: string;
  agency: string;
  center: [lng: number, lat: number];
}

export interface Reason {
  reason: string;
  km2?: number;
  /** How many; the first of them are named. */
  features?: number;
  first?: Cover[];
  /** Of those that are of another status: which. */
  statuses?: (string | null)[];
}

export interface GapArea {
  km2: number;
  center: [lng: number, lat: number];
  /** These only of the largest ones. */
  reached_by?: number;
  why?: Reason[];
  nearest?: (Cover & { distance_m: number }) | null;
}

export interface AgencyShare {
  agency: string;
  covers_km2: number;
  only_km2: number;
}

export interface Parts {
  area_km2: number;
  covered_km2: number;
  gap_km2: number;
  overlap_km2: number;
  covered_share: number | null;
  agencies: AgencyShare[];
}

export interface Analysis extends Parts {
  run: string;
  /** `actual`, or an exercise's or a test's: then every file says so in its name. */
  status: string;
  /** RFC 3339. */
  at: string;
  resolution: number;
  /** How far the edge of what is said may be off, as cells are so large. */
  cell_error_m: number;
  at_least: number;
  gap: Cells & { area_count: number; areas: GapArea[] };
  overlap: Cells;
  depths: { depth: number; km2: number; cells: number }[];
  /** The ground by depth, all of it; the last one is of that depth and deeper. */
  depth_cells: (Cells & { depth: number })[];
  capabilities: { capability: string; covers_km2: number }[];
  /** Those first that would be missed most. */
  only: (Cover & { km2: number })[];
  inputs: { layer: string; revision: number; features: number }[];
  /** What is to be read before the answer is believed. */
  notes: string[];
}

export interface Near extends Cover {
  distance_m: number;
  reach_m: number | null;
  standing: string;
}

/** A hex of a run. */
export interface HexAnswer {
  cell: string;
  km2: number;
  depth: number;
  at_least: number;
  covered_by: Near[];
  next: Near[];
  idle_count: number;
  idle: Near[];
}

export interface VariantAnswer extends Parts {
  difference: { covered_km2: number; gap_km2: number; overlap_km2: number };
  newly_uncovered: Cells & { km2: number };
  newly_covered: Cells & { km2: number };
  changed: (Cover & { standing: string; was: string | null })[];
}

export interface WhatIf {
  run: string;
  resolution: number;
  base: Parts;
  a: VariantAnswer;
  b?: VariantAnswer;
}

export interface Step {
  at: string;
  covered_km2: number;
  gap_km2: number;
  overlap_km2: number;
  covered_share: number | null;
  covers: number;
  /** Whether anything was known then of what is asked about; if not, its gap means nothing. */
  known: boolean;
}

export interface Moment {
  at: string;
  until: string;
  covered_km2: number;
  gap_km2: number;
  covered_share: number | null;
}

export interface Timeline {
  resolution: number;
  area_km2: number;
  steps: Step[];
  worst: Moment;
  best: Moment;
  mean_covered_share: number | null;
  notes: string[];
}

export interface Placement {
  unit: string;
  demand: number;
  covered_before: number;
  covered_after: number;
  gained: Cells & { km2: number };
  proof: { bound: number; gap_to_optimal: number; ended: string; seconds: number };
  /** In the order to build them. */
  sites: {
    center: [lng: number, lat: number];
    /** The feature that it is, if it was one of a layer's. */
    site?: { id: string; name: string | null };
    units: number;
    gain: number;
    only: number;
  }[];
  notes: string[];
}

const STANDING: Record<string, string> = {
  nobody_near: "nobody within reach",
  busy: "busy",
  stale: "stale",
  out_of_service: "out of service",
  off_shift: "off shift",
  other_status: "of another status",
  excluded: "not asked for",
  removed: "removed",
};

/** Why a cover does not count, in words. */
export function standing(name: string): string {
  return STANDING[name] ?? words(name);
}

/** `busy: Engine 4, Engine 7 and 3 more, who would close 0.42 km²`. */
export function reasonInWords({ reason, km2: closes, features = 0, first = [], statuses }: Reason): string {
  if (features === 0) return standing(reason);
  const is = statuses
    ? `${standing(reason)} (${statuses.map((each) => words(each ?? "none")).join(", ")})`
    : standing(reason);
  const named = first.slice(0, 2).map(({ name }) => name);
  const more = features - named.length;
  const who = more > 0 ? `${named.join(", ")} and ${more.toLocaleString("en-US")} more` : named.join(" and ");
  return `${is}: ${who}${closes === undefined ? "" : `, who would close ${km2(closes)}`}`;
}

/** `850 m`, `2.4 km`. */
export function distance(metres: number): string {
  if (metres < 1000) return `${Math.round(metres)} m`;
  return `${(metres / 1000).toFixed(metres < 10_000 ? 1 : 0)} km`;
}

/** `93.4 %`; nearly all is not all. */
export function share(part: number | null): string {
  if (part === null) return "–";
  const percent = part * 100;
  const shown = percent > 99.9 && percent < 100 ? 99.9 : percent < 0.1 && percent > 0 ? 0.1 : percent;
  return `${shown.toFixed(shown % 1 === 0 ? 0 : 1)} %`;
}

/** A difference with its sign: `+0.42 km²`, `−1.30 km²`, `±0 km²`. */
export function signedKm2(value: number): string {
  if (Math.abs(value) < 0.005) return "±0 km²";
  return `${value > 0 ? "+" : "−"}${km2(Math.abs(value))}`;
}

/** How a hex is covered, in one line. */
export function depthInWords({ depth, at_least }: { depth: number; at_least: number }): string {
  const by = depth === 0 ? "Covered by nobody" : `Covered by ${depth.toLocaleString("en-US")}`;
  if (depth < at_least) return `${by}: a gap${at_least > 1 ? `, ${at_least} are wanted` : ""}`;
  return depth > at_least ? `${by}: overlap` : by;
}

/** How long a moment of a timeline lasts. */
export function lasting({ at, until }: Moment): string {
  return age((Date.parse(until) - Date.parse(at)) / 1000);
}

/** The name of a file of an answer to which the server gives none; that of an exercise never passes for the real thing. */
export function fileName(
  { status, at, run }: Pick<Analysis, "status" | "at" | "run">,
  ending: string,
): string {
  const mark = status === "actual" ? "" : `${status.toUpperCase()}-`;
  return `${mark}coverage-${at.replace(/\.\d+/, "").replace(/[-:]/g, "")}-${run}.${ending}`;
}
