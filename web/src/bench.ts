// The page's benchmark: frames that move every unit, packed as the server packs them, go through the same worker-side parsing
// and holding, the same `apply` and the same symbol layer as on the page; the times are in ms, one for each update.
// `tests/bench/bench_page.py` opens it and reads `window.bench`; `?wire=text` has the frames come as JSON instead.

import { Holding, type PackedFrame } from "./holding.ts";
import { crc32, RECORD_BYTES } from "./packed.ts";
import { PictureMap } from "./map/picture-map.ts";
import { SymbolLayer } from "./map/units.ts";
import { apply, EMPTY, type State } from "./state.ts";
import { type Frame, type Hello, type Move, parse } from "./wire.ts";

const query = new URLSearchParams(location.search);
const UNITS = Number(query.get("units") ?? 50_000);
const PACKED = query.get("wire") !== "text";
const UPDATES = Number(query.get("updates") ?? 12);
const WARM_UP = 3;
const EPOCH = "00000000-0000-4000-8000-000000000000";

/** Mulberry32: small, seeded, the same everywhere. */
function random(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const next = random(1);
const round = (value: number) => Math.round(value * 1e6) / 1e6;
const units = Array.from({ length: UNITS }, (_, i) => ({
  id: `unit-${i}`,
  lng: -87.95 + next() * 0.5,
  lat: 41.65 + next() * 0.4,
  heading: Math.floor(next() * 360),
  speed: Math.round(next() * 200) / 10,
}));

function drive(at: number): Move[] {
  return units.map((unit) => {
    unit.lng = round(unit.lng + (Math.sin((unit.heading * Math.PI) / 180) * unit.speed * 0.5) / 83_000);
    unit.lat = round(unit.lat + (Math.cos((unit.heading * Math.PI) / 180) * unit.speed * 0.5) / 111_000);
    return [unit.id, unit.lng, unit.lat, at, unit.heading, unit.speed];
  });
}

function frame(revision: number, content: object): string {
  const layers = { "bench.units": { epoch: EPOCH, from: revision - UNITS, to: revision, ...content } };
  return JSON.stringify({ type: "frame", time: Date.now(), layers });
}

/** A frame of packed moves, as the server writes it. */
function packed(revision: number, moves: Move[]): ArrayBuffer {
  const json = new TextEncoder().encode(frame(revision, { packed: moves.length }));
  const start = Math.ceil((4 + json.length) / 4) * 4;
  const bytes = new DataView(new ArrayBuffer(start + moves.length * RECORD_BYTES));
  bytes.setUint32(0, json.length, true);
  new Uint8Array(bytes.buffer).set(json, 4);
  moves.forEach(([id, lng, lat, observed, heading, speed], i) => {
    const at = start + i * RECORD_BYTES;
    bytes.setUint32(at, crc32(id), true);
    bytes.setInt32(at + 4, Math.round(lng * 1e7), true);
    bytes.setInt32(at + 8, Math.round(lat * 1e7), true);
    bytes.setUint32(at + 12, observed >>> 0, true);
    bytes.setUint16(at + 16, Math.round(heading! * 100), true);
    bytes.setUint16(at + 18, Math.round(speed! * 100), true);
  });
  return bytes.buffer;
}

const hello: Hello = {
  type: "hello",
  protocol: "cop.live.v1",
  server_time: Date.now(),
  tick_ms: 500,
  viewer: { agency: null, name: "bench", scopes: [] },
  agencies: [{ id: "bench", name: "Bench", color: "#0072B2" }],
  layers: [
    {
      id: "bench.units",
      title: "Units",
      agency: "bench",
      kind: "units",
      status: "test",
      stream: "live",
      stale_after_s: 300,
      epoch: EPOCH,
    },
  ],
  operations: [],
};

async function run(): Promise<object> {
  const map = new PictureMap(
    document.getElementById("map")!,
    "dark",
    { lng: -87.7, lat: 41.85, zoom: 9.3 },
    () => Date.now(),
    { onPick: () => {}, onHover: () => {}, onCamera: () => {}, onError: console.error },
  );
  await map.ready;
  const holding = new Holding();
  const off: number[] = [];
  const on: number[] = [];
  let state: State = EMPTY;

  // Sending the symbols to the graphics card and drawing them is part of the price of an update.
  let painting = 0;
  const paintSymbols = SymbolLayer.prototype.render;
  SymbolLayer.prototype.render = function (...input) {
    const started = performance.now();
    paintSymbols.apply(this, input);
    painting += performance.now() - started;
  };

  const receive = (message: string | ArrayBuffer): { packed: PackedFrame; ms: number } => {
    const started = performance.now();
    const { packed } = holding.take(parse(message) as Frame);
    return { packed, ms: performance.now() - started };
  };
  const take = (packed: PackedFrame): number => {
    const started = performance.now();
    state = apply(state, packed);
    map.draw(state);
    return performance.now() - started;
  };

  state = apply(state, hello);
  map.draw(state);
  const properties = { callsign: "U", unit_type: "engine", status: "en_route", heading_deg: 0, speed_mps: 0 };
  const put = units.map(({ id, lng, lat }) => ({
    id,
    geometry: { type: "Point", coordinates: [lng, lat] },
    properties,
    observed_at: Date.now(),
    expires_at: null,
  }));
  const first = receive(frame(UNITS, { reset: true, put }));
  const firstMs = take(first.packed);

  for (let i = 0; i < UPDATES + WARM_UP; i++) {
    const moves = drive(Date.now());
    const revision = (i + 2) * UNITS;
    const { packed: update, ms } = receive(
      PACKED ? packed(revision, moves) : frame(revision, { move: moves }),
    );
    await new Promise((resolve) => setTimeout(resolve, 0));
    painting = 0;
    const taken = take(update);
    await new Promise((resolve) => map.map.once("render", resolve));
    if (i < WARM_UP) continue;
    off.push(ms);
    on.push(taken + painting);
  }
  return { worker_ms: off, page_ms: on, first_ms: firstMs };
}

(window as unknown as { bench: Promise<object> }).bench = run();
