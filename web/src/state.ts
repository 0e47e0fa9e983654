// The picture as the page holds it: a fold of the server's messages, `apply(state, message) → state`. It talks to
// nobody and draws nothing; `main.tsx` feeds it, the map and the panels read it.

import { MOVE_WIDTH, type PackedFrame, type PackedLayer } from "./holding.ts";
import type {
  AgencyInfo,
  Cell,
  Geometry,
  Hello,
  LayerInfo,
  OperationInfo,
  Properties,
  Put,
  ViewerInfo,
} from "./wire.ts";

export interface Feature {
  id: string;
  geometry: Geometry | null;
  properties: Properties;
  /** Milliseconds since 1970 on the server's clock. */
  observedAt: number;
  expiresAt: number | null;
}

/** What one H3 cell of a summed layer holds. */
export interface Sum {
  count: number;
  /** The worst status among its features. */
  worst: string | null;
  /** When the oldest of them was so, ms on the server's clock. */
  oldestAt: number;
}

/** One layer as held. `features` is indexed by slot; a free slot is undefined. */
export interface LayerState {
  info: LayerInfo;
  epoch: string;
  revision: number;
  features: (Feature | undefined)[];
  slots: Map<string, number>;
  /** Sums by H3 cell, while more of the layer is in sight than was asked for; it then holds no features. */
  cells: Map<string, Sum>;
}

/** What the last message changed in one layer, so that the map need not compare. */
export interface Change {
  reset: boolean;
  put: number[];
  gone: number[];
  moved: Uint32Array;
  /** `MOVE_WIDTH` numbers for each of `moved`, so that whoever draws them need not look them up one by one. */
  moves: Float64Array;
  /** Whether the sums changed. */
  cells: boolean;
}

export interface State {
  viewer: ViewerInfo | null;
  agencies: Map<string, AgencyInfo>;
  /** Every layer the viewer may see, by name. */
  catalogue: Map<string, LayerInfo>;
  operations: OperationInfo[];
  /** The layers held. `apply` changes their maps and arrays in place: tens of thousands of features move twice a second. */
  layers: Map<string, LayerState>;
  changes: Map<string, Change>;
  /** Layers whose feed is silent, and since when, ms on the server's clock. */
  silent: Map<string, number>;
  /** Since when the server cannot read its log, so that anything may be missing here; null: it can. */
  missingSince: number | null;
}

export type Message =
  | Hello
  | PackedFrame
  | { type: "revoked"; layer: string }
  | { type: "stale"; layer: string; since: number | null }
  | { type: "missing"; since: number | null }
  /** A new connection: on it the server says again what is silent or missing. */
  | { type: "connected" }
  | { type: "forget" };

export const EMPTY: State = {
  viewer: null,
  agencies: new Map(),
  catalogue: new Map(),
  operations: [],
  layers: new Map(),
  changes: new Map(),
  silent: new Map(),
  missingSince: null,
};

/**
 * The state after `message`. The result is a new object whose `changes` tell what this message did; the layers inside
 * are the same objects, updated, so the state passed in must not be read afterwards.
 */
export function apply(state: State, message: Message): State {
  switch (message.type) {
    case "hello":
      return greet(state, message);
    case "frame":
      return advance(state, message);
    case "revoked":
      return hearAgain(forget(state, [message.layer]), message.layer);
    case "stale":
      return message.since === null
        ? hearAgain({ ...state, changes: new Map() }, message.layer)
        : {
            ...state,
            changes: new Map(),
            silent: new Map(state.silent).set(message.layer, message.since),
          };
    case "missing":
      return { ...state, changes: new Map(), missingSince: message.since };
    case "connected":
      return { ...state, changes: new Map(), silent: new Map(), missingSince: null };
    case "forget":
      return forget(state, [...state.layers.keys()]);
  }
}

/** A change that says: all of this layer is new to you, or gone. */
export const WHOLE: Change = {
  reset: true,
  put: [],
  gone: [],
  moved: new Uint32Array(0),
  moves: new Float64Array(0),
  cells: true,
};

function forget(state: State, names: string[]): State {
  const layers = new Map(state.layers);
  const changes = new Map<string, Change>();
  for (const name of names) {
    if (layers.delete(name)) changes.set(name, WHOLE);
  }
  return { ...state, layers, changes };
}

function hearAgain(state: State, layer: string): State {
  const silent = new Map(state.silent);
  silent.delete(layer);
  return { ...state, silent };
}

/** A `hello` names every layer this viewer may see: what it no longer names is dropped. */
function greet(state: State, hello: Hello): State {
  const catalogue = new Map(hello.layers.map((layer) => [layer.id, layer]));
  const next = forget(
    state,
    [...state.layers.keys()].filter((name) => !catalogue.has(name)),
  );
  for (const [name, layer] of next.layers) next.layers.set(name, { ...layer, info: catalogue.get(name)! });
  return {
    ...next,
    viewer: hello.viewer,
    agencies: new Map(hello.agencies.map((agency) => [agency.id, agency])),
    catalogue,
    operations: hello.operations,
    silent: new Map([...state.silent].filter(([name]) => catalogue.has(name))),
  };
}

function advance(state: State, frame: PackedFrame): State {
  const changes = new Map<string, Change>();
  for (const [name, packed] of Object.entries(frame.layers)) {
    const info = state.catalogue.get(name);
    // A frame of a layer that a newer hello took away was under way when that hello was sent.
    if (!info) continue;
    changes.set(name, take(state, info, packed));
  }
  return { ...state, changes };
}

function take(state: State, info: LayerInfo, packed: PackedLayer): Change {
  let layer = state.layers.get(info.id);
  if (packed.reset || !layer) {
    layer = { info, epoch: packed.epoch, revision: 0, features: [], slots: new Map(), cells: new Map() };
    state.layers.set(info.id, layer);
  }
  const gone = packed.goneSlots.filter((slot) => slot >= 0);
  packed.gone.forEach(([id], i) => {
    const slot = packed.goneSlots[i]!;
    if (slot < 0) return;
    layer.slots.delete(id);
    layer.features[slot] = undefined;
  });
  packed.put.forEach((put, i) => {
    const slot = packed.putSlots[i]!;
    layer.slots.set(put.id, slot);
    layer.features[slot] = feature(put);
  });
  move(layer, packed);
  for (const cell of packed.cells) sum(layer, cell);
  layer.epoch = packed.epoch;
  layer.revision = packed.revision;
  const { reset, putSlots, moveSlots, moves } = packed;
  const cells = reset || packed.cells.length > 0;
  return { reset, put: putSlots, gone, moved: moveSlots, moves, cells };
}

function sum(layer: LayerState, [cell, count, worst, oldestAt]: Cell): void {
  if (count === 0) layer.cells.delete(cell);
  else layer.cells.set(cell, { count, worst, oldestAt });
}

function feature(put: Put): Feature {
  return {
    id: put.id,
    geometry: put.geometry,
    properties: put.properties,
    observedAt: put.observed_at,
    expiresAt: put.expires_at,
  };
}

function move(layer: LayerState, { moveSlots, moves }: PackedLayer): void {
  for (let i = 0, at = 0; i < moveSlots.length; i++, at += MOVE_WIDTH) {
    const it = layer.features[moveSlots[i]!]!;
    // Written in place: a position never has an altitude that outlives its move, so a longer one is replaced.
    const point = it.geometry;
    if (point?.type === "Point" && point.coordinates.length === 2) {
      point.coordinates[0] = moves[at]!;
      point.coordinates[1] = moves[at + 1]!;
    } else it.geometry = { type: "Point", coordinates: [moves[at]!, moves[at + 1]!] };
    const observedAt = moves[at + 2]!;
    if (it.expiresAt !== null) it.expiresAt += observedAt - it.observedAt;
    it.observedAt = observedAt;
    const heading = moves[at + 3]!;
    const speed = moves[at + 4]!;
    const properties = it.properties as { heading_deg?: number; speed_mps?: number };
    // NaN stands for null; a name that is there is written without a look, as this runs for every move
    if (heading === heading) properties.heading_deg = heading;
    else if ("heading_deg" in properties) delete properties.heading_deg;
    if (speed === speed) properties.speed_mps = speed;
    else if ("speed_mps" in properties) delete properties.speed_mps;
  }
}

/** How many features a layer shows, one by one or summed. */
export function sizeOf(layer: LayerState): number {
  let size = layer.slots.size;
  for (const { count } of layer.cells.values()) size += count;
  return size;
}

/** The features of a layer, in no promised order. */
export function* featuresOf(layer: LayerState): Iterable<Feature> {
  for (const each of layer.features) if (each) yield each;
}

export function featureById(state: State, layer: string, id: string): Feature | undefined {
  const held = state.layers.get(layer);
  const slot = held?.slots.get(id);
  return slot === undefined ? undefined : held!.features[slot];
}

/** Seconds since a feature was so, on the server's clock (`now`, ms). Never negative: a clock ahead is not news from the future. */
export function ageS(feature: Feature, now: number): number {
  return Math.max(0, (now - feature.observedAt) / 1000);
}

export function isStale(feature: Feature, layer: LayerInfo, now: number): boolean {
  return isOld(feature.observedAt, layer, now);
}

/** Whether what was so at `observedAt` (ms) is stale by now, in that layer. */
export function isOld(observedAt: number, layer: LayerInfo, now: number): boolean {
  return goesStale(layer) && now - observedAt >= layer.stale_after_s * 1000;
}

/** Only what moves, or is happening, grows stale: a hospital that nobody reported for a day is still there. */
export function goesStale(layer: LayerInfo): boolean {
  return layer.kind === "units";
}
