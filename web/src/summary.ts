// What the panels say about the picture as a whole: counts by layer, who is stale, who is in distress, what is in view.
// Pure; asked for once a second, as ages change without any message.

import { nameOf, statusOf } from "./format.ts";
import type { Ref } from "./map/symbol-pool.ts";
import { anchor } from "./map/areas.ts";
import { typeOf } from "./map/symbols.ts";
import { ageS, featuresOf, isOld, isStale, sizeOf, type State } from "./state.ts";
import type { AgencyInfo, BBox, Kind, LayerInfo, Status } from "./wire.ts";

export interface LayerSummary {
  info: LayerInfo;
  /** Features held, one by one or summed; null for a tiled layer, of which only tiles reach the page. */
  count: number | null;
  /** Whether it comes as sums by hexes: then nobody here knows its features one by one. */
  summed: boolean;
  /** Since when its feed is silent, ms on the server's clock; null: it is heard. */
  silentSince: number | null;
  stale: number;
  /** How many of its hexes hold one that is stale; how many those are only the server knows. */
  staleHexes: number;
  /** When its newest feature was so, ms on the server's clock; null: it holds none. */
  newestAt: number | null;
}

export interface AgencySummary {
  agency: AgencyInfo;
  count: number;
  layers: LayerSummary[];
}

const KIND_ORDER: Kind[] = ["units", "incidents", "zones", "assets", "coverage", "roads", "alerts"];

/** Layers held, by agency, in the order of their names. */
export function summarize(state: State, now: number): AgencySummary[] {
  const groups = new Map<string, AgencySummary>();
  for (const layer of state.layers.values()) {
    const { info } = layer;
    const tiled = info.stream === "tiled";
    let stale = 0;
    let newestAt: number | null = null;
    for (const each of layer.features) {
      if (!each) continue;
      if (isStale(each, info, now)) stale++;
      if (newestAt === null || each.observedAt > newestAt) newestAt = each.observedAt;
    }
    const staleHexes = [...layer.cells.values()].filter(({ oldestAt }) => isOld(oldestAt, info, now)).length;
    const agency = state.agencies.get(info.agency) ?? {
      id: info.agency,
      name: info.agency,
      color: "#4d4d4d",
    };
    let group = groups.get(agency.id);
    if (!group) groups.set(agency.id, (group = { agency, count: 0, layers: [] }));
    const count = sizeOf(layer);
    group.count += count;
    group.layers.push({
      info,
      count: tiled ? null : count,
      summed: layer.cells.size > 0,
      silentSince: state.silent.get(info.id) ?? null,
      stale,
      staleHexes,
      newestAt,
    });
  }
  const sorted = [...groups.values()].sort((a, b) => a.agency.name.localeCompare(b.agency.name));
  for (const { layers } of sorted) {
    layers.sort(
      (a, b) =>
        KIND_ORDER.indexOf(a.info.kind) - KIND_ORDER.indexOf(b.info.kind) ||
        a.info.id.localeCompare(b.info.id),
    );
  }
  return sorted;
}

/** What agencies report of their units, whatever the link to the server is like. */
export interface Reports {
  units: number;
  /** How many of them are known only as sums, without their ages. */
  summed: number;
  stale: number;
  /** When the newest unit was so, ms on the server's clock; null: there is none. */
  newestAt: number | null;
}

/** The reports of the layers of units that are not `off`; null: no such layer has come. */
export function reportsOf(groups: AgencySummary[], off: ReadonlySet<string>): Reports | null {
  const layers = groups
    .flatMap((group) => group.layers)
    .filter(({ info, count }) => info.kind === "units" && count !== null && !off.has(info.id));
  if (layers.length === 0) return null;
  const times = layers.map(({ newestAt }) => newestAt).filter((at) => at !== null);
  return {
    units: layers.reduce((sum, { count }) => sum + count!, 0),
    summed: layers.reduce((sum, { count, summed }) => sum + (summed ? count! : 0), 0),
    stale: layers.reduce((sum, { stale }) => sum + stale, 0),
    newestAt: times.length > 0 ? Math.max(...times) : null,
  };
}

/** A feed that has gone silent. */
export interface Silence {
  layer: string;
  /** Its agency and title. */
  name: string;
  since: number;
}

/** The silent feeds of layers that are held and not `off`, the longest silent first. */
export function silencesOf(groups: AgencySummary[], off: ReadonlySet<string>): Silence[] {
  const found = groups.flatMap(({ agency, layers }) =>
    layers
      .filter(({ info, silentSince }) => silentSince !== null && !off.has(info.id))
      .map(({ info, silentSince }) => ({
        layer: info.id,
        name: `${agency.name}, ${info.title || info.id}`,
        since: silentSince!,
      })),
  );
  return found.sort((a, b) => a.since - b.since);
}

/** A unit in distress; of a summed layer, the hex that one is in. */
export interface Distress {
  layer: string;
  at: { ref: Ref } | { cell: string };
  name: string;
  agency: string;
  /** How old the report is; null: only the server knows. */
  ageS: number | null;
}

export function inDistress(state: State, now: number): Distress[] {
  const found: Distress[] = [];
  for (const layer of state.layers.values()) {
    const { id, kind } = layer.info;
    if (kind !== "units") continue;
    const agency = state.agencies.get(layer.info.agency)?.name ?? layer.info.agency;
    for (const unit of featuresOf(layer)) {
      if (unit.properties["status"] !== "distress") continue;
      const name = nameOf("units", unit.id, unit.properties);
      found.push({ layer: id, at: { ref: { layer: id, id: unit.id } }, name, agency, ageS: ageS(unit, now) });
    }
    for (const [cell, { count, worst }] of layer.cells) {
      if (worst !== "distress") continue;
      const name = count === 1 ? "One unit" : `Among ${count.toLocaleString("en-US")} units`;
      found.push({ layer: id, at: { cell }, name, agency, ageS: null });
    }
  }
  return found;
}

/** What tells one distress from another. */
export function keyOf({ layer, at }: Distress): string {
  return "cell" in at ? `${layer}#${at.cell}` : `${layer}/${at.ref.id}`;
}

/**
 * Those of `now` that were not `known` (by `keyOf`). Hexes of another size, because somebody zoomed, are not news: the second
 * digit of a cell is its resolution.
 */
export function newDistress(now: Distress[], known: ReadonlySet<string>): Distress[] {
  return now.filter((each) => {
    const key = keyOf(each);
    if (known.has(key)) return false;
    if (!("cell" in each.at)) return true;
    const sums = [...known].filter((other) => other.startsWith(`${each.layer}#`));
    return sums.length === 0 || sums.some((other) => other.startsWith(key.slice(0, each.layer.length + 3)));
  });
}

export interface Row {
  ref: Ref;
  name: string;
  agency: string;
  type: string;
  status: string;
  ageS: number;
  stale: boolean;
}

/** The units within `bbox`, of layers that are not `off`; the map's twin as text. */
export function unitsInView(
  state: State,
  off: ReadonlySet<string>,
  [west, south, east, north]: BBox,
  now: number,
): Row[] {
  const rows: Row[] = [];
  for (const layer of state.layers.values()) {
    if (layer.info.kind !== "units" || off.has(layer.info.id)) continue;
    const agency = state.agencies.get(layer.info.agency)?.name ?? layer.info.agency;
    for (const unit of featuresOf(layer)) {
      const at = anchor(unit.geometry);
      if (!at || at[0]! < west || at[0]! > east || at[1]! < south || at[1]! > north) continue;
      rows.push({
        ref: { layer: layer.info.id, id: unit.id },
        name: nameOf("units", unit.id, unit.properties),
        agency,
        type: typeOf("units", unit.properties),
        status: statusOf(unit.properties),
        ageS: ageS(unit, now),
        stale: isStale(unit, layer.info, now),
      });
    }
  }
  return rows;
}

/** What the table and the search cannot list: the layers of `groups` that come summed and are not `off`. */
export function summedLayers(groups: AgencySummary[], off: ReadonlySet<string>): LayerSummary[] {
  return groups.flatMap(({ layers }) => layers).filter(({ info, summed }) => summed && !off.has(info.id));
}

/**
 * What is to be written across the page: the operation's status, or else the least real status of any layer held.
 * "actual" means that all of it is.
 */
export function pageStatus(state: State, operation: string | null): Status {
  const chosen = state.operations.find((each) => each.id === operation)?.status ?? "actual";
  if (chosen !== "actual") return chosen;
  const statuses = new Set([...state.layers.values()].map((layer) => layer.info.status));
  return statuses.has("exercise") ? "exercise" : statuses.has("test") ? "test" : "actual";
}
