// Every setting of the view as the fragment of the address, so that a view is a link. Pure: `page.ts` reads it once and
// writes it whenever something changes.

import type { Camera } from "./map/picture-map.ts";
import type { Ref } from "./map/symbol-pool.ts";
import type { Position } from "./wire.ts";

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
  gap: boolean;
  atLeast: number;
  resolution: number;
  /** Layers that count in the gap analysis; empty: all that can. */
  gapLayers: string[];
  /** The ring of the area that was analysed, open (the first corner is not repeated). */
  area: Position[] | null;
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
  atLeast: 1,
  resolution: 9,
  gapLayers: [],
  area: null,
};

/** How the address names features without a status. */
const NO_STATUS = "-";

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
    atLeast: whole(query.get("k"), 1, 20, DEFAULTS.atLeast),
    resolution: whole(query.get("res"), 5, 11, DEFAULTS.resolution),
    gapLayers: list(query.get("count")),
    area: readArea(query.get("area")),
  };
}

/** The fragment, without `#`, that `read` turns back into `settings`. Defaults are left out. */
export function write(settings: Settings): string {
  const parts: string[] = [];
  const add = (name: string, value: string) =>
    parts.push(
      `${name}=${encodeURIComponent(value).replace(/%2C/g, ",").replace(/%2F/g, "/").replace(/%3B/g, ";")}`,
    );
  const { camera, operation, theme, off, selected, area } = settings;
  if (camera) add("at", `${round(camera.lng, 5)},${round(camera.lat, 5)},${round(camera.zoom, 2)}`);
  if (operation !== null) add("op", operation);
  if (theme !== "auto") add("theme", theme);
  if (off.length > 0) add("off", [...off].sort().join(","));
  if (settings.statuses.length > 0) {
    add("status", settings.statuses.map((each) => each ?? NO_STATUS).join(","));
  }
  if (settings.limit !== DEFAULTS.limit) add("limit", String(settings.limit));
  if (selected) add("sel", `${selected.layer}/${selected.id}`);
  if (settings.atLeast !== DEFAULTS.atLeast) add("k", String(settings.atLeast));
  if (settings.resolution !== DEFAULTS.resolution) add("res", String(settings.resolution));
  if (settings.gapLayers.length > 0) add("count", [...settings.gapLayers].sort().join(","));
  if (area) add("area", area.map(([lng, lat]) => `${round(lng!, 5)},${round(lat!, 5)}`).join(";"));
  for (const flag of ["follow", "trail", "table", "gap"] as const) if (settings[flag]) parts.push(flag);
  return parts.join("&");
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

function numbers(text: string, count: number): number[] | null {
  const values = text.split(",").map(Number);
  return values.length === count && values.every(Number.isFinite) ? values : null;
}

function readCamera(text: string | null): Camera | null {
  const [lng, lat, zoom] = numbers(text ?? "", 3) ?? [];
  if (lng === undefined || lat === undefined || zoom === undefined) return null;
  return Math.abs(lng) <= 180 && Math.abs(lat) <= 90 && zoom >= 0 && zoom <= 22 ? { lng, lat, zoom } : null;
}

/** A layer's name holds no slash, so the first one ends it; an id may hold more. */
function readRef(text: string | null): Ref | null {
  const at = text?.indexOf("/") ?? -1;
  return text && at > 0 && at < text.length - 1 ? { layer: text.slice(0, at), id: text.slice(at + 1) } : null;
}

function readArea(text: string | null): Position[] | null {
  const ring = (text ?? "").split(";").map((corner) => numbers(corner, 2));
  const good = ring.length >= 3 && ring.length <= 500 && ring.every((each) => each !== null);
  return good ? (ring as Position[]) : null;
}

function oneOf<T extends string, D>(text: string | null, allowed: T[], otherwise: D): T | D {
  return allowed.includes(text as T) ? (text as T) : otherwise;
}

function whole(text: string | null, low: number, high: number, otherwise: number): number {
  const value = Number(text ?? NaN);
  return Number.isInteger(value) && value >= low && value <= high ? value : otherwise;
}

function list(text: string | null): string[] {
  return text ? text.split(",").filter((each) => each !== "") : [];
}
