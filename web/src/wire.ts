// The words of the live protocol `cop.live.v1` as types, and the check that a message has their shape.
// `live-worker.ts` hands it the text of each websocket message; whatever passes may be trusted further in.

export const PROTOCOL = "cop.live.v1";

export type Status = "actual" | "exercise" | "test";
export type Kind = "units" | "assets" | "incidents" | "zones" | "coverage";
export type Why = "deleted" | "expired" | "replaced" | "view" | "revoked";

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
}

export interface Frame {
  type: "frame";
  time: number;
  /** The number of the view that is held whole from this frame on; null in every other frame. */
  view: number | null;
  layers: Record<string, LayerFrame>;
}

export type ServerMessage =
  | Hello
  | Frame
  | { type: "revoked"; layer: string }
  | { type: "stale"; layer: string; since: number }
  | { type: "error"; code: string; detail: string }
  | { type: "pong"; sent: number; server_time: number }
  | { type: "drain"; retry_ms: number };

export type BBox = [west: number, south: number, east: number, north: number];
export interface View {
  bbox: BBox;
  zoom: number;
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
const KINDS = ["units", "assets", "incidents", "zones", "coverage"] as const;
const WHYS = ["deleted", "expired", "replaced", "view", "revoked"] as const;

/** The message that `source` (JSON text) carries. Throws `WireError` or `SyntaxError`; null for a type unknown to us. */
export function parse(source: string): ServerMessage | null {
  const message = object(JSON.parse(source), "");
  switch (message["type"]) {
    case "hello":
      return hello(message);
    case "frame":
      return frame(message);
    case "revoked":
      return { type: "revoked", layer: text(message["layer"], "/layer") };
    case "stale":
      return {
        type: "stale",
        layer: text(message["layer"], "/layer"),
        since: number(message["since"], "/since"),
      };
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

function frame(message: Json): Frame {
  const layers: Record<string, LayerFrame> = {};
  for (const [id, value] of Object.entries(object(message["layers"], "/layers"))) {
    layers[id] = layerFrame(value, `/layers/${id}`);
  }
  const view = numberOrNull(message["view"], "/view");
  return { type: "frame", time: number(message["time"], "/time"), view, layers };
}

function layerFrame(value: unknown, path: string): LayerFrame {
  const it = object(value, path);
  return {
    epoch: text(it["epoch"], `${path}/epoch`),
    from: number(it["from"], `${path}/from`),
    to: number(it["to"], `${path}/to`),
    reset: it["reset"] === true,
    put: absentOr(it["put"], put, `${path}/put`),
    move: moves(it["move"], `${path}/move`),
    gone: absentOr(it["gone"], gone, `${path}/gone`),
  };
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
