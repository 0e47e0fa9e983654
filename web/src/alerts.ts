// The alerts of the picture: those that are active, and those that were cleared a short while ago. Pure.

import { nameOf } from "./format.ts";
import type { Ref } from "./map/symbol-pool.ts";
import { featuresOf, type State } from "./state.ts";
import type { BBox, Geometry, Position } from "./wire.ts";

export interface Alert {
  ref: Ref;
  title: string;
  rule: string;
  severity: string;
  agency: string;
  /** Since when it is active, or was cleared; ms on the server's clock. */
  since: number;
  isActive: boolean;
  /** What it is about; null: the whole picture, or nothing that has a place. */
  box: BBox | null;
}

/** How long a cleared alert is still shown: long enough for whoever looked away to learn that it is over. */
const CLEARED_SHOWN_MS = 600_000;

const SEVERITIES = ["extreme", "severe", "moderate", "minor"];

/** The active ones first, the most severe first of them; of layers that are not `off`. */
export function alertsOf(state: State, off: ReadonlySet<string>, now: number): Alert[] {
  const found: Alert[] = [];
  for (const { info, ...layer } of state.layers.values()) {
    if (info.kind !== "alerts" || off.has(info.id)) continue;
    const agency = state.agencies.get(info.agency)?.name ?? info.agency;
    for (const { id, properties, observedAt, geometry } of featuresOf({ info, ...layer })) {
      const isActive = properties["status"] !== "cleared";
      if (!isActive && now - observedAt > CLEARED_SHOWN_MS) continue;
      const stated = Date.parse(textOf(properties["since"]));
      found.push({
        ref: { layer: info.id, id },
        title: nameOf("alerts", id, properties),
        rule: textOf(properties["rule"]),
        severity: textOf(properties["severity"]),
        agency,
        since: isActive && Number.isFinite(stated) ? stated : observedAt,
        isActive,
        box: boxOf(geometry),
      });
    }
  }
  return found.sort(
    (a, b) => Number(b.isActive) - Number(a.isActive) || rank(a) - rank(b) || a.since - b.since,
  );
}

function rank({ severity }: Alert): number {
  const at = SEVERITIES.indexOf(severity);
  return at < 0 ? SEVERITIES.length : at;
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** The box that holds a geometry; null for none. */
export function boxOf(geometry: Geometry | null): BBox | null {
  const places = geometry ? positionsOf(geometry.coordinates) : [];
  if (places.length === 0) return null;
  const box: BBox = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [lng, lat] of places) {
    box[0] = Math.min(box[0], lng!);
    box[1] = Math.min(box[1], lat!);
    box[2] = Math.max(box[2], lng!);
    box[3] = Math.max(box[3], lat!);
  }
  return box;
}

type Nested = number[] | Nested[];

function positionsOf(nested: Nested): Position[] {
  return typeof nested[0] === "number" ? [nested as Position] : (nested as Nested[]).flatMap(positionsOf);
}
