// Messages as the server sends them, for the tests: JSON text, parsed like any other.

import { crc32 } from "node:zlib";
import type { Geometry, Hello, LayerInfo, Move, Put } from "../src/wire.ts";

export const EPOCH = "6f0f3c0e-4a53-4a39-9d0d-0d6a6f2e1a11";

export function layerInfo(id: string, more: Partial<LayerInfo> = {}): LayerInfo {
  const agency = id.split(".")[0]!;
  const base = {
    id,
    title: id,
    agency,
    kind: "units",
    status: "actual",
    stream: "live",
    stale_after_s: 60,
  } as const;
  return { ...base, epoch: EPOCH, ...more };
}

export function hello(layers: LayerInfo[], more: Partial<Hello> = {}): Hello {
  return {
    type: "hello",
    protocol: "cop.live.v1",
    server_time: 1_000_000,
    tick_ms: 250,
    viewer: { agency: "cfd", name: "Dispatcher", scopes: ["view"] },
    agencies: [{ id: "cfd", name: "Fire", color: "#D55E00" }],
    layers,
    operations: [],
    ...more,
  };
}

export function put(id: string, lng = -87.6, lat = 41.8, properties: Put["properties"] = {}): Put {
  const geometry: Geometry = { type: "Point", coordinates: [lng, lat] };
  return { id, geometry, properties, observed_at: 1_000_000, expires_at: null };
}

type More = { view?: number; anchor?: number; time?: number };

export function frame(layers: Record<string, object>, more: More = {}): string {
  return JSON.stringify({ type: "frame", time: 1_000_000, ...more, layers });
}

/** One layer's part; of a `packed` one, the moves that go into records. */
type Part = { packed?: Move[]; [member: string]: unknown };

/** A frame as bytes. */
export function bytes(layers: Record<string, Part>, more: More = {}): ArrayBuffer {
  const counted = Object.entries(layers).map(([id, it]) => [
    id,
    it.packed ? { ...it, packed: it.packed.length } : it,
  ]);
  const json = Buffer.from(frame(Object.fromEntries(counted) as Record<string, object>, more));
  const records = Object.values(layers).flatMap(({ packed = [] }) => packed.map(record));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  const padding = Buffer.alloc((4 - (json.length % 4)) % 4);
  return Uint8Array.from(Buffer.concat([length, json, padding, ...records])).buffer;
}

function record([id, lng, lat, observedMs, heading, speed]: Move): Buffer {
  const it = Buffer.alloc(20);
  it.writeUInt32LE(crc32(id), 0);
  it.writeInt32LE(Math.round(lng * 1e7), 4);
  it.writeInt32LE(Math.round(lat * 1e7), 8);
  it.writeUInt32LE(observedMs >>> 0, 12);
  it.writeUInt16LE(heading === null ? 65_535 : Math.round(heading * 100), 16);
  it.writeUInt16LE(speed === null ? 65_535 : Math.round(speed * 100), 18);
  return it;
}
