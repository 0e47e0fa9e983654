import { expect, test } from "vitest";
import {
  age,
  coordinates,
  heading,
  km2,
  nameOf,
  parseCoordinates,
  shortCount,
  sinceTime,
  speed,
  staleness,
  staleTotal,
} from "../src/format.ts";
import { interest, WHOLE_PICTURE } from "../src/interest.ts";
import { anchor } from "../src/map/areas.ts";
import { search } from "../src/search.ts";
import { apply, EMPTY } from "../src/state.ts";
import {
  type Distress,
  inDistress,
  keyOf,
  newDistress,
  pageStatus,
  reportsOf,
  silencesOf,
  summarize,
  summedLayers,
  unitsInView,
} from "../src/summary.ts";
import { Holding } from "../src/holding.ts";
import { type Cell, type Frame, type Hello, type LayerInfo, parse, type Put } from "../src/wire.ts";
import { EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

function state(layers: [LayerInfo, Put[]][], more: Partial<Hello> = {}) {
  const greeted = apply(EMPTY, hello(layers.map(([info]) => info), more)); // prettier-ignore
  const content = layers.map(([info, puts]) => [
    info.id,
    { epoch: EPOCH, from: 0, to: 9, reset: true, put: puts },
  ]);
  const text = frame(Object.fromEntries(content) as Record<string, object>);
  return apply(greeted, new Holding().take(parse(text) as Frame).packed);
}
const NOW = 1_000_000;

/** `state` after layers came summed. */
function summed(before: ReturnType<typeof state>, cells: Record<string, Cell[]>) {
  const parts = Object.entries(cells).map(([name, list]) => [name, { epoch: EPOCH, from: 0, to: 0, reset: true, cells: list }]); // prettier-ignore
  const text = frame(Object.fromEntries(parts) as Record<string, object>);
  return apply(before, new Holding().take(parse(text) as Frame).packed);
}
const [WEST, EAST, FINER] = ["872664c1affffff", "872664c1effffff", "882664c1a1fffff"] as const;

test.each([
  [0, "0 s"],
  [59.9, "59 s"],
  [200, "3 min 20 s"],
  [3599, "59 min"],
  [7500, "2 h 5 min"],
  [273_600, "3 d 4 h"],
])("an age of %d s reads %s", (seconds, text) => expect(age(seconds)).toBe(text));

test("speed is given in both units, heading with its compass point, areas with digits that mean something", () => {
  expect(speed(10)).toBe("36 km/h (22 mph)");
  expect(heading(359.6)).toBe("0° N");
  expect([0.123, 12.34, 1234.5].map(km2)).toEqual(["0.12 km²", "12.3 km²", "1,235 km²"]);
});

test.each([
  ["41.88, -87.63", [-87.63, 41.88]],
  ["41.88N 87.63W", [-87.63, 41.88]],
  ["87.63 W, 41.88 N", [-87.63, 41.88]],
  ["95, 10", null],
  ["E42", null],
])("%s is typed", (text, place) => expect(parseCoordinates(text)).toEqual(place));

test("a name that is missing is the id", () => {
  expect(nameOf("units", "u-1", { callsign: "" })).toBe("u-1");
  expect(coordinates(-87.63, 41.88)).toBe("41.88000, -87.63000");
});

test("a search finds callsigns whatever the dash and case, exact ones first", () => {
  const units = ["E-421", "E-42", "M42", "TE42"].map((name, i) => put(`u${i}`, 0, 0, { callsign: name }));
  const hits = search(state([[layerInfo("cfd.units"), units]]), "e42");
  expect(hits.map((hit) => hit.kind === "feature" && hit.name)).toEqual(["E-42", "E-421", "TE42"]);
});

function found(typed: string, ...callsigns: string[]): string[] {
  const units = callsigns.map((callsign, i) => put(`u-${i}`, 0, 0, { callsign }));
  return search(state([[layerInfo("cfd.units"), units]]), typed).map((hit) => (hit.kind === "feature" ? hit.name : "")); // prettier-ignore
}

test.each([
  ["E4", "Ambulance 4"],
  ["b4", "AMB-4"],
  ["ce 4", "Ambulance 4"],
  ["e4", "Engine 14"],
  ["ec4", "Engine 4"],
  ["#", "Engine 4"],
])("%s does not find %s", (typed, callsign) => expect(found(typed, callsign)).toEqual([]));

test("a search lists exact, beginning, word, initials and number, then within a word", () => {
  const callsigns = ["TE4", "Engine 41", "Engine 4", "Old E4", "E42", "Ambulance 4", "E-4"];
  expect(found("E4", ...callsigns)).toEqual(["E-4", "E42", "Old E4", "Engine 4", "Engine 41", "TE4"]);
});

test("initials of several words find, wherever in the name they begin", () => {
  expect(found("bc2", "Battalion Chief 2", "North Battalion Chief 2", "Boat 2")).toEqual([
    "Battalion Chief 2",
    "North Battalion Chief 2",
  ]);
});

test("equal hits come in natural order, whatever order they are held in", () => {
  expect(found("eng", "Engine 10", "Engine 9", "engine 1")).toEqual(["engine 1", "Engine 9", "Engine 10"]);
});

test("an exact id is as good as an exact callsign", () => {
  const units = [put("x", 0, 0, { callsign: "E42" }), put("e4", 0, 0, { callsign: "Zulu" })];
  const hits = search(state([[layerInfo("cfd.units"), units]]), "E4");
  expect(hits.map((hit) => hit.kind === "feature" && hit.name)).toEqual(["Zulu", "E42"]);
});

const E42 = {
  layer: "cfd.units",
  id: "u42",
  name: "E42",
  status: "en_route",
  type: "engine",
  at: [-87.6, 41.9],
};

test("what the server knows is found among what is held, with where it is", () => {
  const held = state([[layerInfo("cfd.units"), [put("u1", 0, 0, { callsign: "E421" })]]]);
  const [first, second, ...more] = search(held, "e42", [E42]);
  expect(first).toMatchObject({ name: "E42", detail: "Fire · en route", at: [-87.6, 41.9] });
  expect(first).toMatchObject({ properties: { unit_type: "engine", status: "en_route" } });
  expect(second).toMatchObject({ name: "E421", at: null });
  expect(more).toEqual([]);
});

test.each([
  ["is held", state([[layerInfo("cfd.units"), [put("u42", 0, 0, { callsign: "E42" })]]]), 1],
  ["is of a layer that has left", EMPTY, 0],
  ["is no hit by this rule", state([[layerInfo("cfd.units"), []]]), 0],
])("what the server knows is not listed again if it %s", (why, held, count) => {
  const known = why.startsWith("is no hit") ? { ...E42, id: "x", name: "Medic 4 of 2" } : E42;
  expect(search(held, "e42", [known])).toHaveLength(count);
});

test("a search for a place that looks like coordinates goes there", () => {
  expect(search(EMPTY, "41.88 -87.63")).toEqual([{ kind: "place", lng: -87.63, lat: 41.88 }]);
});

test("counts and stale counts are by layer and agency; a tiled layer has none", () => {
  const old = { ...put("E2"), observed_at: NOW - 61_000 };
  const it = state([
    [layerInfo("cfd.units"), [put("E1"), old]],
    [layerInfo("cfd.hydrants", { kind: "assets", stream: "tiled" }), []],
  ]);
  const [fire] = summarize(it, NOW);
  expect(fire).toMatchObject({ agency: { name: "Fire" }, count: 2 });
  expect(fire!.layers.map(({ count, stale }) => [count, stale])).toEqual([
    [2, 1],
    [null, 0],
  ]);
});

test("a hex whose oldest unit is stale counts as such, so that nothing summed passes for fresh", () => {
  const it = state([[layerInfo("cfd.units"), []]]);
  it.layers.get("cfd.units")!.cells = new Map([
    ["a", { count: 9, worst: null, oldestAt: NOW - 61_000 }],
    ["b", { count: 9, worst: null, oldestAt: NOW - 59_000 }],
  ]);
  expect(summarize(it, NOW)[0]!.layers).toMatchObject([{ stale: 0, staleHexes: 1 }]);
});

test.each([
  [0, 0, "no unit stale"],
  [1, 0, "1 unit stale"],
  [84, 0, "84 units stale"],
  [0, 1, "units in 1 hex stale"],
  [84, 3, "84 units stale, and some in 3 hexes"],
])("%i stale units, and some in %i hexes: %s", (units, inHexes, said) => {
  expect(staleTotal(units, inHexes)).toBe(said);
});

test("the newest report is the newest unit's of the layers that are on; what else is held does not report", () => {
  const at = (id: string, observed_at: number) => ({ ...put(id), observed_at });
  const it = state([
    [layerInfo("cfd.units"), [at("E1", NOW - 61_000), at("E2", NOW - 4000)]],
    [layerInfo("cpd.units"), [at("P1", NOW - 90_000)]],
    [layerInfo("cpd.boats"), [at("B1", NOW)]],
    [layerInfo("cpd.stations", { kind: "assets" }), [at("S1", NOW)]],
  ]);
  const groups = summarize(it, NOW);
  expect(reportsOf(groups, new Set(["cpd.boats"]))).toEqual({
    units: 3,
    summed: 0,
    stale: 2,
    newestAt: NOW - 4000,
  });
  expect(reportsOf(groups, new Set(["cfd.units", "cpd.units", "cpd.boats"]))).toBeNull();
});

test("a layer of units that holds none has no newest report", () => {
  const groups = summarize(state([[layerInfo("cfd.units"), []]]), NOW);
  expect(reportsOf(groups, new Set())).toEqual({ units: 0, summed: 0, stale: 0, newestAt: null });
});

test.each([
  [0, 0, null],
  [2005, 4010, null],
  [2006, 4010, "2,006 of 4,010 units stale"],
  [4010, 4010, "all 4,010 units stale"],
  [1, 1, "the only unit is stale"],
])("%d stale of %d: %s", (stale, units, text) => expect(staleness(stale, units)).toBe(text));

test("the table lists the units in view of the layers that are on", () => {
  const it = state([
    [layerInfo("cfd.units"), [put("in", 1, 1), put("out", 50, 1)]],
    [layerInfo("cfd.boats"), [put("off", 1, 1)]],
  ]);
  const rows = unitsInView(it, new Set(["cfd.boats"]), [0, 0, 10, 10], NOW);
  expect(rows.map(({ ref }) => ref.id)).toEqual(["in"]);
});

test("distress is found wherever it is", () => {
  const it = state([[layerInfo("cfd.units"), [put("E1", 0, 0, { status: "distress" }), put("E2")]]]);
  expect(inDistress(it, NOW).map(({ name }) => name)).toEqual(["E1"]);
});

test("what is summed counts, and neither its ages nor its reports are known", () => {
  const layers = [layerInfo("cfd.units"), layerInfo("cpd.units")].map((info) => [info, [put("E1")]]);
  const it = summed(state(layers as [LayerInfo, Put[]][]), {
    "cfd.units": [[WEST, 30_000, null, 0], [EAST, 12, "en_route", 0]], // prettier-ignore
  });
  const groups = summarize(it, NOW);
  expect(groups.map(({ count }) => count)).toEqual([1, 30_012]);
  expect(reportsOf(groups, new Set())).toEqual({ units: 30_013, summed: 30_012, stale: 0, newestAt: NOW });
  expect(summedLayers(groups, new Set()).map(({ info }) => info.id)).toEqual(["cfd.units"]);
  expect(summedLayers(groups, new Set(["cfd.units"]))).toEqual([]);
});

test("distress in a summed layer is found by its hex", () => {
  const it = summed(state([[layerInfo("cfd.units"), []]]), {
    "cfd.units": [[WEST, 1200, "distress", 0], [EAST, 7, "en_route", 0]], // prettier-ignore
  });
  expect(inDistress(it, NOW)).toMatchObject([{ at: { cell: WEST }, name: "Among 1,200 units", ageS: null }]);
});

test("distress in hexes of another size is no news, in another hex of the same size it is", () => {
  const among = (cell: string): Distress => ({ layer: "a", at: { cell }, name: "", agency: "", ageS: null });
  const known = new Set([keyOf(among(WEST))]);
  expect(newDistress([among(WEST)], new Set())).toHaveLength(1);
  expect(newDistress([among(WEST), among(FINER)], known)).toEqual([]);
  expect(newDistress([among(WEST), among(EAST)], known)).toEqual([among(EAST)]);
});

test("silent feeds are listed by agency and title, the longest silent first, while they are silent", () => {
  let it = state([[layerInfo("cfd.units", { title: "Units" }), []], [layerInfo("cpd.units"), []]]); // prettier-ignore
  it = apply(it, { type: "stale", layer: "cpd.units", since: NOW - 9 });
  it = apply(it, { type: "stale", layer: "cfd.units", since: NOW - 99 });
  const silent = () => silencesOf(summarize(it, NOW), new Set()).map(({ name }) => name);
  expect(silent()).toEqual(["Fire, Units", "cpd, cpd.units"]);
  it = apply(it, { type: "stale", layer: "cfd.units", since: null });
  expect(silent()).toEqual(["cpd, cpd.units"]);
  expect(silencesOf(summarize(it, NOW), new Set(["cpd.units"]))).toEqual([]);
});

test("a silence of another day is told with its day", () => {
  const now = new Date(2026, 4, 7, 14, 30).getTime();
  expect(sinceTime(new Date(2026, 4, 7, 14, 2).getTime(), now)).toBe("14:02");
  expect(sinceTime(new Date(2026, 4, 5, 9, 5).getTime(), now)).toBe("5 May, 09:05");
});

test("counts fit into a hex", () => {
  expect([7, 9999, 12_345, 99_999, 1_250_000].map(shortCount)).toEqual(["7", "9,999", "12.3k", "99.9k", "1.2M"]); // prettier-ignore
});

test("one exercise layer is enough for the banner, whatever the operation says", () => {
  const operations: Hello["operations"] = [{ id: "daily", title: "Daily", status: "actual", layers: [] }];
  const layers: [LayerInfo, Put[]][] = [[layerInfo("cfd.units", { status: "exercise" }), []]];
  expect(pageStatus(state(layers, { operations }), "daily")).toBe("exercise");
  expect(pageStatus(state([[layerInfo("cfd.units"), []]], { operations }), "daily")).toBe("actual");
});

test("a small picture is asked for whole, a large one only around the view", () => {
  const bounds: [number, number, number, number] = [-88, 41, -87, 42];
  const held = (features: number) => ({ features, summed: false });
  expect(interest(null, bounds, 10, held(WHOLE_PICTURE))).toBeNull();
  const view = interest(null, bounds, 10, held(WHOLE_PICTURE + 1));
  expect(view).toEqual({ bbox: bounds, zoom: 10 });
  expect(interest(null, bounds, 10, { features: 7, summed: true })).toEqual(view);
  expect(interest(view, bounds, 10, held(5))).toBe(view);
  expect(interest(view, [-89, 41, -88, 42], 10, held(5))).toEqual({ bbox: [-89, 41, -88, 42], zoom: 10 });
});

test("a view across the antimeridian stays one", () => {
  const many = { features: 1e6, summed: false };
  const [west, , east] = interest(null, [179, -1, 181, 1], 9, many)!.bbox;
  expect([west, east]).toEqual([179, -179]);
  expect(interest(null, [-200, -99, 200, 99], 1, many)!.bbox).toEqual([-180, -90, 180, 90]);
});

test("a polygon is labelled in its middle, of several the largest", () => {
  const box = (x: number, side: number) => [[x, 0], [x + side, 0], [x + side, side], [x, side], [x, 0]]; // prettier-ignore
  expect(anchor({ type: "Polygon", coordinates: [box(0, 2)] })).toEqual([1, 1]);
  expect(anchor({ type: "MultiPolygon", coordinates: [[box(0, 2)], [box(10, 4)]] })).toEqual([12, 2]);
});
