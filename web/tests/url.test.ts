import fc from "fast-check";
import { expect, test } from "vitest";
import type { Change } from "../src/planner/changes.ts";
import { type Plan, type Reach, TABS } from "../src/planner/plan.ts";
import { DEFAULTS, read, type Settings, write } from "../src/url.ts";

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}\.[a-z]{1,5}$/);
const flat = (limit: number) =>
  fc.integer({ min: -limit * 1e5, max: limit * 1e5 }).map((v) => (v === 0 ? 0 : v / 1e5));
const id = fc.string({ minLength: 1, maxLength: 12, unit: "grapheme" });
const feature = { layer: name, id };
const place = fc.tuple(flat(180), flat(90));
const minute = fc.integer({ min: 28_000_000, max: 31_000_000 }).map((minutes) => minutes * 60_000);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ do: fc.constantFrom("remove", "commit", "bring_back"), ...feature }),
  fc.record({ do: fc.constant("move" as const), ...feature, to: place }),
  fc.record({ do: fc.constant("switch_off" as const), layer: name }),
  fc.record({
    do: fc.constant("add" as const),
    lng: flat(180),
    lat: flat(90),
    reach_m: fc.option(fc.integer({ min: 0, max: 100_000 })),
    name: id,
  }),
);
const minutes = fc.integer({ min: 1, max: 600 });
const reach: fc.Arbitrary<Reach> = fc.oneof(
  fc.record({ by: fc.constant("metres" as const), metres: fc.integer({ min: 1, max: 100_000 }) }),
  fc.record({ by: fc.constant("minutes" as const), minutes, speedKmh: fc.integer({ min: 1, max: 300 }) }),
  fc.record({ by: fc.constant("roads" as const), minutes, roads: name }),
);
const plan: fc.Arbitrary<Plan> = fc.record({
  area: fc.option(
    fc.oneof(
      fc.record({ ring: fc.array(place, { minLength: 3, maxLength: 6 }) }),
      fc.record({ ref: fc.record(feature) }),
    ),
  ),
  layers: fc.uniqueArray(name, { maxLength: 3 }).map((names) => names.sort()),
  statuses: fc.uniqueArray(fc.constantFrom("available", "on_scene", null), { maxLength: 3 }),
  capabilities: fc.uniqueArray(fc.constantFrom("als", "engine", "ladder"), { maxLength: 3 }),
  agencies: fc.uniqueArray(fc.constantFrom("cfd", "ems"), { maxLength: 2 }),
  atLeast: fc.integer({ min: 1, max: 20 }),
  stale: fc.boolean(),
  resolution: fc.integer({ min: 5, max: 11 }),
  reach: fc.option(reach),
  at: fc.option(minute),
  tab: fc.constantFrom(...TABS),
  byDepth: fc.boolean(),
  a: fc.array(change, { maxLength: 4 }),
  b: fc.array(change, { maxLength: 4 }),
  variant: fc.constantFrom("a", "b"),
  window: fc.option(minute.map((from) => ({ from, to: from + 3_600_000 }))),
  stepMinutes: fc.integer({ min: 1, max: 1440 }),
  sites: fc.integer({ min: 1, max: 50 }),
  siteReachM: fc.integer({ min: 1, max: 100_000 }),
});
const settings: fc.Arbitrary<Settings> = fc.record({
  camera: fc.option(
    fc.record({ lng: flat(180), lat: flat(90), zoom: fc.integer({ min: 0, max: 2200 }).map((z) => z / 100) }),
  ),
  operation: fc.option(fc.stringMatching(/^[a-z0-9-]{1,12}$/)),
  theme: fc.constantFrom("auto", "light", "dark"),
  off: fc.uniqueArray(name, { maxLength: 3 }).map((names) => names.sort()),
  statuses: fc.uniqueArray(fc.constantFrom("distress", "en_route", "open", null), { maxLength: 4 }),
  limit: fc.integer({ min: 1, max: 50_000 }),
  selected: fc.option(
    fc.record({ layer: name, id: fc.string({ minLength: 1, maxLength: 12, unit: "grapheme" }) }),
  ),
  follow: fc.boolean(),
  trail: fc.boolean(),
  table: fc.boolean(),
  gap: fc.boolean(),
  plan,
});

test("every view is a link: what is written is read back", () => {
  fc.assert(
    fc.property(settings, (it) => {
      expect(read(`#${write(it)}`)).toEqual(it);
    }),
  );
});

test("an address that says nothing, or nonsense, is the default view", () => {
  expect(read("")).toEqual(DEFAULTS);
  expect(
    read(
      "#at=north,41,9&theme=pink&k=0&res=99&limit=0&area=1,2&sel=/x&a=q~x~y;m~l~i~x~91;n~1~1~-4~x&reach=8&when=today&tab=no&from=2026-01-01T00:00:00Z",
    ),
  ).toEqual(DEFAULTS);
  expect(write(DEFAULTS)).toBe("");
});
