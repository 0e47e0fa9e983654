// The words of the live protocol `cop.live.v1` as types, and the check that a message has their shape.
// `live.ts` hands it each websocket message, text or bytes; whatever passes may be trusted further in.

import { RECORD_BYTES } from "./packed.ts";

/** What the page offers, the dearest to it first: with `+bin`, moves come as records of 20 bytes. */
export const PROTOCOLS = ["cop.live.v1+bin", "cop.live.v1"];

export type Status = "actual" | "exercise" | "test";
export type Kind = "units" | "assets" | "incidents" | "zones" | "coverage" | "roads" | "alerts";
export type Why = "deleted" | "expired" | "replaced" | "view" | "revoked" | "filter";

export type Position = number[];
export type Geometry =
  | { type: "Point"; coordinates: Position }
  | { type: "MultiPoint" | "LineString"; coordinates: Position[] }
  | { type: "MultiLineString" | "Polygon"; coordinates: Position[][] }
  | { type: "MultiPolygon"; coordinates: Position[][][] };

export type Properties = Record<string, unknown>;

export interface AgencyInfo {
  id: string;
  name: string;
  /** `#rrggbb`. */
  color: string;
}

export interface LayerInfo {
  /** `agency.slug`. */
  id: string;
  title: string;
  agency: string;
  kind: Kind;
  status: Status;
  stream: "live" | "tiled";
  stale_after_s: number;
  epoch: string;
}

export interface OperationInfo {
  id: string;
  title: string;
  status: Status;
  layers: string[];
}

export interface ViewerInfo {
  agency: string | null;
  name: string;
  scopes: string[];
}

export interface Hello {
  type: "hello";
  protocol: string;
  /** Milliseconds since 1970 on the server's clock. */
  server_time: number;
  tick_ms: number;
  viewer: ViewerInfo;
  agencies: AgencyInfo[];
  layers: LayerInfo[];
  operations: OperationInfo[];
}

export interface Put {
  id: string;
  geometry: Geometry | null;
  properties: Properties;
  observed_at: number;
  expires_at: number | null;
}

/** id, longitude, latitude, observed_at in ms, heading in degrees, speed in m/s. */
export type Move = [string, number, number, number, number | null, number | null];
export type Gone = [string, Why];
/** H3 cell, how many features it holds, the worst status among them, the oldest `observed_at` in ms. 0 features: it is gone. */
export type Cell = [cell: string, count: number, worst: string | null, oldest: number];

export interface LayerFrame {
  epoch: string;
  /** The revision this frame builds on, and the one it leads to. */
  from: number;
  to: number;
  /** Drop what you have of this layer: this is everything. */
  reset: boolean;
  put: Put[];
  move: Move[];
  gone: Gone[];
  /** What changed of a layer that comes summed, because more of it is in sight than was asked for (`limit`). */
  cells: Cell[];
  /** Further moves, `RECORD_BYTES` each; null: none. */
  packed: DataView | null;
}

export interface Frame {
  type: "frame";
  time: number;
  /** The number of the view that is held whole from this frame on; null in every other frame. */
  view: number | null;
  /** The number of the earlier view whose sight the server kept for `view`; null: that of `view` itself. */
  anchor: number | null;
  layers: Record<string, LayerFrame>;
}

export type ServerMessage =
  | Hello
  | Frame
  | { type: "revoked"; layer: string }
  | { type: "stale"; layer: string; since: number | null }
  | { type: "missing"; since: number | null }
  | { type: "error"; code: string; detail: string }
  | { type: "pong"; sent: number; server_time: number }
  | { type: "drain"; retry_ms: number };

export type BBox = [west: number, south: number, east: number, north: number];
export interface View {
  bbox: BBox;
  zoom: number;
}

/** Which features are wanted; absent: whatever they are. */
export interface Where {
  kind?: Kind[];
  agency?: string[];
  /** Values of the property `status`; null: features that have none. */
  status?: (string | null)[];
}

export type ClientMessage =
  | {
      type: "subscribe";
      operation?: string;
      layers?: string[];
      view: View | null;
      /** Counts the views asked for; a frame's `view` gives it back. */
      n: number;
      since: Record<string, string>;
      /** The view under which the cursors of `since` were obtained, if it was another one. */
      held?: View | null;
      where?: Where;
      /** A layer of points with more features than this in sight comes summed. */
      limit: number;
    }
  | { type: "view"; view: View | null; n: number }
  | { type: "unsubscribe" }
  | { type: "ping"; sent: number };

/** A message that is not what the protocol says: where, and what was expected there. */
export class WireError extends Error {
  constructor(
    readonly path: string,
    readonly expected: string,
  ) {
    super(`live message: expected ${expected} at ${path}`);
  }
}

type Json = Record<string, unknown>;

function fail(path: string, expected: string): never {
  throw new WireError(path, expected);
}
function object(value: unknown, path: string): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Json)
    : fail(path, "an object");
}
function array(value: unknown, path: string): unknown[] {
  return Array.isArray(value) ? value : fail(path, "an array");
}
function text(value: unknown, path: string): string {
  return typeof value === "string" ? value : fail(path, "a string");
}
function number(value: unknown, path: string): number {
  return Number.isFinite(value) ? (value as number) : fail(path, "a finite number");
}
function numberOrNull(value: unknown, path: string): number | null {
  return value === null || value === undefined ? null : number(value, path);
}
function textOrNull(value: unknown, path: string): string | null {
  return value === null ? null : text(value, path);
}
function count(value: unknown, path: string): number {
  return Number.isSafeInteger(value) && (value as number) >= 0
    ? (value as number)
    : fail(path, "a whole number");
}
function oneOf<T extends string>(value: unknown, allowed: readonly T[], path: string): T {
  return allowed.includes(value as T) ? (value as T) : fail(path, `one of ${allowed.join(", ")}`);
}
function listOf<T>(value: unknown, item: (value: unknown, path: string) => T, path: string): T[] {
  return array(value, path).map((each, i) => item(each, `${path}/${i}`));
}
function absentOr<T>(value: unknown, item: (value: unknown, path: string) => T, path: string): T[] {
  return value === undefined ? [] : listOf(value, item, path);
}

const STATUSES = ["actual", "exercise", "test"] as const;
const KINDS = ["units", "assets", "incidents", "zones", "coverage", "roads", "alerts"] as const;
const WHYS = ["deleted", "expired", "replaced", "view", "revoked", "filter"] as const;

/**
 * The message that `source` carries: JSON text, or the bytes of a frame with packed moves. Throws `WireError`, or
 * `SyntaxError` for what is not JSON; null for a type unknown to us.
 */
export function parse(source: string | ArrayBuffer): ServerMessage | null {
  return typeof source === "string" ? parseText(source) : parseBytes(source);
}

function parseText(source: string): ServerMessage | null {
  const message = object(JSON.parse(source), "");
  switch (message["type"]) {
    case "hello":
      return hello(message);
    case "frame":
      return frame(message, NO_RECORDS);
    case "revoked":
      return { type: "revoked", layer: text(message["layer"], "/layer") };
    case "stale":
      return {
        type: "stale",
        layer: text(message["layer"], "/layer"),
        since: numberOrNull(message["since"], "/since"),
      };
    case "missing":
      return { type: "missing", since: numberOrNull(message["since"], "/since") };
    case "error":
      return {
        type: "error",
        code: text(message["code"], "/code"),
        detail: text(message["detail"], "/detail"),
      };
    case "pong":
      return {
        type: "pong",
        sent: number(message["sent"], "/sent"),
        server_time: number(message["server_time"], "/server_time"),
      };
    case "drain":
      return { type: "drain", retry_ms: number(message["retry_ms"], "/retry_ms") };
    default:
      // A newer server may say more than we know; what we don't know we don't draw.
      return null;
  }
}

function hello(message: Json): Hello {
  const viewer = object(message["viewer"], "/viewer");
  return {
    type: "hello",
    protocol: text(message["protocol"], "/protocol"),
    server_time: number(message["server_time"], "/server_time"),
    tick_ms: number(message["tick_ms"], "/tick_ms"),
    viewer: {
      agency: viewer["agency"] === null ? null : text(viewer["agency"], "/viewer/agency"),
      name: text(viewer["name"], "/viewer/name"),
      scopes: listOf(viewer["scopes"], text, "/viewer/scopes"),
    },
    agencies: listOf(message["agencies"], agency, "/agencies"),
    layers: listOf(message["layers"], layer, "/layers"),
    operations: listOf(message["operations"], operation, "/operations"),
  };
}

function agency(value: unknown, path: string): AgencyInfo {
  const it = object(value, path);
  const color = text(it["color"], `${path}/color`);
  if (!/^#[0-9a-f]{6}$/i.test(color)) fail(`${path}/color`, "#rrggbb");
  return { id: text(it["id"], `${path}/id`), name: text(it["name"], `${path}/name`), color };
}

function layer(value: unknown, path: string): LayerInfo {
  const it = object(value, path);
  return {
    id: text(it["id"], `${path}/id`),
    title: text(it["title"], `${path}/title`),
    agency: text(it["agency"], `${path}/agency`),
    kind: oneOf(it["kind"], KINDS, `${path}/kind`),
    status: oneOf(it["status"], STATUSES, `${path}/status`),
    stream: oneOf(it["stream"], ["live", "tiled"] as const, `${path}/stream`),
    stale_after_s: number(it["stale_after_s"], `${path}/stale_after_s`),
    epoch: text(it["epoch"], `${path}/epoch`),
  };
}

function operation(value: unknown, path: string): OperationInfo {
  const it = object(value, path);
  return {
    id: text(it["id"], `${path}/id`),
    title: text(it["title"], `${path}/title`),
    status: oneOf(it["status"], STATUSES, `${path}/status`),
    layers: listOf(it["layers"], text, `${path}/layers`),
  };
}

/** Length of the JSON, the JSON, zeros up to a multiple of four, then the records of each layer that has some. */
function parseBytes(source: ArrayBuffer): Frame {
  const bytes = new DataView(source);
  if (bytes.byteLength < 4) fail("byte 0", "the length of the JSON");
  const end = 4 + bytes.getUint32(0, true);
  const start = Math.ceil(end / 4) * 4;
  if (start > bytes.byteLength) fail("byte 0", `a length of at most ${bytes.byteLength - 4}`);
  for (let at = end; at < start; at++) if (bytes.getUint8(at) !== 0) fail(`byte ${at}`, "a zero");
  const message = object(JSON.parse(utf8(new Uint8Array(source, 4, end - 4))), "");
  if (message["type"] !== "frame") fail("/type", "frame");
  const records = new Records(source, start);
  const read = frame(message, records);
  records.end();
  return read;
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    fail("byte 4", "UTF-8");
  }
}

/** The records behind the JSON, handed out layer by layer. */
class Records {
  constructor(
    private readonly source: ArrayBuffer,
    private at: number,
  ) {}

  take(amount: number, path: string): DataView {
    const length = amount * RECORD_BYTES;
    if (this.at + length > this.source.byteLength) fail(path, "as many records as follow the JSON");
    this.at += length;
    return new DataView(this.source, this.at - length, length);
  }

  end(): void {
    if (this.at !== this.source.byteLength) fail(`byte ${this.at}`, "the end of the message");
  }
}

const NO_RECORDS = new Records(new ArrayBuffer(0), 0);

function frame(message: Json, records: Records): Frame {
  const layers: Record<string, LayerFrame> = {};
  // in the order of the text: no name of a layer looks like a number, which an object would put first
  for (const [id, value] of Object.entries(object(message["layers"], "/layers"))) {
    layers[id] = layerFrame(value, records, `/layers/${id}`);
  }
  const view = numberOrNull(message["view"], "/view");
  const anchor = numberOrNull(message["anchor"], "/anchor");
  return { type: "frame", time: number(message["time"], "/time"), view, anchor, layers };
}

function layerFrame(value: unknown, records: Records, path: string): LayerFrame {
  const it = object(value, path);
  const packed = count(it["packed"] ?? 0, `${path}/packed`);
  return {
    epoch: text(it["epoch"], `${path}/epoch`),
    from: number(it["from"], `${path}/from`),
    to: number(it["to"], `${path}/to`),
    reset: it["reset"] === true,
    put: absentOr(it["put"], put, `${path}/put`),
    move: moves(it["move"], `${path}/move`),
    gone: absentOr(it["gone"], gone, `${path}/gone`),
    cells: absentOr(it["cells"], cell, `${path}/cells`),
    packed: packed === 0 ? null : records.take(packed, `${path}/packed`),
  };
}

function cell(value: unknown, path: string): Cell {
  const it = array(value, path);
  const id = text(it[0], `${path}/0`);
  if (!/^[0-9a-f]{15}$/.test(id)) fail(`${path}/0`, "an H3 cell");
  const features = count(it[1], `${path}/1`);
  if (features === 0) return [id, 0, null, 0];
  return [id, features, textOrNull(it[2], `${path}/2`), number(it[3], `${path}/3`)];
}

function put(value: unknown, path: string): Put {
  const it = object(value, path);
  return {
    id: text(it["id"], `${path}/id`),
    geometry: geometry(it["geometry"], `${path}/geometry`),
    properties: object(it["properties"], `${path}/properties`),
    observed_at: number(it["observed_at"], `${path}/observed_at`),
    expires_at: numberOrNull(it["expires_at"], `${path}/expires_at`),
  };
}

/** How deep the coordinates of a geometry are nested: 0 for one position. */
const DEPTH: Record<Geometry["type"], number> = {
  Point: 0,
  MultiPoint: 1,
  LineString: 1,
  MultiLineString: 2,
  Polygon: 2,
  MultiPolygon: 3,
};

function geometry(value: unknown, path: string): Geometry | null {
  if (value === null) return null;
  const it = object(value, path);
  const depth = DEPTH[it["type"] as Geometry["type"]] ?? fail(`${path}/type`, "a GeoJSON geometry type");
  coordinates(it["coordinates"], depth, `${path}/coordinates`);
  return it as unknown as Geometry;
}

function coordinates(value: unknown, depth: number, path: string): void {
  const list = array(value, path);
  if (depth > 0) for (const each of list) coordinates(each, depth - 1, path);
  else if (list.length < 2 || !list.every(Number.isFinite)) fail(path, "a position");
}

/** Moves are checked in one loop without a path each: there can be tens of thousands in a frame. */
function moves(value: unknown, path: string): Move[] {
  if (value === undefined) return [];
  const list = array(value, path) as Move[];
  for (let i = 0; i < list.length; i++) {
    const move = list[i]!;
    const good =
      Array.isArray(move) &&
      typeof move[0] === "string" &&
      Number.isFinite(move[1]) &&
      Number.isFinite(move[2]) &&
      Number.isFinite(move[3]) &&
      (move[4] === null || Number.isFinite(move[4])) &&
      (move[5] === null || Number.isFinite(move[5]));
    if (!good) fail(`${path}/${i}`, "[id, lng, lat, observed_ms, heading_deg, speed_mps]");
  }
  return list;
}

function gone(value: unknown, path: string): Gone {
  const it = array(value, path);
  return [text(it[0], `${path}/0`), oneOf(it[1], WHYS, `${path}/1`)];
}
