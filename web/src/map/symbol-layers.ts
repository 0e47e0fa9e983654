// The symbols of assets, units and incidents: a pool and a layer each, how large they are, how often they are repainted,
// which is under the pointer. `picture-map.ts` hands them the state.

import type { Map as MapLibre } from "maplibre-gl";
import { type LayerState, type State, WHOLE } from "../state.ts";
import type { Kind, Position } from "../wire.ts";
import { type IsAsked, type Ref, SymbolPool } from "./symbol-pool.ts";
import { shapeOf } from "./symbols.ts";
import type { Theme } from "./theme.ts";
import { type Inks, mercatorX, mercatorY, SymbolLayer } from "./units.ts";

const INKS: Record<Theme, Inks> = {
  light: { hollow: [1, 1, 1], ink: [0.27, 0.27, 0.27] },
  dark: { hollow: [0.07, 0.1, 0.14], ink: [0.8, 0.85, 0.9] },
};

/** Drawn from below to above. */
const SYMBOL_KINDS = ["assets", "units", "incidents"] as const satisfies Kind[];
type SymbolKind = (typeof SYMBOL_KINDS)[number];

/** The layers of names that are written over the symbols of a kind. Incidents lie above everything. */
const NAMES_ABOVE = { assets: "asset-names", units: "incident-names", incidents: undefined } as const;

/** How far beside a symbol a click still means it, CSS pixels. */
const SLACK_PX = 6;

/** Below this zoom a street is thinner than a symbol: fanning out would say more than it shows. */
const FAN_ZOOM = 12;

/** How large symbols are over hexes that somebody looks at, as a part of what they are otherwise. */
const SHRUNK = 0.65;

export class SymbolLayers {
  #pools: Record<SymbolKind, SymbolPool>;
  #layers: Record<SymbolKind, SymbolLayer>;

  constructor(
    private readonly map: MapLibre,
    private readonly nowMs: () => number,
  ) {
    const epochMs = nowMs();
    const pool = (kind: Kind) => new SymbolPool(kind, epochMs);
    this.#pools = { assets: pool("assets"), units: pool("units"), incidents: pool("incidents") };
    const layer = (kind: SymbolKind) =>
      new SymbolLayer(`symbols:${kind}`, shapeOf(kind), this.#pools[kind].instances, nowMs);
    this.#layers = { assets: layer("assets"), units: layer("units"), incidents: layer("incidents") };
  }

  /** Puts the layers onto a style that has just loaded and has the layers of names. */
  dress(theme: Theme): void {
    for (const kind of SYMBOL_KINDS) {
      this.#layers[kind].inks = INKS[theme];
      this.map.addLayer(this.#layers[kind], NAMES_ABOVE[kind]);
    }
  }

  /** Draws what has changed, or everything anew. */
  draw(state: State, rebuild: boolean): void {
    for (const kind of SYMBOL_KINDS) this.#drawKind(kind, state, rebuild);
  }

  hide(layers: ReadonlySet<string>): void {
    for (const kind of SYMBOL_KINDS) {
      this.#pools[kind].hide(layers);
      this.#layers[kind].dirty = true;
    }
  }

  /** Dims what is not asked for and shrinks the rest, so that what lies below is seen; null: neither. */
  dim(isAsked: IsAsked | null, state: State): void {
    if (isAsked === this.#pools.units.isAsked) return;
    for (const kind of SYMBOL_KINDS) {
      this.#pools[kind].isAsked = isAsked;
      this.#layers[kind].shrunk = isAsked ? SHRUNK : 1;
    }
    this.draw(state, true);
  }

  select(ref: Ref | null): void {
    for (const kind of SYMBOL_KINDS) {
      this.#pools[kind].select(ref);
      this.#layers[kind].anySelected = ref !== null;
      this.#layers[kind].dirty = true;
    }
    this.map.triggerRepaint();
  }

  /** Where a feature of `layer` is drawn right now. */
  placeOf(layer: LayerState, id: string): Position | null {
    for (const kind of SYMBOL_KINDS) {
      const instance = this.#pools[kind].instanceOf(layer, id);
      if (instance === undefined) continue;
      const { x, y } = this.#pools[kind].instances.place(instance, this.nowMs());
      return [(x - 0.5) * 360, (Math.atan(Math.sinh(Math.PI * (1 - 2 * y))) * 180) / Math.PI];
    }
    return null;
  }

  /** What a pointer there means, nearest first. */
  near(lng: number, lat: number): Ref[] {
    const x = mercatorX(lng);
    const y = mercatorY(lat);
    const world = 512 * 2 ** this.map.getZoom();
    const found: { ref: Ref; distance: number }[] = [];
    for (const kind of [...SYMBOL_KINDS].reverse()) {
      const { size, shrunk } = this.#layers[kind];
      const radius = ((size * shrunk) / 2 + SLACK_PX) / world;
      for (const { i, distance } of this.#pools[kind].instances.near(x, y, radius, this.nowMs())) {
        const ref = this.#pools[kind].owner(i);
        if (ref) found.push({ ref, distance });
      }
    }
    found.sort((a, b) => a.distance - b.distance);
    return found.map(({ ref }) => ref);
  }

  /** Symbols grow with zoom: large enough to read at a city's zoom, not so large that a region is one blot. */
  resize(): void {
    const zoom = this.map.getZoom();
    const grown = (from: number, to: number) => from + (to - from) * Math.min(1, Math.max(0, (zoom - 9) / 6));
    this.#layers.units.size = grown(10, 33);
    this.#layers.incidents.size = grown(15, 36);
    this.#layers.assets.size = grown(8, 29);
    for (const kind of SYMBOL_KINDS) {
      this.#pools[kind].instances.symbolSize = this.#layers[kind].size / (512 * 2 ** zoom);
    }
  }

  /** Units that stand at one spot are drawn around it, from the zoom on at which streets can be told apart. */
  fan(): void {
    const { units, incidents } = this.#pools;
    if (this.map.getZoom() < FAN_ZOOM) units.instances.unfan();
    else units.instances.fan(incidents.places(this.nowMs()));
    this.#layers.units.dirty = true;
  }

  /**
   * Repaints as often as motion shows: the fastest unit moves a pixel in so many milliseconds, and below one pixel a
   * repaint costs power and shows nothing. Between 1 a second (ages fade) and 20. Returns when to do so again, ms.
   */
  repaint(lowMotion: boolean): number {
    const { instances } = this.#pools.units;
    const metresPerPixel =
      (40075016 * Math.cos((this.map.getCenter().lat * Math.PI) / 180)) / (512 * 2 ** this.map.getZoom());
    const pixelsPerS = lowMotion ? 0 : instances.fastestMps / metresPerPixel;
    const delayMs = Math.min(1000, Math.max(50, 1000 / pixelsPerS));
    const blinking = instances.distressed > 0 && !lowMotion;
    this.#layers.units.blink = blinking && Math.floor(performance.now() / 500) % 2 ? 0 : 1;
    if (instances.count > 0) this.map.triggerRepaint();
    return blinking ? Math.min(delayMs, 500) : delayMs;
  }

  #drawKind(kind: SymbolKind, state: State, rebuild: boolean): void {
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
    this.#layers[kind].dirty = true;
    this.map.triggerRepaint();
  }
}
