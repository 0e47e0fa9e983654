import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Holding } from "../src/holding.ts";
import { apply, EMPTY, featureById, isStale, sizeOf, type State } from "../src/state.ts";
import { type Frame, type Move, parse, type Put } from "../src/wire.ts";
import { EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

/** What the page sees of a text: the worker's half and the page's half, as in the browser. */
function page() {
  const holding = new Holding();
  let state: State = EMPTY;
  return {
    get state() {
      return state;
    },
    greet: (...names: string[]) => (state = apply(state, hello(names.map((name) => layerInfo(name))))),
    hear(text: string): string[] {
      const { packed, lost } = holding.take(parse(text) as Frame);
      state = apply(state, packed);
      return lost;
    },
  };
}

/** A layer as a plain set, whatever its slots. */
function picture(state: State, layer: string) {
  const held = state.layers.get(layer);
  return [...(held?.slots.keys() ?? [])].sort().map((id) => featureById(state, layer, id));
}

describe("a frame that does not follow", () => {
  test.each([
    ["another revision", { epoch: EPOCH, from: 5, to: 6 }],
    ["another epoch", { epoch: "other", from: 1, to: 2 }],
    ["a move of a unit we don't have", { epoch: EPOCH, from: 1, to: 2, move: [["E9", 0, 0, 1, null, null]] }],
  ])("%s: the layer is lost, and nothing of the frame is drawn", (_, layer) => {
    const it = page();
    it.greet("a.units");
    it.hear(frame({ "a.units": { epoch: EPOCH, from: 0, to: 1, reset: true, put: [put("E1")] } }));
    expect(it.hear(frame({ "a.units": layer }))).toEqual(["a.units"]);
    expect(picture(it.state, "a.units")).toHaveLength(1);
  });

  test("changes to a layer that is on its way whole are passed over", () => {
    const it = page();
    it.greet("a.units");
    expect(it.hear(frame({ "a.units": { epoch: EPOCH, from: 3, to: 4, put: [put("E1")] } }))).toEqual([]);
    expect(it.state.layers.size).toBe(0);
  });
});

describe("leaving sight", () => {
  test("a revoked layer is dropped whole", () => {
    const it = page();
    it.greet("a.units");
    it.hear(frame({ "a.units": { epoch: EPOCH, from: 0, to: 1, reset: true, put: [put("E1")] } }));
    const after = apply(it.state, { type: "revoked", layer: "a.units" });
    expect(after.layers.size).toBe(0);
    expect(after.changes.get("a.units")?.reset).toBe(true);
  });

  test("a hello that no longer names a layer takes it away", () => {
    const it = page();
    it.greet("a.units", "b.units");
    it.hear(frame({ "b.units": { epoch: EPOCH, from: 0, to: 1, reset: true, put: [put("E1")] } }));
    it.greet("a.units");
    expect([...it.state.layers.keys()]).toEqual([]);
  });

  test("an id that left and came back may take another's slot, not its features", () => {
    const it = page();
    it.greet("a.units");
    it.hear(
      frame({ "a.units": { epoch: EPOCH, from: 0, to: 2, reset: true, put: [put("E1"), put("E2", 1)] } }),
    );
    it.hear(
      frame({ "a.units": { epoch: EPOCH, from: 2, to: 4, put: [put("E3", 3)], gone: [["E1", "view"]] } }),
    );
    expect(picture(it.state, "a.units").map((each) => each?.id)).toEqual(["E2", "E3"]);
  });
});

test("a move keeps the rest, shifts the expiry, and removes a heading that is null", () => {
  const it = page();
  it.greet("a.units");
  const unit = { ...put("E1", 0, 0, { callsign: "E1", heading_deg: 90 }), expires_at: 1_300_000 };
  it.hear(frame({ "a.units": { epoch: EPOCH, from: 0, to: 1, reset: true, put: [unit] } }));
  it.hear(frame({ "a.units": { epoch: EPOCH, from: 1, to: 2, move: [["E1", 2, 3, 1_000_500, null, 4]] } }));
  expect(featureById(it.state, "a.units", "E1")).toEqual({
    id: "E1",
    geometry: { type: "Point", coordinates: [2, 3] },
    properties: { callsign: "E1", speed_mps: 4 },
    observedAt: 1_000_500,
    expiresAt: 1_300_500,
  });
});

describe("a summed layer", () => {
  const cells = (...list: [string, number, string | null, number][]) => ({ epoch: EPOCH, from: 0, to: 0, cells: list }); // prettier-ignore
  const [A, B] = ["872664c1affffff", "872664c1effffff"] as const;
  const summedOf = (state: State) => Object.fromEntries(state.layers.get("a.units")!.cells);
  const held = { epoch: EPOCH, from: 0, to: 3, reset: true, put: [put("E1")] };

  test("holds sums instead of features, and takes only what changed of them", () => {
    const it = page();
    it.greet("a.units");
    it.hear(frame({ "a.units": held }));
    it.hear(frame({ "a.units": { ...cells([A, 7, "distress", 5], [B, 2, null, 6]), reset: true } }));
    expect(picture(it.state, "a.units")).toEqual([]);
    it.hear(frame({ "a.units": cells([A, 6, null, 9], [B, 0, null, 0]) }));
    expect(summedOf(it.state)).toEqual({ [A]: { count: 6, worst: null, oldestAt: 9 } });
    expect(it.state.changes.get("a.units")).toMatchObject({ cells: true, reset: false });
  });

  test("holds features again once they come, and no sums", () => {
    const it = page();
    it.greet("a.units");
    it.hear(frame({ "a.units": { ...cells([A, 7, null, 5]), reset: true } }));
    it.hear(frame({ "a.units": held }));
    expect(summedOf(it.state)).toEqual({});
    expect(sizeOf(it.state.layers.get("a.units")!)).toBe(1);
  });

  test("counts what it sums", () => {
    const it = page();
    it.greet("a.units");
    it.hear(frame({ "a.units": { ...cells([A, 7, null, 5], [B, 30, null, 5]), reset: true } }));
    expect(sizeOf(it.state.layers.get("a.units")!)).toBe(37);
  });
});

test("a new connection begins without what was silent or missing, and with the features", () => {
  const it = page();
  it.greet("a.units");
  it.hear(frame({ "a.units": { epoch: EPOCH, from: 0, to: 1, reset: true, put: [put("E1")] } }));
  const silent = apply(it.state, { type: "stale", layer: "a.units", since: 5 });
  const missing = apply(silent, { type: "missing", since: 6 });
  expect([...missing.silent, missing.missingSince]).toEqual([["a.units", 5], 6]);
  const again = apply(missing, { type: "connected" });
  expect([...again.silent, again.missingSince]).toEqual([null]);
  expect(picture(again, "a.units")).toHaveLength(1);
});

test("only units grow stale, and at their layer's age", () => {
  const unit = { id: "E1", geometry: null, properties: {}, observedAt: 0, expiresAt: null };
  expect(isStale(unit, layerInfo("a.units"), 59_999)).toBe(false);
  expect(isStale(unit, layerInfo("a.units"), 60_000)).toBe(true);
  expect(isStale(unit, layerInfo("a.stations", { kind: "assets" }), 1e9)).toBe(false);
});

// The law of the stream: the reset a viewer began with, and every frame since, make what a fresh reset would show. The
// oracle is the plainest server there is: a Map, whose differences are sent and whose whole is compared.

type Deed =
  | { do: "put"; id: number; lng: number; callsign: string; life: number | null }
  | { do: "move"; id: number; lng: number; lat: number; heading: number | null; speed: number | null }
  | { do: "gone"; id: number };

const id = fc.integer({ min: 0, max: 7 });
const lng = fc.integer({ min: -180, max: 180 });
const deed: fc.Arbitrary<Deed> = fc.oneof(
  fc.record({
    do: fc.constant("put" as const),
    id,
    lng,
    callsign: fc.string({ maxLength: 4 }),
    life: fc.option(fc.integer({ min: 1, max: 999 })),
  }),
  fc.record({
    do: fc.constant("move" as const),
    id,
    lng,
    lat: fc.integer({ min: -90, max: 90 }),
    heading: fc.option(fc.integer({ min: 0, max: 359 })),
    speed: fc.option(fc.integer({ min: 0, max: 50 })),
  }),
  fc.record({ do: fc.constant("gone" as const), id }),
);
const tick = fc.record({ deeds: fc.array(deed, { maxLength: 6 }), reset: fc.boolean() });

class Server {
  features = new Map<string, Put>();
  revision = 0;
  clock = 1_000_000;

  /** Does the deeds and says what one frame would: of each feature the newest state, once. */
  tick(deeds: Deed[]) {
    const from = this.revision;
    const touched = new Map<string, "put" | "move" | "gone">();
    for (const each of deeds) this.#do(each, touched);
    const ids = (how: string) => [...touched].filter(([, was]) => was === how).map(([name]) => name);
    const move = ids("move").map((name): Move => {
      const { geometry, properties, observed_at } = this.features.get(name)!;
      const [x, y] = (geometry as { type: "Point"; coordinates: number[] }).coordinates as [number, number];
      const { heading_deg = null, speed_mps = null } = properties as Record<string, number>;
      return [name, x, y, observed_at, heading_deg, speed_mps];
    });
    const gone = ids("gone").map((name) => [name, "deleted"]);
    return {
      epoch: EPOCH,
      from,
      to: this.revision,
      put: ids("put").map((name) => this.features.get(name)),
      move,
      gone,
    };
  }

  whole() {
    return { epoch: EPOCH, from: 0, to: this.revision, reset: true, put: [...this.features.values()] };
  }

  #do(each: Deed, touched: Map<string, "put" | "move" | "gone">): void {
    const name = `E${each.id}`;
    const old = this.features.get(name);
    this.clock += 10;
    if (each.do === "gone") {
      if (!old) return;
      this.features.delete(name);
      touched.set(name, "gone");
    } else if (each.do === "put") {
      const expires_at = each.life === null ? null : this.clock + each.life;
      const properties = { callsign: each.callsign };
      const made = { ...put(name, each.lng, 1, properties), observed_at: this.clock, expires_at };
      this.features.set(name, made);
      touched.set(name, "put");
    } else {
      if (!old) return;
      const { heading_deg: _h, speed_mps: _s, ...rest } = old.properties as Record<string, unknown>;
      const properties = {
        ...rest,
        ...(each.heading === null ? {} : { heading_deg: each.heading }),
        ...(each.speed === null ? {} : { speed_mps: each.speed }),
      };
      const expires_at = old.expires_at === null ? null : old.expires_at + this.clock - old.observed_at;
      const geometry = { type: "Point" as const, coordinates: [each.lng, each.lat] };
      this.features.set(name, { ...old, geometry, properties, observed_at: this.clock, expires_at });
      if (!touched.has(name)) touched.set(name, "move");
    }
    this.revision++;
  }
}

test("snapshot + frames = a fresh snapshot", () => {
  fc.assert(
    fc.property(fc.array(tick, { maxLength: 12 }), (ticks) => {
      const server = new Server();
      const viewer = page();
      viewer.greet("a.units");
      viewer.hear(frame({ "a.units": server.whole() }));
      for (const { deeds, reset } of ticks) {
        const change = server.tick(deeds);
        expect(viewer.hear(frame({ "a.units": reset ? server.whole() : change }))).toEqual([]);
        const fresh = page();
        fresh.greet("a.units");
        fresh.hear(frame({ "a.units": server.whole() }));
        expect(picture(viewer.state, "a.units")).toEqual(picture(fresh.state, "a.units"));
      }
    }),
    { numRuns: 300 },
  );
});
