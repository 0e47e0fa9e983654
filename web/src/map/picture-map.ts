// The map: basemap, overlays and symbol layers, fed with the state and with what the viewer chose. It only draws, and
// reports what was clicked and where the camera is; it decides nothing about the picture.

import {
  AttributionControl,
  type GeoJSONSource,
  Map as MapLibre,
  type MapMouseEvent,
  NavigationControl,
  ScaleControl,
  addProtocol,
  setWorkerUrl,
} from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import "maplibre-gl/dist/maplibre-gl.css";
import { PMTiles, Protocol } from "pmtiles";
import fontUrl from "@fontsource/public-sans/files/public-sans-latin-500-normal.woff2?url";
import fontBoldUrl from "@fontsource/public-sans/files/public-sans-latin-700-normal.woff2?url";
import type { FeatureCollection } from "geojson";
import { nameOf } from "../format.ts";
import { ageS, featuresOf, type LayerState, sizeOf, type State, WHOLE } from "../state.ts";
import type { BBox, Kind, Position } from "../wire.ts";
import { areas, names } from "./areas.ts";
import {
  BELOW_NAMES,
  EMPTY_COLLECTION,
  groundLayers,
  patternImage,
  type ShownSource,
  SOURCES,
  type SourceName,
  tileLayers,
  tileSource,
  topLayers,
  upperLayers,
} from "./overlays.ts";
import { RangeSource } from "./range-source.ts";
import { basemapStyle } from "./style.ts";
import { isSame, type Ref, SymbolPool } from "./symbol-pool.ts";
import { colorOf, drawSymbol, glyphOf, shapeOf } from "./symbols.ts";
import { PALETTE, type Theme } from "./theme.ts";
import { type Inks, mercatorX, mercatorY, SymbolLayer } from "./units.ts";

export interface Camera {
  lng: number;
  lat: number;
  zoom: number;
}

/** A feature, or a hex of a summed layer. */
export type Hovered = Ref | { layer: string; cell: string };

export interface Handlers {
  /** Everything under the pointer at `at`, nearest first; empty for the bare map. `onSymbol`: the first is a symbol. */
  onPick(refs: Ref[], at: Position, onSymbol: boolean): void;
  /** `bareAt`: where the pointer is, if neither a symbol nor a hex of counts lies there. */
  onHover(what: Hovered | null, x: number, y: number, bareAt: Position | null): void;
  onCamera(camera: Camera, byHand: boolean): void;
  /** Something could not be loaded or drawn. */
  onError(error: { message: string }): void;
}

const INKS: Record<Theme, Inks> = {
  light: { hollow: [1, 1, 1], ink: [0.27, 0.27, 0.27] },
  dark: { hollow: [0.07, 0.1, 0.14], ink: [0.8, 0.85, 0.9] },
};

/** Drawn from below to above. */
const SYMBOL_KINDS = ["assets", "units", "incidents"] as const satisfies Kind[];

/** The layers of names that are written over the symbols of a kind. Incidents lie above everything. */
const NAMES_ABOVE = { assets: "asset-names", units: "incident-names", incidents: undefined } as const;

/** How far beside a symbol a click still means it, CSS pixels. */
const SLACK_PX = 6;

/** Callsigns are written from this zoom on, for so many units at most; nearer the street there are fewer in sight. */
const CALLSIGN_ZOOM = 13.4;
const MOST_CALLSIGNS = 400;

/** Below this zoom a street is thinner than a symbol: fanning out would say more than it shows. */
const FAN_ZOOM = 12;

/** A tiled layer that changes all the time is fetched again no more often than this. */
const RETILE_MS = 3000;

setWorkerUrl(workerUrl);
const basemap = new Protocol();
for (const name of ["world", "chicago"]) {
  const url = new URL(`basemap/${name}.pmtiles`, document.baseURI).href;
  basemap.add(new PMTiles(new RangeSource(url)));
}
addProtocol("pmtiles", basemap.tile);

export class PictureMap {
  readonly map: MapLibre;
  /** Resolves when the first style is loaded and overlays may be drawn. */
  readonly ready: Promise<void>;

  #theme: Theme;
  #state: State | null = null;
  #catalogue: State["catalogue"] | null = null;
  #hidden: ReadonlySet<string> = new Set();
  #selected: Ref | null = null;
  #following = false;
  #pointing = false;
  #data = new Map<SourceName, FeatureCollection>();
  #stale = new Set<SourceName>();
  /** For each tiled layer drawn: the revision its tiles are of, and when they were asked for. */
  #tiled = new Map<string, { revision: string; at: number }>();
  #pools: Record<(typeof SYMBOL_KINDS)[number], SymbolPool>;
  #symbols: Record<(typeof SYMBOL_KINDS)[number], SymbolLayer>;
  /** Draws the hexes of summed layers; null until the first one comes. */
  #cells: typeof import("./cells.ts") | null = null;
  #drawnCells = "";
  #styled = false;
  #lowMotion = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(
    container: HTMLElement,
    theme: Theme,
    camera: Camera,
    private readonly nowMs: () => number,
    private readonly handlers: Handlers,
  ) {
    this.#theme = theme;
    const epochMs = nowMs();
    const pool = (kind: Kind) => new SymbolPool(kind, epochMs);
    this.#pools = { assets: pool("assets"), units: pool("units"), incidents: pool("incidents") };
    const layer = (kind: (typeof SYMBOL_KINDS)[number]) =>
      new SymbolLayer(`symbols:${kind}`, shapeOf(kind), this.#pools[kind].instances, nowMs);
    this.#symbols = { assets: layer("assets"), units: layer("units"), incidents: layer("incidents") };
    this.map = new MapLibre({
      container,
      style: this.#style(),
      center: [camera.lng, camera.lat],
      zoom: camera.zoom,
      minZoom: 1.5,
      maxZoom: 18,
      // North stays up: a heading read off a turned map is a wrong heading on the radio.
      dragRotate: false,
      pitchWithRotate: false,
      touchPitch: false,
      attributionControl: false,
      fadeDuration: 0,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.keyboard.disableRotation();
    this.map.addControl(new AttributionControl({ compact: false }), "bottom-right");
    this.map.addControl(new NavigationControl({ showCompass: false }), "bottom-right");
    this.map.addControl(new ScaleControl({ unit: "metric" }), "bottom-right");
    this.map.setMissingStyleImageResolver((id) => this.#drawImage(id));
    this.ready = new Promise((resolve) => this.map.once("style.load", () => resolve()));
    this.map.on("style.load", () => this.#dress());
    this.#listen();
    this.#tick();
    setInterval(() => this.#everySecond(), 1000);
  }

  /** Draws the state; called after every message. */
  draw(state: State): void {
    const rebuild = state.catalogue !== this.#catalogue;
    this.#state = state;
    this.#catalogue = state.catalogue;
    for (const kind of SYMBOL_KINDS) this.#drawKind(kind, state, rebuild);
    if (rebuild) this.#stale.add("areas").add("names").add("cells");
    for (const [name, { cells }] of state.changes) {
      if (cells) this.#stale.add("cells");
      if (state.catalogue.get(name)?.kind !== "units") this.#stale.add("areas").add("names");
    }
    this.#drawTiled(state);
    this.#flush();
  }

  setTheme(theme: Theme): void {
    if (theme === this.#theme) return;
    this.#theme = theme;
    this.#styled = false;
    this.#tiled.clear();
    this.map.setStyle(this.#style(), { diff: false });
  }

  hide(layers: ReadonlySet<string>): void {
    this.#hidden = layers;
    for (const kind of SYMBOL_KINDS) {
      this.#pools[kind].hide(layers);
      this.#symbols[kind].dirty = true;
    }
    this.#stale.add("areas").add("names").add("callsigns").add("cells");
    if (this.#state) this.draw({ ...this.#state, changes: new Map() });
    this.#writeCallsigns();
  }

  select(ref: Ref | null): void {
    this.#selected = ref;
    for (const kind of SYMBOL_KINDS) {
      this.#pools[kind].select(ref);
      this.#symbols[kind].anySelected = ref !== null;
      this.#symbols[kind].dirty = true;
    }
    this.map.triggerRepaint();
  }

  /** Asks again for tiles that could not be had while the server was away. */
  refresh(): void {
    if (!this.#styled) return;
    for (const source of ["world", "city", ...[...this.#tiled.keys()].map((name) => `tiles:${name}`)]) {
      this.map.refreshTiles(source);
    }
  }

  follow(on: boolean): void {
    this.#following = on;
    if (on) this.#centre();
  }

  /** A collection for one of the sources that others fill. */
  show(source: ShownSource, data: FeatureCollection): void {
    this.#put(source, data);
  }

  /** Whether a click means a place of the map, whatever is drawn there. */
  point(on: boolean): void {
    this.#pointing = on;
    this.map.getCanvas().style.cursor = on ? "crosshair" : "";
  }

  /** CSS pixels. */
  get size(): { width: number; height: number } {
    const { clientWidth: width, clientHeight: height } = this.map.getContainer();
    return { width, height };
  }

  get center(): Position {
    return this.map.getCenter().toArray();
  }

  get bounds(): BBox {
    const b = this.map.getBounds();
    return [b.getWest(), b.getSouth(), b.getEast(), b.getNorth()];
  }

  fit([west, south, east, north]: BBox, animate = true): void {
    this.map.fitBounds(
      [
        [west, south],
        [east, north],
      ],
      {
        padding: { top: 90, bottom: 60, left: 320, right: 60 },
        maxZoom: 14.5,
        animate: animate && !this.#lowMotion.matches,
      },
    );
  }

  goTo(lng: number, lat: number, zoom = Math.max(this.map.getZoom(), 14)): void {
    const animate = !this.#lowMotion.matches;
    this.map.easeTo({ center: [lng, lat], zoom, animate, duration: 500 });
  }

  /** Brings a hex so near that it comes apart into smaller ones, or into what it counts. */
  async zoomInto(cell: string): Promise<void> {
    const { boxOf } = await import("./cells.ts");
    const camera = this.map.cameraForBounds(boxOf(cell), { padding: 60, maxZoom: 16.5 });
    if (!camera?.center) return;
    this.map.easeTo({
      center: camera.center,
      zoom: Math.max(camera.zoom ?? 0, Math.min(this.map.getZoom() + 1, 16.5)),
      animate: !this.#lowMotion.matches,
      duration: 500,
    });
  }

  /** Where a feature is drawn right now, for things that point at it. */
  placeOf(ref: Ref): Position | null {
    const layer = this.#state?.layers.get(ref.layer);
    if (!layer) return null;
    for (const kind of SYMBOL_KINDS) {
      const instance = this.#pools[kind].instanceOf(layer, ref.id);
      if (instance === undefined) continue;
      const { x, y } = this.#pools[kind].instances.place(instance, this.nowMs());
      return [(x - 0.5) * 360, (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI];
    }
    return null;
  }

  #style() {
    const at = (path: string) => new URL(path, document.baseURI).href;
    return basemapStyle(this.#theme, {
      basemap: at("basemap/"),
      font: at(fontUrl),
      fontBold: at(fontBoldUrl),
    });
  }

  /** Puts everything of ours onto a style that has just loaded. */
  #dress(): void {
    const c = PALETTE[this.#theme];
    this.map.addImage("gap-hatch", patternImage("hatch", c.gap), { pixelRatio: 2 });
    this.map.addImage("overlap-dots", patternImage("dots", c.overlap), { pixelRatio: 2 });
    this.map.addImage("lost-cross", patternImage("cross", c.lost, c.halo), { pixelRatio: 2 });
    this.map.addImage("won-plus", patternImage("plus", c.won, c.halo), { pixelRatio: 2 });
    for (const name of SOURCES) {
      const data = this.#data.get(name) ?? EMPTY_COLLECTION;
      this.map.addSource(name, { type: "geojson", data });
    }
    for (const layer of groundLayers(c)) this.map.addLayer(layer, BELOW_NAMES);
    for (const layer of upperLayers(c)) this.map.addLayer(layer);
    for (const kind of SYMBOL_KINDS) {
      this.#symbols[kind].inks = INKS[this.#theme];
      this.map.addLayer(this.#symbols[kind], NAMES_ABOVE[kind]);
    }
    for (const layer of topLayers(c)) this.map.addLayer(layer);
    this.#styled = true;
    this.#resize();
    if (this.#state) this.#drawTiled(this.#state);
    this.#flush();
  }

  #drawKind(kind: (typeof SYMBOL_KINDS)[number], state: State, rebuild: boolean): void {
    const pool = this.#pools[kind];
    let touched = rebuild;
    for (const name of pool.layers()) {
      if (rebuild || !state.layers.has(name)) {
        pool.drop(name);
        touched = true;
      }
    }
    for (const [name, layer] of state.layers) {
      const change = rebuild ? WHOLE : state.changes.get(name);
      if (layer.info.kind !== kind || layer.info.stream === "tiled" || !change) continue;
      pool.change(layer, change, state.agencies.get(layer.info.agency)?.color ?? "#4d4d4d");
      touched = true;
    }
    if (!touched) return;
    this.#symbols[kind].dirty = true;
    this.map.triggerRepaint();
  }

  #drawTiled(state: State): void {
    if (!this.#styled) return;
    const wanted = new Map<string, LayerState>();
    for (const layer of state.layers.values()) {
      if (layer.info.stream === "tiled" && !this.#hidden.has(layer.info.id)) wanted.set(layer.info.id, layer);
    }
    for (const [name, { revision, at }] of this.#tiled) {
      const layer = wanted.get(name);
      const fresh = layer && (revision === revisionOf(layer) || performance.now() - at < RETILE_MS);
      if (fresh || (layer && this.#retile(layer))) wanted.delete(name);
      else this.#untile(name);
    }
    for (const layer of wanted.values()) this.#tile(layer, state);
  }

  #tile(layer: LayerState, state: State): void {
    const { info, revision } = layer;
    const source = `tiles:${info.id}`;
    const color = colorOf(info.kind, state.agencies.get(info.agency)?.color ?? "#4d4d4d");
    this.map.addSource(source, tileSource(location.origin, info, revision));
    for (const each of tileLayers(info, color, PALETTE[this.#theme])) this.map.addLayer(each, "trail-line");
    this.#tiled.set(info.id, { revision: revisionOf(layer), at: performance.now() });
  }

  /** Points a tiled layer at its new revision; the old tiles stay until the new ones are there. */
  #retile(layer: LayerState): boolean {
    const source = this.map.getSource(`tiles:${layer.info.id}`);
    if (!source || !("setTiles" in source)) return false;
    const { tiles } = tileSource(location.origin, layer.info, layer.revision) as { tiles: string[] };
    (source as unknown as { setTiles(tiles: string[]): void }).setTiles(tiles);
    this.#tiled.set(layer.info.id, { revision: revisionOf(layer), at: performance.now() });
    return true;
  }

  #untile(name: string): void {
    const source = `tiles:${name}`;
    for (const part of ["fill", "line", "point"]) {
      if (this.map.getLayer(`${source}:${part}`)) this.map.removeLayer(`${source}:${part}`);
    }
    if (this.map.getSource(source)) this.map.removeSource(source);
    this.#tiled.delete(name);
  }

  /** Tells MapLibre about the sources that changed. */
  #flush(): void {
    if (!this.#state || !this.#styled) return;
    const shown = [...this.#state.layers.values()].filter(
      ({ info }) => !this.#hidden.has(info.id) && info.kind !== "units",
    );
    if (this.#stale.delete("areas")) this.#put("areas", areas(shown));
    if (this.#stale.delete("names")) this.#put("names", names(shown));
    if (this.#stale.delete("cells")) this.#drawCells(this.#state);
  }

  /** Hexes of summed layers. Their ages change every second, what is drawn of them seldom. */
  #drawCells(state: State): void {
    const layers = [...state.layers.values()].filter(
      ({ info, cells }) => cells.size > 0 && !this.#hidden.has(info.id),
    );
    if (!this.#cells) {
      if (layers.length > 0) void this.#loadCells();
      return;
    }
    const color = (agency: string) => state.agencies.get(agency)?.color ?? "#4d4d4d";
    const { hexes, counts } = this.#cells.cellShapes(layers, color, this.nowMs());
    const drawn = JSON.stringify(counts);
    if (drawn === this.#drawnCells) return;
    this.#drawnCells = drawn;
    this.#put("cells", hexes);
    this.#put("cell-counts", counts);
  }

  async #loadCells(): Promise<void> {
    this.#cells = await import("./cells.ts");
    this.#stale.add("cells");
    this.#flush();
  }

  #put(name: SourceName, data: FeatureCollection): void {
    this.#data.set(name, data);
    if (this.#styled) (this.map.getSource(name) as GeoJSONSource | undefined)?.setData(data);
  }

  #drawImage(id: string): void {
    const [mark, kind, type, color] = id.split("|") as [string, Kind, string, string];
    if (mark !== "tile") return;
    const glyph = glyphOf(kind, { unit_type: type, asset_type: type, incident_type: type });
    this.map.addImage(id, drawSymbol(shapeOf(kind), glyph, color, 48), { pixelRatio: 2 });
  }

  #listen(): void {
    // for screen readers, and for whoever waits for the whole map: are there tiles still on their way?
    this.map.on("dataloading", () => this.map.getContainer().setAttribute("aria-busy", "true"));
    this.map.on("idle", () => this.map.getContainer().setAttribute("aria-busy", "false"));
    this.map.on("error", ({ error }) => this.handlers.onError(error));
    this.map.on("click", (event) => {
      const refs = this.#pick(event);
      const cell = refs.length === 0 ? this.#pickCell(event) : null;
      const onSymbol = refs.length > 0;
      if (cell && !this.#pointing) void this.zoomInto(cell.cell);
      else this.handlers.onPick(onSymbol ? refs : this.#pickDrawn(event), event.lngLat.toArray(), onSymbol);
    });
    this.map.on("mousemove", (event) => {
      const [ref] = this.#pick(event);
      const cell = ref ? null : this.#pickCell(event);
      const over = ref ?? cell ?? this.#pickDrawn(event)[0] ?? null;
      this.map.getCanvas().style.cursor = this.#pointing
        ? "crosshair"
        : cell
          ? "zoom-in"
          : over
            ? "pointer"
            : "";
      const bareAt = ref || cell ? null : event.lngLat.toArray();
      this.handlers.onHover(over, event.point.x, event.point.y, bareAt);
    });
    // what was under the pointer is elsewhere now
    this.map.on("zoomstart", () => this.handlers.onHover(null, 0, 0, null));
    this.map.on("mouseout", () => this.handlers.onHover(null, 0, 0, null));
    this.map.on("zoom", () => this.#resize());
    this.map.on("moveend", (event) => {
      const { lng, lat } = this.map.getCenter();
      this.handlers.onCamera(
        { lng, lat, zoom: this.map.getZoom() },
        Boolean((event as { originalEvent?: unknown }).originalEvent),
      );
      this.#fan();
      this.#writeCallsigns();
    });
    this.map.on("dragstart", () =>
      this.handlers.onCamera({ ...this.map.getCenter(), zoom: this.map.getZoom() }, true),
    );
  }

  /** Symbols under the pointer. */
  #pick(event: MapMouseEvent): Ref[] {
    const x = mercatorX(event.lngLat.lng);
    const y = mercatorY(event.lngLat.lat);
    const world = 512 * 2 ** this.map.getZoom();
    const found: { ref: Ref; distance: number }[] = [];
    for (const kind of [...SYMBOL_KINDS].reverse()) {
      const radius = (this.#symbols[kind].size / 2 + SLACK_PX) / world;
      for (const { i, distance } of this.#pools[kind].instances.near(x, y, radius, this.nowMs())) {
        const ref = this.#pools[kind].owner(i);
        if (ref) found.push({ ref, distance });
      }
    }
    found.sort((a, b) => a.distance - b.distance);
    return found.map(({ ref }) => ref);
  }

  #pickCell(event: MapMouseEvent): { layer: string; cell: string } | null {
    if (!this.#styled || !this.#drawnCells) return null;
    const [drawn] = this.map.queryRenderedFeatures(event.point, { layers: ["cells-fill"] });
    return (drawn?.properties as { layer: string; cell: string } | undefined) ?? null;
  }

  /** Areas, and the symbols of tiled layers. */
  #pickDrawn(event: MapMouseEvent): Ref[] {
    if (!this.#styled) return [];
    const tiled = [...this.#tiled.keys()].flatMap((name) => [`tiles:${name}:point`, `tiles:${name}:fill`]);
    const layers = [
      "incidents-fill",
      "zones-fill",
      "zones-line",
      "gap-zones-fill",
      "coverage-fill",
      "assets-fill",
      ...tiled,
    ];
    const drawn = this.map.queryRenderedFeatures(event.point, {
      layers: layers.filter((id) => this.map.getLayer(id)),
    });
    const refs = drawn.map(({ source, properties }) =>
      source.startsWith("tiles:")
        ? { layer: source.slice(6), id: String(properties["id"]) }
        : { layer: properties["layer"] as string, id: properties["feature"] as string },
    );
    return refs.filter((ref, i) => refs.findIndex((each) => isSame(each, ref)) === i);
  }

  /** Symbols grow with zoom: large enough to read at a city's zoom, not so large that a region is one blot. */
  #resize(): void {
    const zoom = this.map.getZoom();
    const grown = (from: number, to: number) => from + (to - from) * Math.min(1, Math.max(0, (zoom - 9) / 6));
    this.#symbols.units.size = grown(10, 33);
    this.#symbols.incidents.size = grown(15, 36);
    this.#symbols.assets.size = grown(8, 29);
    for (const kind of SYMBOL_KINDS) {
      this.#pools[kind].instances.symbolSize = this.#symbols[kind].size / (512 * 2 ** zoom);
    }
  }

  /**
   * Repaints as often as motion shows: the fastest unit moves a pixel in so many milliseconds, and below one pixel a
   * repaint costs power and shows nothing. Between 1 a second (ages fade) and 20.
   */
  #tick(): void {
    const { instances } = this.#pools.units;
    const metresPerPixel =
      (40075016 * Math.cos((this.map.getCenter().lat * Math.PI) / 180)) / (512 * 2 ** this.map.getZoom());
    const pixelsPerS = this.#lowMotion.matches ? 0 : instances.fastestMps / metresPerPixel;
    const delayMs = Math.min(1000, Math.max(50, 1000 / pixelsPerS));
    const blinking = instances.distressed > 0 && !this.#lowMotion.matches;
    this.#symbols.units.blink = blinking && Math.floor(performance.now() / 500) % 2 ? 0 : 1;
    if (instances.count > 0) this.map.triggerRepaint();
    setTimeout(() => this.#tick(), blinking ? Math.min(delayMs, 500) : delayMs);
  }

  /** Units that stand at one spot are drawn around it, from the zoom on at which streets can be told apart. */
  #fan(): void {
    const { units, incidents } = this.#pools;
    if (this.map.getZoom() < FAN_ZOOM) units.instances.unfan();
    else units.instances.fan(incidents.places(this.nowMs()));
    this.#symbols.units.dirty = true;
  }

  #everySecond(): void {
    this.#fan();
    this.#writeCallsigns();
    this.#stale.add("cells");
    if (this.#state) this.#drawTiled(this.#state);
    this.#flush();
    if (this.#following) this.#centre();
  }

  #centre(): void {
    const at = this.#selected && this.placeOf(this.#selected);
    if (at)
      this.map.easeTo({
        center: [at[0]!, at[1]!],
        duration: this.#lowMotion.matches ? 0 : 900,
        easing: (t) => t,
      });
  }

  #writeCallsigns(): void {
    if (!this.#state || !this.#styled) return;
    const had = this.#data.get("callsigns")?.features.length ?? 0;
    if (this.map.getZoom() < CALLSIGN_ZOOM) {
      if (had > 0) this.#put("callsigns", EMPTY_COLLECTION);
      return;
    }
    const [west, south, east, north] = this.bounds;
    const features: FeatureCollection["features"] = [];
    for (const { info, features: units } of this.#state.layers.values()) {
      if (info.kind !== "units" || info.stream === "tiled" || this.#hidden.has(info.id)) continue;
      for (const unit of units) {
        if (unit?.geometry?.type !== "Point" || features.length >= MOST_CALLSIGNS) continue;
        const [lng, lat] = unit.geometry.coordinates as [number, number];
        if (lng < west || lng > east || lat < south || lat > north) continue;
        const at = this.placeOf({ layer: info.id, id: unit.id }) ?? [lng, lat];
        // where names would overlap, the one heard last is written
        const order = ageS(unit, this.nowMs());
        const name = nameOf("units", unit.id, unit.properties);
        features.push({
          type: "Feature",
          geometry: { type: "Point", coordinates: at },
          properties: { name, order },
        });
      }
    }
    if (features.length > 0 || had > 0) this.#put("callsigns", { type: "FeatureCollection", features });
  }
}

function revisionOf({ info, revision }: LayerState): string {
  return `${info.epoch}-${revision}`;
}

/**
 * The box that holds the picture, for a first look: of the units if there are any, else of everything. The outermost
 * hundredth on each side is left out, so that one unit at 0, 0 does not show the dispatcher the Atlantic. What is summed
 * counts where `boxOf` says its hexes are.
 */
export function extent(state: State, boxOf?: (cell: string) => BBox): BBox | null {
  const lngs: number[] = [];
  const lats: number[] = [];
  const layers = [...state.layers.values()];
  const units = layers.filter((layer) => layer.info.kind === "units" && sizeOf(layer) > 0);
  for (const layer of units.length > 0 ? units : layers) {
    for (const [cell, { count }] of boxOf ? layer.cells : []) {
      const [west, south, east, north] = boxOf!(cell);
      // enough that a hex of one strayed unit falls into the hundredth
      for (let i = Math.min(count, 200); i > 0; i--) {
        lngs.push(west, east);
        lats.push(south, north);
      }
    }
    for (const { geometry } of featuresOf(layer)) {
      const at = geometry?.type === "Point" ? geometry.coordinates : null;
      if (!at) continue;
      lngs.push(at[0]!);
      lats.push(at[1]!);
    }
  }
  if (lngs.length === 0) return null;
  lngs.sort((a, b) => a - b);
  lats.sort((a, b) => a - b);
  const cut = Math.floor(lngs.length / 100);
  return [lngs[cut]!, lats[cut]!, lngs[lngs.length - 1 - cut]!, lats[lats.length - 1 - cut]!];
}
