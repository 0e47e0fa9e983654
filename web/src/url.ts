// Every setting of the view as the fragment of the address, so that a view is a link. Pure: `page.ts` reads it once and
// writes it whenever something changes.

import type { Camera } from "./map/picture-map.ts";
import type { Ref } from "./map/symbol-pool.ts";
import {
  flagsOf,
  list,
  NO_STATUS,
  numbers,
  readPlan,
  readRef,
  round,
  whole,
  writePlan,
} from "./planner/link.ts";
import { EMPTY_PLAN, type Plan } from "./planner/plan.ts";

export type ThemeChoice = "auto" | "light" | "dark";

export interface Settings {
  /** null: wherever the picture is. */
  camera: Camera | null;
  operation: string | null;
  theme: ThemeChoice;
  /** Names of the layers that are switched off. */
  off: string[];
  /** The only statuses that are asked for, null for features without one; empty: all. */
  statuses: (string | null)[];
  /** A layer with more features than this in sight comes summed by hexes. */
  limit: number;
  selected: Ref | null;
  follow: boolean;
  trail: boolean;
  table: boolean;
  /** Whether the planner's panel is open. */
  gap: boolean;
  plan: Plan;
}

export const DEFAULTS: Settings = {
  camera: null,
  operation: null,
  theme: "auto",
  off: [],
  statuses: [],
  // the symbols of 50,000 units are drawn with ease, but nobody tells more than these apart
  limit: 20_000,
  selected: null,
  follow: false,
  trail: false,
  table: false,
  gap: false,
  plan: EMPTY_PLAN,
};

/** The settings that `fragment` (with or without `#`) says; what it does not say, or says badly, is the default. */
export function read(fragment: string): Settings {
  const query = new URLSearchParams(fragment.replace(/^#/, ""));
  return {
    camera: readCamera(query.get("at")),
    operation: query.get("op"),
    theme: oneOf(query.get("theme"), ["light", "dark"], "auto"),
    off: list(query.get("off")),
    statuses: list(query.get("status")).map((each) => (each === NO_STATUS ? null : each)),
    limit: whole(query.get("limit"), 1, 50_000, DEFAULTS.limit),
    selected: readRef(query.get("sel")),
    follow: query.has("follow"),
    trail: query.has("trail"),
    table: query.has("table"),
    gap: query.has("gap"),
    plan: readPlan(query),
  };
}

/** The fragment, without `#`, that `read` turns back into `settings`. Defaults are left out. */
export function write(settings: Settings): string {
  const parts: string[] = [];
  const add = (name: string, value: string) =>
    parts.push(
      `${name}=${encodeURIComponent(value).replace(/%2C/g, ",").replace(/%2F/g, "/").replace(/%3B/g, ";")}`,
    );
  const { camera, operation, theme, off, selected, plan } = settings;
  if (camera) add("at", `${round(camera.lng)},${round(camera.lat)},${Number(camera.zoom.toFixed(2))}`);
  if (operation !== null) add("op", operation);
  if (theme !== "auto") add("theme", theme);
  if (off.length > 0) add("off", [...off].sort().join(","));
  if (settings.statuses.length > 0) {
    add("status", settings.statuses.map((each) => each ?? NO_STATUS).join(","));
  }
  if (settings.limit !== DEFAULTS.limit) add("limit", String(settings.limit));
  if (selected) add("sel", `${selected.layer}/${selected.id}`);
  for (const [name, value] of writePlan(plan)) if (value !== "") add(name, value);
  for (const flag of ["follow", "trail", "table", "gap"] as const) if (settings[flag]) parts.push(flag);
  parts.push(...flagsOf(plan));
  return parts.join("&");
}

function readCamera(text: string | null): Camera | null {
  const [lng, lat, zoom] = numbers(text ?? "", 3) ?? [];
  if (lng === undefined || lat === undefined || zoom === undefined) return null;
  return Math.abs(lng) <= 180 && Math.abs(lat) <= 90 && zoom >= 0 && zoom <= 22 ? { lng, lat, zoom } : null;
}

function oneOf<T extends string, D>(text: string | null, allowed: T[], otherwise: D): T | D {
  return allowed.includes(text as T) ? (text as T) : otherwise;
}
