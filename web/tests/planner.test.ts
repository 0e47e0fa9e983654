import fc from "fast-check";
import { cellToChildren, cellToParent, compactCells, gridDisk, latLngToCell } from "h3-js";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { alertsOf, boxOf } from "../src/alerts.ts";
import { Refused } from "../src/http.ts";
import { answerHexes, cellAt, changedHexes, type Colouring } from "../src/map/hexes.ts";
import {
  type Analysis,
  depthInWords,
  distance,
  fileName,
  type HexAnswer,
  reasonInWords,
  share,
  signedKm2,
  type Step,
  type VariantAnswer,
} from "../src/planner/answers.ts";
import { Asking, inWords as troubleInWords, Newest } from "../src/asking.ts";
import { CellSet } from "../src/planner/cell-set.ts";
import { chart, niceCeiling, stepAt, xOf } from "../src/planner/chart.ts";
import {
  type Change,
  MOST_CHANGES,
  newName,
  placedAt,
  told,
  withChange,
  without,
} from "../src/planner/changes.ts";
import { HexLookup } from "../src/planner/hex-lookup.ts";
import {
  EMPTY_PLAN,
  fromLocalInput,
  inWords,
  lastingOf,
  localInput,
  type Plan,
  questionOf,
  timelineOf,
  wholeOf,
  windowOf,
} from "../src/planner/plan.ts";
import {
  capabilitiesOf,
  counting,
  isPart,
  leftOutInWords,
  leftOutOf,
  statusesOf,
} from "../src/planner/words.ts";
import { Holding } from "../src/holding.ts";
import { apply, EMPTY } from "../src/state.ts";
import { type Frame, type LayerInfo, parse, type Properties, type Put } from "../src/wire.ts";
import { EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

const LOOP: [number, number] = [-87.6278, 41.882];
const NOW = 1_000_000;

function state(layers: [LayerInfo, Put[]][]) {
  const content = layers.map(([info, puts]) => [
    info.id,
    { epoch: EPOCH, from: 0, to: 9, reset: true, put: puts },
  ]);
  const text = frame(Object.fromEntries(content) as Record<string, object>);
  const greeted = apply(EMPTY, hello(layers.map(([info]) => info)));
  return apply(greeted, new Holding().take(parse(text) as Frame).packed);
}

function plan(change: Partial<Plan>): Plan {
  const ring = [LOOP, [-87.6, 41.88], [-87.6, 41.9]];
  return { ...EMPTY_PLAN, area: { ring }, ...change };
}

// The question

test("without an area nothing is asked", () => {
  expect(questionOf(EMPTY_PLAN)).toBeNull();
  expect(timelineOf(EMPTY_PLAN, NOW)).toBeNull();
});

test("a drawn area is a closed ring; what is left as it is stays out of the question", () => {
  const question = questionOf(plan({}))!;
  const { coordinates } = question["area"] as { coordinates: number[][][] };
  expect(coordinates[0]!.at(-1)).toEqual(coordinates[0]![0]);
  expect(Object.keys(question)).toEqual(["area", "at_least", "resolution"]);
});

test("an area by name, and everything that was set, stand in the question", () => {
  const question = questionOf(
    plan({
      area: { ref: { layer: "oem.zones", id: "pilsen" } },
      statuses: ["available", null],
      capabilities: ["als"],
      agencies: ["cfd"],
      stale: true,
      reach: { by: "minutes", minutes: 8, speedKmh: 40 },
      at: Date.UTC(2026, 10, 22, 14),
    }),
  );
  expect(question).toMatchObject({
    area: { layer: "oem.zones", id: "pilsen" },
    where: { status: ["available", null] },
    capabilities: ["als"],
    agencies: ["cfd"],
    count_stale: true,
    reach: { minutes: 8, speed_kmh: 40 },
    at: "2026-11-22T14:00:00.000Z",
  });
});

test("a timeline has a window instead of a moment", () => {
  const asked = timelineOf(plan({ at: NOW, stepMinutes: 5, window: { from: 0, to: 3_600_000 } }), NOW)!;
  expect(asked["at"]).toBeUndefined();
  expect(asked["window"]).toEqual({
    from: "1970-01-01T00:00:00.000Z",
    to: "1970-01-01T01:00:00.000Z",
    step_minutes: 5,
  });
  expect(windowOf(EMPTY_PLAN, 3 * 3_600_000 + 59_000)).toEqual({ from: 0, to: 3 * 3_600_000 });
});

test("questions that differ in their moment alone are told by one timeline", () => {
  expect(lastingOf(plan({ at: NOW }))).toBe(lastingOf(plan({})));
  expect(lastingOf(plan({ atLeast: 2 }))).not.toBe(lastingOf(plan({})));
});

test("a moment goes through its input and comes back to the minute; half of one is none", () => {
  const at = Date.UTC(2026, 6, 1, 12, 34);
  expect(fromLocalInput(localInput(at))).toBe(at);
  expect(fromLocalInput("2026-07-")).toBeNull();
  expect(fromLocalInput("")).toBeNull();
});

test.each(["0", "-1", "1.5", "21", "", " ", "two", "1e99"])("%j is no number of covers", (typed) => {
  expect(wholeOf(typed, 20)).toBeNull();
});

test("a whole number within its bounds is taken as typed", () => {
  expect(["1", "20", " 7 "].map((typed) => wholeOf(typed, 20))).toEqual([1, 20, 7]);
});

test("a folded question still says what is asked", () => {
  const told = inWords(
    plan({ atLeast: 2, statuses: ["on_scene", null], reach: { by: "metres", metres: 1500 } }),
  );
  expect(told).toBe("at least 2 · on scene or no status · within 1,500 m");
});

/** A picture of a busy and a free engine, and of two stations of which one is open and the other says nothing. */
function engines() {
  const units = layerInfo("cfd.units");
  const stations = layerInfo("cfd.stations", { kind: "assets", title: "Firehouses" });
  const free = put("E1", ...LOOP, { status: "available" });
  const busy = put("E2", ...LOOP, { status: "on_scene" });
  const picture = state([
    [units, [free, busy]],
    [stations, [put("s1", ...LOOP, { status: "open" }), put("s2", ...LOOP)]],
  ]);
  return { picture, layers: counting(picture) };
}

test("whoever asks for free engines alone is told which stations that leaves out, and what they are instead", () => {
  const { picture, layers } = engines();
  const [out, ...others] = leftOutOf(picture, layers, ["available"]);
  expect(others).toEqual([]);
  expect(leftOutInWords(["available"], out!)).toBe(
    "Only “available” leaves out 2 of 2 of Firehouses: open, no status.",
  );
});

test("a station that is open has a status: to ask for those without one leaves it out", () => {
  const { picture, layers } = engines();
  expect(leftOutOf(picture, layers, ["available", null])).toMatchObject([
    { count: 1, of: 2, statuses: ["open"] },
  ]);
});

test("a layer of units is told of only if all of it is left out; without a choice nobody is", () => {
  const { picture, layers } = engines();
  const units = layers.filter(({ kind }) => kind === "units");
  expect(leftOutOf(picture, units, ["available"])).toEqual([]);
  expect(leftOutOf(picture, units, ["open"])).toMatchObject([{ count: 2, of: 2 }]);
  expect(leftOutOf(picture, layers, [])).toEqual([]);
});

test.each([
  ["whatever is set", {}, "units", {}, true],
  ["no incident", {}, "incidents", {}, false],
  ["another layer", { layers: ["ems.units"] }, "units", {}, false],
  ["another agency", { agencies: ["ems"] }, "units", {}, false],
  ["another status", { statuses: ["available"] }, "units", { status: "on_scene" }, false],
  ["the status", { statuses: ["available"] }, "units", { status: "available" }, true],
  ["no status", { statuses: [null] }, "assets", {}, true],
  ["no capability", { capabilities: ["als"] }, "units", { unit_type: "engine" }, false],
  ["one of its capabilities", { capabilities: ["als"] }, "units", { capabilities: ["bls", "als"] }, true],
] as const)("of what is asked for is, with %s: %j", (_, set, kind, properties, expected) => {
  const asked = plan(set as unknown as Partial<Plan>);
  expect(isPart(asked, layerInfo("cfd.x", { kind }), properties as unknown as Properties)).toBe(expected);
});

test("what can be chosen is what the picture has, and null for those without", () => {
  const units = layerInfo("cfd.units");
  const roads = layerInfo("oem.roads", { kind: "roads" });
  const puts = [put("E1", ...LOOP, { status: "available", unit_type: "engine", capabilities: ["als", 7] })];
  const picture = state([
    [units, puts],
    [roads, [put("r", ...LOOP, { status: "closed" })]],
  ]);
  const layers = counting(picture);
  expect(layers.map(({ id }) => id)).toEqual(["cfd.units"]);
  expect(statusesOf(picture, layers)).toEqual(["available", null]);
  expect(capabilitiesOf(picture, layers)).toEqual(["als", "engine"]);
});

// Changes

const ENGINE = { layer: "cfd.units", id: "E1" };
const move = (lng: number): Change => ({ do: "move", ...ENGINE, to: [lng, 41.88] });
const remove: Change = { do: "remove", ...ENGINE };
const commit: Change = { do: "commit", ...ENGINE };

test("the last word on a feature counts: moved twice it stands at the second place", () => {
  expect(withChange([move(-87.6)], move(-87.7))).toEqual([move(-87.7)]);
  expect(withChange([remove], commit)).toEqual([commit]);
  expect(withChange([remove], move(-87.6))).toEqual([move(-87.6)]);
  expect(withChange([move(-87.6)], remove)).toEqual([remove]);
});

test("what is moved may be committed, too; other features keep their changes", () => {
  const other: Change = { do: "remove", layer: "cfd.units", id: "E2" };
  expect(withChange([other, move(-87.6)], commit)).toEqual([other, move(-87.6), commit]);
});

test("a layer that is switched off needs no other change of its own", () => {
  const off: Change = { do: "switch_off", layer: "cfd.units" };
  expect(withChange([remove, move(-87.6)], off)).toEqual([off]);
});

test("changes are never more than the address carries", () => {
  let changes: Change[] = [];
  for (let i = 0; i < MOST_CHANGES + 5; i++) {
    changes = withChange(changes, { do: "add", lng: 0, lat: 0, reach_m: 1, name: newName(changes) });
  }
  expect(changes).toHaveLength(MOST_CHANGES);
  expect(new Set(changes.map((each) => each.do === "add" && each.name)).size).toBe(MOST_CHANGES);
});

test("a handle puts one change elsewhere, and one can be taken back", () => {
  const added: Change = { do: "add", lng: 0, lat: 0, reach_m: null, name: "New 1" };
  expect(placedAt([remove, added], 1, [1, 2])).toEqual([remove, { ...added, lng: 1, lat: 2 }]);
  expect(placedAt([remove], 0, [1, 2])).toEqual([remove]);
  expect(without([remove, added], 0)).toEqual([added]);
});

test("no feature ever has two changes that contradict each other", () => {
  const kinds = fc.constantFrom<Change["do"]>("remove", "commit", "bring_back", "move");
  fc.assert(
    fc.property(fc.array(fc.tuple(kinds, fc.constantFrom("E1", "E2")), { maxLength: 12 }), (steps) => {
      const changes = steps.reduce<Change[]>(
        (all, [what, id]) => withChange(all, { do: what, layer: "l", id, to: [0, 0] } as Change),
        [],
      );
      for (const id of ["E1", "E2"]) {
        const own = changes.filter((each) => "id" in each && each.id === id).map((each) => each.do);
        expect(own.filter((each) => each === "move").length).toBeLessThan(2);
        expect(own.filter((each) => each !== "move").length).toBeLessThan(2);
        if (own.includes("remove")) expect(own).toEqual(["remove"]);
      }
    }),
  );
});

test("changes are told by the names that people use", () => {
  const names = (change: Change) =>
    told(
      change,
      ({ id }) => `Engine ${id}`,
      () => "Fire units",
    );
  expect(names(remove)).toBe("Engine E1 is removed");
  expect(names({ do: "switch_off", layer: "cfd.units" })).toBe("Fire units is switched off");
  expect(names({ do: "add", lng: 0, lat: 0, reach_m: 1500, name: "New 1" })).toBe(
    "New 1 is added, reaching 1,500 m",
  );
});

// Answers in words

test.each([
  [{ reason: "nobody_near" }, "nobody within reach"],
  [
    { reason: "busy", km2: 0.42, features: 5, first: ["E1", "E2", "E3"] },
    "busy: E1, E2 and 3 more, who would close 0.42 km²",
  ],
  [
    { reason: "off_shift", km2: 1, features: 2, first: ["E1", "E2"] },
    "off shift: E1 and E2, who would close 1.00 km²",
  ],
  [
    { reason: "other_status", features: 1, first: ["Firehouse 32"], statuses: ["open"] },
    "of another status (open): Firehouse 32",
  ],
])("why there is a gap reads %#", ({ first, ...reason }: { reason: string; first?: string[] }, text) => {
  const covers = (first ?? []).map((name) => ({ layer: "l", id: name, name, agency: "cfd", center: LOOP }));
  expect(reasonInWords({ ...reason, first: covers })).toBe(text);
});

test.each([
  [0, 1, "Covered by nobody: a gap"],
  [1, 2, "Covered by 1: a gap, 2 are wanted"],
  [1, 1, "Covered by 1"],
  [3, 1, "Covered by 3: overlap"],
])("a hex %i deep where %i are wanted reads so", (depth, at_least, text) => {
  expect(depthInWords({ depth, at_least })).toBe(text);
});

test("nearly all is not all, and nearly nothing is not nothing", () => {
  expect([1, 0.99996, 0.5, 0.00001, 0].map(share)).toEqual(["100 %", "99.9 %", "50 %", "0.1 %", "0 %"]);
  expect(share(null)).toBe("–");
});

test("differences have a sign, distances as many digits as mean something", () => {
  expect([0.42, -1.3, 0.001].map(signedKm2)).toEqual(["+0.42 km²", "−1.30 km²", "±0 km²"]);
  expect([849.6, 2449, 23_000].map(distance)).toEqual(["850 m", "2.4 km", "23 km"]);
});

// The chart

function step(gap_km2: number, i: number): Step {
  const at = new Date(i * 900_000).toISOString();
  return { at, covered_km2: 1, gap_km2, overlap_km2: 0, covered_share: 1, covers: 1, known: true };
}

test("the chart's line goes through every step, from the left edge to the right one", () => {
  const { line, area, top } = chart([0, 5, 10].map(step), 100, 50);
  expect([line, area, top]).toEqual(["M0 50L50 25L100 0", "M0 50L50 25L100 0L100 50L0 50Z", 10]);
});

test("a chart of nothing, of one step, or of no gap at all is no error", () => {
  expect(chart([], 100, 50)).toEqual({ line: "", area: "", top: 1 });
  expect(chart([step(0, 0)], 100, 50).line).toBe("M0 50");
  const unknown = { ...step(90, 0), known: false };
  expect(chart([unknown, step(0, 1), step(10, 2)], 100, 50)).toMatchObject({ line: "M50 50L100 0", top: 10 });
  expect(xOf(0, 1, 100)).toBe(0);
});

test("the top of a chart is a round number not below its highest step", () => {
  fc.assert(
    fc.property(fc.double({ min: 1e-6, max: 1e6, noNaN: true }), (value) => {
      const top = niceCeiling(value);
      expect(top).toBeGreaterThanOrEqual(value * (1 - 1e-9));
      expect(top).toBeLessThanOrEqual(value * 2.5 * (1 + 1e-9));
    }),
  );
});

test("the worst moment is marked at the nearest step", () => {
  const steps = [0, 1, 2].map(step);
  expect(stepAt(steps, 950_000)).toBe(1);
  expect(stepAt(steps, 9e9)).toBe(2);
});

// Hexes

test("a compacted set holds exactly the cells that it was made of", () => {
  const middle = latLngToCell(LOOP[1], LOOP[0], 9);
  const cells = cellToChildren(cellToParent(middle, 7), 9).concat(gridDisk(middle, 3));
  const set = new CellSet(compactCells([...new Set(cells)]));
  for (const cell of gridDisk(middle, 14)) expect(set.has(cell)).toBe(cells.includes(cell));
  expect(set.has(cellToParent(middle, 5))).toBe(false);
  expect(new CellSet([]).isEmpty).toBe(true);
});

const CELL = cellAt(...LOOP, 9);
const ONE = { cells: [CELL], cell_count: 1 };

test("an answer is drawn as gap and overlap, by depth over all of the area, or as the gap alone", () => {
  const answer = {
    resolution: 9,
    gap: ONE,
    overlap: ONE,
    depth_cells: [{ depth: 0, ...ONE }],
  } as unknown as Analysis;
  const roles = (colouring: Colouring) =>
    answerHexes(answer, colouring).features.map((each) => each.properties);
  expect(roles("parts")).toEqual([{ role: "gap" }, { role: "overlap" }]);
  expect(roles("gap")).toEqual([{ role: "gap" }]);
  expect(roles("depth")).toEqual([{ role: "depth", depth: 0 }]);
});

test("what a variant uncovers and covers is told apart", () => {
  const variant = { newly_uncovered: ONE, newly_covered: ONE } as unknown as VariantAnswer;
  expect(changedHexes(variant, 9).features.map(({ properties }) => properties?.["role"])).toEqual([
    "lost",
    "won",
  ]);
});

// Asking

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const answer = (cell: string): HexAnswer => ({
  cell,
  km2: 0.1,
  depth: 1,
  at_least: 1,
  covered_by: [],
  next: [],
  idle_count: 0,
  idle: [],
});

test("a hex that is only crossed is not asked about, one that is known not again", async () => {
  const asked: string[] = [];
  const lookup = new HexLookup((_, cell) => (asked.push(cell), Promise.resolve(answer(cell))));
  lookup.look("run", "crossed");
  lookup.look("run", "rested");
  await vi.runAllTimersAsync();
  expect(lookup.hex.value?.answer?.cell).toBe("rested");
  lookup.leave();
  lookup.look("run", "rested");
  expect(lookup.hex.value?.answer?.cell).toBe("rested");
  await vi.runAllTimersAsync();
  expect(asked).toEqual(["rested"]);
});

test("an answer that comes after the pointer has moved on is dropped, and another run knows nothing", async () => {
  const asked: string[] = [];
  const lookup = new HexLookup((run, cell, signal) => {
    asked.push(run);
    return new Promise((resolve) => setTimeout(() => resolve(answer(signal.aborted ? "late" : cell)), 500));
  });
  lookup.look("one", "a", 0);
  await vi.advanceTimersByTimeAsync(100);
  lookup.leave();
  await vi.runAllTimersAsync();
  expect(lookup.hex.value).toBeNull();
  lookup.look("one", "b", 0);
  await vi.runAllTimersAsync();
  lookup.look("two", "b", 0);
  await vi.runAllTimersAsync();
  expect(asked).toEqual(["one", "one", "two"]);
});

test("the server's own words are shown, and that it could not be reached", async () => {
  const asking = new Asking<number>();
  await asking.ask(() => Promise.reject(new Refused(422, "k is too large.")));
  expect(asking.state.value).toEqual({ phase: "failed", detail: "k is too large." });
  expect(troubleInWords(new TypeError("fetch failed"))).toContain("could not be reached");
});

test("a later question ends the one before, whichever answer comes first", async () => {
  const asking = new Asking<string>();
  const late = (told: string, ms: number) => () =>
    new Promise<string>((resolve) => setTimeout(() => resolve(told), ms));
  const first = asking.ask(late("first", 500));
  const second = asking.ask(late("second", 100));
  await vi.runAllTimersAsync();
  expect([await first, await second, asking.answer]).toEqual([null, "second", "second"]);
});

test("an answer stands until the next one comes only if it is to be kept, and never beyond a failure", async () => {
  const asking = new Asking<string>();
  const never = () => new Promise<string>(() => {});
  await asking.ask(() => Promise.resolve("now"));
  void asking.ask(never, true);
  void asking.ask(never, true);
  expect([asking.state.value.phase, asking.answer, asking.peek()]).toEqual(["working", "now", "now"]);
  void asking.ask(never);
  expect(asking.answer).toBeNull();
  await asking.ask(() => Promise.resolve("then"));
  await asking.ask(() => Promise.reject(new Refused(422, "Too early.")), true);
  expect(asking.answer).toBeNull();
});

test("while one what-if is under way only the newest waits", async () => {
  const done: number[] = [];
  const newest = new Newest();
  const work = (n: number) => () =>
    new Promise<void>((resolve) => setTimeout(() => (done.push(n), resolve()), 100));
  for (const n of [1, 2, 3, 4]) void newest.run(work(n));
  await vi.runAllTimersAsync();
  expect(done).toEqual([1, 4]);
});

// Alerts

const ALERTS = layerInfo("cfd.alerts", { kind: "alerts" });
const since = new Date(NOW - 60_000).toISOString();

test("active alerts come first, the most severe first; those long cleared are gone", () => {
  const picture = state([
    [
      ALERTS,
      [
        { ...put("done", ...LOOP, { title: "Loop", status: "cleared", since }), observed_at: NOW - 30_000 },
        { ...put("old", ...LOOP, { title: "Pier", status: "cleared" }), observed_at: NOW - 700_000 },
        put("minor", ...LOOP, { title: "West", status: "active", severity: "minor", since }),
        put("worst", ...LOOP, { title: "South", status: "active", severity: "extreme", rule: "2 ALS" }),
      ],
    ],
  ]);
  const alerts = alertsOf(picture, new Set(), NOW);
  expect(alerts.map(({ title }) => title)).toEqual(["South", "West", "Loop"]);
  expect(alerts[1]).toMatchObject({ since: NOW - 60_000, isActive: true, agency: "Fire", severity: "minor" });
  expect(alerts[2]).toMatchObject({ since: NOW - 30_000, isActive: false });
  expect(alertsOf(picture, new Set(["cfd.alerts"]), NOW)).toEqual([]);
});

test("an alert without a place has no box; one with an area has all of it", () => {
  const ring = [[0, 0], [2, 0], [2, 3], [0, 0]]; // prettier-ignore
  expect(boxOf(null)).toBeNull();
  expect(boxOf({ type: "Point", coordinates: LOOP })).toEqual([...LOOP, ...LOOP]);
  expect(boxOf({ type: "MultiPolygon", coordinates: [[ring], [[[5, -1], ...ring]]] })).toEqual([0, -1, 5, 3]);
});

test("the file of an exercise never passes for the real thing", () => {
  const told = { at: "2026-11-22T14:02:11.2Z", run: "4b5b0f0e" };
  expect(fileName({ ...told, status: "exercise" }, "geojson")).toBe(
    "EXERCISE-coverage-20261122T140211Z-4b5b0f0e.geojson",
  );
  expect(fileName({ ...told, status: "actual" }, "csv")).toBe("coverage-20261122T140211Z-4b5b0f0e.csv");
});
