// Numbers, times and names as people read them. Pure; every text of the panels that is not a label comes from here.

import type { Kind, Properties } from "./wire.ts";

/** `14:02:11`, in the viewer's own zone. */
export function clockTime(ms: number): string {
  return new Date(ms).toLocaleTimeString("en-GB", { hour12: false });
}

/** When something began that still goes on: `14:02`, with its day if that was not in the last 20 hours. */
export function sinceTime(ms: number, now: number): string {
  const time = new Date(ms).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" });
  if (now - ms < 20 * 3_600_000) return time;
  return `${new Date(ms).toLocaleDateString("en-GB", { day: "numeric", month: "short" })}, ${time}`;
}

/** `1,234`, and from 10,000 on `12.3k`: what fits into a hex. */
export function shortCount(count: number): string {
  if (count < 10_000) return count.toLocaleString("en-US");
  return count < 1e6 ? `${Math.floor(count / 100) / 10}k` : `${Math.floor(count / 1e5) / 10}M`;
}

/** The short name of the viewer's zone at that moment, such as `CST` or `GMT+1`. */
export function zoneName(ms: number): string {
  const parts = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts(ms);
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "";
}

/** An age as `8 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`: two units at most, seconds only while they matter. */
export function age(seconds: number): string {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 600) return s % 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s / 60} min`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return pair(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return pair(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

/** What is to be said of a picture that has mostly stopped; null while at most half of its units are stale. */
export function staleness(stale: number, units: number): string | null {
  if (stale * 2 <= units) return null;
  if (units === 1) return "the only unit is stale";
  const [some, all] = [stale, units].map((count) => count.toLocaleString("en-US"));
  return stale === units ? `all ${all} units stale` : `${some} of ${all} units stale`;
}

/** How much is stale: so many units, and of what is summed some in so many hexes. */
export function staleTotal(units: number, inHexes: number): string {
  const some =
    units === 0 ? "" : units === 1 ? "1 unit stale" : `${units.toLocaleString("en-US")} units stale`;
  if (inHexes === 0) return some || "no unit stale";
  return some ? `${some}, and some in ${hexes(inHexes)}` : `units in ${hexes(inHexes)} stale`;
}

export function hexes(count: number): string {
  return count === 1 ? "1 hex" : `${count.toLocaleString("en-US")} hexes`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small ? `${large} ${largeUnit} ${small} ${smallUnit}` : `${large} ${largeUnit}`;
}

export function speed(mps: number): string {
  return `${Math.round(mps * 3.6)} km/h (${Math.round(mps * 2.236936)} mph)`;
}

const POINTS = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"];
export function heading(deg: number): string {
  return `${Math.round(deg) % 360}° ${POINTS[Math.round(deg / 45) % 8]}`;
}

/** km² with as many digits as mean something: three significant ones, no more than two after the point. */
export function km2(value: number): string {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })} km²`;
}

export function coordinates(lng: number, lat: number): string {
  return `${lat.toFixed(5)}, ${lng.toFixed(5)}`;
}

/** `en_route` → `en route`. */
export function words(value: string): string {
  return value.replaceAll("_", " ");
}

const NAME_PROPERTY: Record<Kind, string> = {
  units: "callsign",
  incidents: "title",
  assets: "name",
  zones: "name",
  coverage: "name",
  roads: "name",
  alerts: "title",
};

/** What people call a feature; its id where it has no name. */
export function nameOf(kind: Kind, id: string, properties: Properties): string {
  const name = properties[NAME_PROPERTY[kind]];
  return typeof name === "string" && name !== "" ? name : id;
}

export function statusOf(properties: Properties): string {
  return typeof properties["status"] === "string" ? words(properties["status"]) : "";
}

/** Longitude and latitude from what someone typed: `41.88, -87.63` (latitude first, as people say it), with N/S/E/W if they like. */
export function parseCoordinates(text: string): [lng: number, lat: number] | null {
  const match =
    /^\s*([+-]?\d{1,3}(?:\.\d+)?)\s*°?\s*([NSEW])?[\s,;]+([+-]?\d{1,3}(?:\.\d+)?)\s*°?\s*([NSEW])?\s*$/i.exec(
      text,
    );
  if (!match) return null;
  const [, first, firstSide = "", second, secondSide = ""] = match;
  const signed = (value: string, side: string) => (/[SW]/i.test(side) ? -1 : 1) * Number(value);
  const a = signed(first!, firstSide);
  const b = signed(second!, secondSide);
  const lngFirst = /[EW]/i.test(firstSide) || /[NS]/i.test(secondSide);
  const [lng, lat] = lngFirst ? [a, b] : [b, a];
  return Math.abs(lat) <= 90 && Math.abs(lng) <= 180 ? [lng, lat] : null;
}
