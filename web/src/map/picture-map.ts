// The map: basemap, overlays and symbol layers, fed with the state and with what the viewer chose. It only draws, and
// reports what was clicked and where the camera is; it decides nothing about the picture.

import {
  AttributionControl,
  type GeoJSONSource,
  Map as MapLibre,
  type MapMouseEvent,
  NavigationControl,
  ScaleControl,
} from "maplibre-gl";
import type { FeatureCollection } from "geojson";
import { EMPTY, type State } from "../state.ts";
import type { BBox, Kind, Position } from "../wire.ts";
import { areas, names } from "./areas.ts";
import { BASEMAP_SOURCES, basemapOf } from "./basemap.ts";
import { CALLSIGN_ZOOM, callsigns } from "./callsigns.ts";
import { type Cell, cellAt, drawnAt } from "./drawn.ts";
import {
  BELOW_NAMES,
  EMPTY_COLLECTION,
  groundLayers,
  patternImage,
  type ShownSource,
  SOURCES,
  type SourceName,
  topLayers,
  upperLayers,
} from "./overlays.ts";
import { SymbolLayers } from "./symbol-layers.ts";
import type { IsAsked, Ref } from "./symbol-pool.ts";
import { drawSymbol, glyphOf, shapeOf } from "./symbols.ts";
import { PALETTE, type Theme } from "./theme.ts";
import { TiledLayers } from "./tiled-layers.ts";

export interface Camera {
  lng: number;
  lat: number;
  zoom: number;
}

export type Hovered = Ref | Cell;

export interface Handlers {
  /** Everything under the pointer at `at`, nearest first; empty for the bare map. `onSymbol`: the first is a symbol. */
  onPick(refs: Ref[], at: Position, onSymbol: boolean): void;
  /** `bareAt`: where the pointer is, if neither a symbol nor a hex of counts lies there. */
  onHover(what: Hovered | null, x: number, y: number, bareAt: Position | null): void;
  onCamera(camera: Camera, byHand: boolean): void;
  /** Something could not be loaded or drawn. */
  onError(error: { message: string }): void;
}

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
  #symbols: SymbolLayers;
  #tiled: TiledLayers;
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
    this.map = new MapLibre({
      container,
      style: basemapOf(theme),
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
    this.#symbols = new SymbolLayers(this.map, nowMs);
    this.#tiled = new TiledLayers(this.map);
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
    this.#symbols.draw(state, rebuild);
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
    this.#tiled.forget();
    this.map.setStyle(basemapOf(theme), { diff: false });
  }

  hide(layers: ReadonlySet<string>): void {
    this.#hidden = layers;
    this.#symbols.hide(layers);
    this.#stale.add("areas").add("names").add("callsigns").add("cells");
    if (this.#state) this.draw({ ...this.#state, changes: new Map() });
    this.#writeCallsigns();
  }

  /** Dims the symbols of what is not asked for and shrinks the others; null: neither. */
  dim(isAsked: IsAsked | null): void {
    this.#symbols.dim(isAsked, this.#state ?? EMPTY);
  }

  select(ref: Ref | null): void {
    this.#selected = ref;
    this.#symbols.select(ref);
  }

  /** Asks again for tiles that could not be had while the server was away. */
  refresh(): void {
    if (!this.#styled) return;
    for (const source of [...BASEMAP_SOURCES, ...this.#tiled.sources()]) this.map.refreshTiles(source);
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
    return layer ? this.#symbols.placeOf(layer, ref.id) : null;
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
    this.#symbols.dress(this.#theme);
    for (const layer of topLayers(c)) this.map.addLayer(layer);
    this.#styled = true;
    this.#symbols.resize();
    if (this.#state) this.#drawTiled(this.#state);
    this.#flush();
  }

  #drawTiled(state: State): void {
    if (this.#styled) this.#tiled.draw(state, this.#hidden, PALETTE[this.#theme]);
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
    this.map.on("zoom", () => this.#symbols.resize());
    this.map.on("moveend", (event) => {
      const { lng, lat } = this.map.getCenter();
      this.handlers.onCamera(
        { lng, lat, zoom: this.map.getZoom() },
        Boolean((event as { originalEvent?: unknown }).originalEvent),
      );
      this.#symbols.fan();
      this.#writeCallsigns();
    });
    this.map.on("dragstart", () =>
      this.handlers.onCamera({ ...this.map.getCenter(), zoom: this.map.getZoom() }, true),
    );
  }

  /** Symbols under the pointer. */
  #pick({ lngLat }: MapMouseEvent): Ref[] {
    return this.#symbols.near(lngLat.lng, lngLat.lat);
  }

  #pickCell({ point }: MapMouseEvent): Cell | null {
    return this.#styled && this.#drawnCells ? cellAt(this.map, point) : null;
  }

  /** Areas, and the symbols of tiled layers. */
  #pickDrawn({ point }: MapMouseEvent): Ref[] {
    return this.#styled ? drawnAt(this.map, point, this.#tiled.sources()) : [];
  }

  #tick(): void {
    setTimeout(() => this.#tick(), this.#symbols.repaint(this.#lowMotion.matches));
  }

  #everySecond(): void {
    this.#symbols.fan();
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
    const shown = [...this.#state.layers.values()].filter(({ info }) => !this.#hidden.has(info.id));
    const written = callsigns(shown, this.bounds, (ref) => this.placeOf(ref), this.nowMs());
    if (written.features.length > 0 || had > 0) this.#put("callsigns", written);
  }
}
