// Messages as the server sends them, for the tests: JSON text, parsed like any other.

import type { Geometry, Hello, LayerInfo, Put } from "../src/wire.ts";

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

export function frame(layers: Record<string, object>, more: { view?: number } = {}): string {
  return JSON.stringify({ type: "frame", time: 1_000_000, ...more, layers });
}
