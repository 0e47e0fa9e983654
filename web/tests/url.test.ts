import fc from "fast-check";
import { expect, test } from "vitest";
import { DEFAULTS, read, type Settings, write } from "../src/url.ts";

const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,8}\.[a-z]{1,5}$/);
const flat = (limit: number) =>
  fc.integer({ min: -limit * 1e5, max: limit * 1e5 }).map((v) => (v === 0 ? 0 : v / 1e5));
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
  atLeast: fc.integer({ min: 1, max: 20 }),
  resolution: fc.integer({ min: 5, max: 11 }),
  gapLayers: fc.uniqueArray(name, { maxLength: 3 }).map((names) => names.sort()),
  area: fc.option(fc.array(fc.tuple(flat(180), flat(90)), { minLength: 3, maxLength: 6 })),
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
  expect(read("#at=north,41,9&theme=pink&k=0&res=99&limit=0&area=1,2&sel=/x")).toEqual(DEFAULTS);
  expect(write(DEFAULTS)).toBe("");
});
