import { validateStyleMin } from "@maplibre/maplibre-gl-style-spec";
import { expect, test } from "vitest";
import { Holding } from "../src/holding.ts";
import { areas } from "../src/map/areas.ts";
import { sideOf } from "../src/map/callsigns.ts";
import { boxOf, cellShapes, type CellProperties } from "../src/map/cells.ts";
import { outlines } from "../src/map/hexes.ts";
import {
  groundLayers,
  SOURCES,
  tileLayers,
  tileSource,
  topLayers,
  upperLayers,
} from "../src/map/overlays.ts";
import { basemapStyle } from "../src/map/style.ts";
import { SymbolPool } from "../src/map/symbol-pool.ts";
import { glyphOf, ringOf, Ring } from "../src/map/symbols.ts";
import { PALETTE, type Theme } from "../src/map/theme.ts";
import { Flag, Instances, mercatorX, mercatorY, RECKONING_S } from "../src/map/units.ts";
import { apply, EMPTY, type LayerState, type Sum, WHOLE } from "../src/state.ts";
import { type Frame, parse } from "../src/wire.ts";
import { EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

test.each([
  [[0.001, 0], "left"],
  [[-0.001, 0.0005], "right"],
  [[0.0002, 0.001], "bottom"],
  [[0, -0.001], "top"],
  [[0.00001, 0], null],
])("the name of a unit drawn %j aside stands outside of its ring: its %s is there", ([east, north], side) => {
  expect(sideOf([-87 + east!, 42 + north!], [-87, 42])).toBe(side);
});

const THEMES: Theme[] = ["light", "dark"];

test.each(THEMES)("the %s style, with everything of ours on it, is valid MapLibre", (theme) => {
  const c = PALETTE[theme];
  const hydrants = layerInfo("cfd.hydrants", { kind: "assets", stream: "tiled" });
  const roads = layerInfo("oem.roads", { kind: "roads", stream: "tiled" });
  const at = {
    basemap: "http://here/basemap/",
    font: "http://here/a.woff2",
    fontBold: "http://here/b.woff2",
  };
  const style = basemapStyle(theme, at);
  for (const name of SOURCES) {
    style.sources[name] = { type: "geojson", data: { type: "FeatureCollection", features: [] } };
  }
  style.sources["tiles:cfd.hydrants"] = tileSource("http://here", hydrants, 7);
  style.sources["tiles:oem.roads"] = tileSource("http://here", roads, 7);
  style.layers.push(
    ...groundLayers(c),
    ...upperLayers(c),
    ...tileLayers(hydrants, "#D55E00", c),
    ...tileLayers(roads, "#2F4858", c),
    ...topLayers(c),
  );
  expect(validateStyleMin(style)).toEqual([]);
});

test("a layer of streets is drawn as thin lines and nothing else: it may hold thousands in sight", () => {
  const roads = layerInfo("oem.roads", { kind: "roads", stream: "tiled" });
  const layers = tileLayers(roads, "#2F4858", PALETTE.light);
  expect(layers.map(({ id, type }) => [id, type])).toEqual([["tiles:oem.roads:line", "line"]]);
});

/** WCAG 2: contrast of two colours, 1 to 21. */
function contrast(a: string, b: string): number {
  const luminance = (hex: string) => {
    const [r, g, blue] = [1, 3, 5].map((at) => {
      const v = parseInt(hex.slice(at, at + 2), 16) / 255;
      return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * blue!;
  };
  const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high! + 0.05) / (low! + 0.05);
}

test.each(THEMES)("names on the %s map stand out from their halo as WCAG AA asks", (theme) => {
  const c = PALETTE[theme];
  for (const role of ["text", "label", "incident", "zone", "coverage", "distressText"] as const) {
    expect(contrast(c[role], c.halo), role).toBeGreaterThanOrEqual(4.5);
  }
});

test("a type that nobody drew gets its kind's own glyph", () => {
  expect(glyphOf("units", { unit_type: "zeppelin" })).toBe(glyphOf("units", {}));
  expect(glyphOf("units", { unit_type: "engine" })).not.toBe(glyphOf("units", {}));
  expect(ringOf("units", { status: "distress" })).toBe(Ring.Distress);
  expect(ringOf("assets", { status: "distress" })).toBe(Ring.None);
});

function layerOf(...coordinates: [number, number][]): LayerState {
  const features = coordinates.map((at, i) => ({
    id: `E${i}`,
    geometry: { type: "Point" as const, coordinates: [...at] },
    properties: { heading_deg: 90, speed_mps: 100 },
    observedAt: 0,
    expiresAt: null,
  }));
  const slots = new Map(features.map(({ id }, slot) => [id, slot]));
  return { info: layerInfo("cfd.units"), epoch: "e", revision: 1, features, slots, cells: new Map() };
}

test("a unit is moved on by its speed for ten seconds, then stands still", () => {
  const pool = new SymbolPool("units", 0);
  pool.change(layerOf([0, 0]), WHOLE, "#D55E00");
  const metres = (ms: number) => (pool.instances.place(0, ms).x - mercatorX(0)) * 40_075_016.7;
  expect(metres(5_000)).toBeCloseTo(500, 0);
  expect(metres(60_000)).toBeCloseTo(100 * RECKONING_S, 0);
});

test("picking finds what is drawn near, nearest first, and nothing that is hidden", () => {
  const pool = new SymbolPool("units", 0);
  pool.change(layerOf([0, 0], [0.001, 0], [5, 5]), WHOLE, "#D55E00");
  const near = () =>
    pool.instances.near(mercatorX(0.0009), mercatorY(0), 0.002 / 360, 0).map(({ i }) => pool.owner(i)?.id);
  expect(near()).toEqual(["E1", "E0"]);
  pool.hide(new Set(["cfd.units"]));
  expect(near()).toEqual([]);
});

test("what is not asked for is dimmed, and found by the pointer all the same", () => {
  const pool = new SymbolPool("units", 0);
  const layer = layerOf([0, 0], [1, 1]);
  const dimmed = () => [0, 1].map((i) => (pool.instances.flags(i) & Flag.Dimmed) > 0);
  pool.isAsked = (info, properties) => info.id === "cfd.units" && properties["status"] === "available";
  layer.features[0]!.properties = { status: "available" };
  pool.change(layer, WHOLE, "#D55E00");
  expect(dimmed()).toEqual([false, true]);
  expect(pool.instances.near(mercatorX(1), mercatorY(1), 0.002 / 360, 0)).toHaveLength(1);
  pool.isAsked = null;
  pool.change(layer, WHOLE, "#D55E00");
  expect(dimmed()).toEqual([false, false]);
});

test("units that stand at one spot are fanned out, and around an incident that stands there", () => {
  const pool = new SymbolPool("units", 0);
  const layer = layerOf([0, 0], [0, 0], [0, 0], [9, 9]);
  for (const feature of layer.features) feature!.properties = {};
  pool.change(layer, WHOLE, "#D55E00");
  pool.instances.symbolSize = 0.001;
  const asideOf = (i: number) => {
    const { x, y } = pool.instances.place(i, 0);
    const at = layer.features[i]!.geometry as { coordinates: number[] };
    return Math.hypot(x - mercatorX(at.coordinates[0]!), y - mercatorY(at.coordinates[1]!)) / 0.001;
  };
  pool.instances.fan([]);
  expect([0, 1, 2, 3].map((i) => asideOf(i) > 0.5)).toEqual([true, true, true, false]);
  pool.instances.fan([{ x: mercatorX(0), y: mercatorY(0) }]);
  expect(asideOf(0)).toBeGreaterThan(1);
  pool.instances.unfan();
  expect(asideOf(0)).toBeLessThan(0.01);
});

test("a layer that is dropped leaves nothing to draw or to pick", () => {
  const pool = new SymbolPool("units", 0);
  pool.change(layerOf([0, 0], [1, 1]), WHOLE, "#D55E00");
  pool.drop("cfd.units");
  expect([0, 1].map((i) => pool.instances.flags(i) & Flag.Shown)).toEqual([0, 0]);
  expect(pool.owner(0)).toBeUndefined();
});

test("instances grow beyond their first room without losing any", () => {
  const instances = new Instances(0, 2);
  const drawn = {
    lng: 1,
    lat: 2,
    headingDeg: NaN,
    speedMps: NaN,
    observedAt: 0,
    staleAfterS: 60,
    glyph: 3,
    ring: 1,
  };
  for (let i = 0; i < 9; i++)
    instances.set(instances.add(), { ...drawn, lng: i, color: "#D55E00", flags: Flag.Shown });
  const places = Array.from({ length: 9 }, (_, i) => Math.round((instances.place(i, 0).x - 0.5) * 360));
  expect(places).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

test("a zone that is a gap says so to the map, which hatches it as any other gap", () => {
  const info = layerInfo("cfd.gaps", { kind: "zones" });
  const picture = apply(EMPTY, hello([info]));
  const geometry = { type: "Polygon" as const, coordinates: [[[0, 0], [1, 0], [1, 1], [0, 0]]] }; // prettier-ignore
  const gap = { ...put("g", 0, 0, { zone_type: "gap", name: "West" }), geometry };
  const text = frame({ "cfd.gaps": { epoch: EPOCH, from: 0, to: 1, reset: true, put: [gap] } });
  const held = apply(picture, new Holding().take(parse(text) as Frame).packed);
  const [drawn] = areas(held.layers.values()).features;
  expect(drawn!.properties).toMatchObject({ kind: "zones", type: "gap", name: "West" });
  const hatched = groundLayers(PALETTE.light).find(({ id }) => id === "gap-zones-fill");
  expect(hatched).toMatchObject({ source: "areas", paint: { "fill-pattern": "gap-hatch" } });
});

test("compacted cells are drawn at the resolution that was asked for", () => {
  const { features } = outlines({ cells: ["872664c1affffff"], cell_count: 7 }, 8, "gap");
  expect(features).toHaveLength(7);
  expect(features[0]!.properties).toEqual({ role: "gap" });
});

const CELL = "872664c1affffff";
const ACROSS = "8009fffffffffff";

/** A layer that is summed in one cell. */
function summed(name: string, sum: Partial<Sum> = {}, cell = CELL): LayerState {
  const cells = new Map([[cell, { count: 12, worst: null, oldestAt: 0, ...sum }]]);
  return { info: layerInfo(name), epoch: "e", revision: 0, features: [], slots: new Map(), cells };
}
const shapes = (layers: LayerState[], now = 0) => {
  const { hexes, counts } = cellShapes(layers, () => "#D55E00", now);
  const rings = hexes.features.map(
    ({ geometry }) => (geometry as { coordinates: number[][][] }).coordinates[0]!,
  );
  return { rings, told: counts.features.map(({ properties }) => properties as CellProperties), counts };
};

/** Twice the area of a ring, in square degrees. */
const area = (ring: number[][]) =>
  Math.abs(ring.slice(1).reduce((sum, [x, y], i) => sum + ring[i]![0]! * y! - x! * ring[i]![1]!, 0));

test("a cell of one layer is one hex with its count in the middle", () => {
  const { rings, told, counts } = shapes([summed("a.units")]);
  expect(rings[0]).toHaveLength(7);
  expect(told).toMatchObject([{ layer: "a.units", cell: CELL, label: "12", ring: Ring.None, stale: false }]);
  const [west, south, east, north] = boxOf(CELL);
  const { coordinates } = counts.features[0]!.geometry as { coordinates: number[] };
  expect(coordinates[0]).toBeCloseTo((west + east) / 2, 3);
  expect(coordinates[1]).toBeCloseTo((south + north) / 2, 3);
});

test.each([2, 3, 4, 5, 7])("%d layers part a cell among them, each as much as the others", (sharing) => {
  const layers = Array.from({ length: sharing }, (_, i) => summed(`a.units-${i}`));
  const { rings } = shapes(layers);
  const whole = area(shapes([summed("a.units")]).rings[0]!);
  expect(rings.reduce((sum, ring) => sum + area(ring), 0)).toBeCloseTo(whole, 9);
  for (const ring of rings) expect(area(ring)).toBeGreaterThan((0.7 * whole) / sharing);
});

test("distress is written out, and comes before every other count", () => {
  const { told } = shapes([summed("a.units", { worst: "distress" }), summed("b.units", { count: 50_000 })]);
  expect(told[0]).toMatchObject({ ring: Ring.Distress, label: "12\nDISTRESS" });
  expect(told[0]!.order).toBeLessThan(told[1]!.order);
});

test("a hex fades with its oldest report, and is stale when that is; of what stands, never", () => {
  const at = (ms: number) => shapes([summed("a.units")], ms).told[0]!;
  expect([0, 24_000, 59_000, 60_000].map((ms) => at(ms).stale)).toEqual([false, false, false, true]);
  const [fresh, younger, older, stale] = [0, 24_000, 45_000, 60_000].map((ms) => at(ms).opacity) as number[];
  expect(younger).toBe(fresh);
  expect([older! < fresh!, stale! < older!]).toEqual([true, true]);
  const stations = { ...summed("a.stations"), info: layerInfo("a.stations", { kind: "assets" }) };
  expect(shapes([stations], 1e12).told[0]).toMatchObject({ opacity: fresh, stale: false });
});

test("the more a hex counts, the stronger its fill", () => {
  const { told } = shapes([summed("a.units", { count: 1 }), summed("b.units", { count: 900 })]);
  expect(told[0]!.opacity).toBeLessThan(told[1]!.opacity);
});

test("a hex across the antimeridian stays one", () => {
  const lngs = shapes([summed("a.units", {}, ACROSS)]).rings[0]!.map(([lng]) => lng!);
  expect(Math.max(...lngs) - Math.min(...lngs)).toBeLessThan(180);
});
