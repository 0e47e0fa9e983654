// Layers that come as vector tiles: put on the map, pointed at their newest revision, and taken off. `overlays.ts` says
// what they look like; `picture-map.ts` says which are wanted.

import type { Map as MapLibre } from "maplibre-gl";
import type { LayerState, State } from "../state.ts";
import { tileLayers, tileSource } from "./overlays.ts";
import { colorOf } from "./symbols.ts";
import type { Palette } from "./theme.ts";

/** A tiled layer that changes all the time is fetched again no more often than this. */
const RETILE_MS = 3000;

export class TiledLayers {
  /** For each layer drawn: the revision its tiles are of, and when they were asked for. */
  #drawn = new Map<string, { revision: string; at: number }>();

  constructor(private readonly map: MapLibre) {}

  /** Draws the tiled layers of `state` that are not `hidden`; the style must be loaded. */
  draw(state: State, hidden: ReadonlySet<string>, palette: Palette): void {
    const wanted = new Map<string, LayerState>();
    for (const layer of state.layers.values()) {
      if (layer.info.stream === "tiled" && !hidden.has(layer.info.id)) wanted.set(layer.info.id, layer);
    }
    for (const [name, { revision, at }] of this.#drawn) {
      const layer = wanted.get(name);
      const fresh = layer && (revision === revisionOf(layer) || performance.now() - at < RETILE_MS);
      if (fresh || (layer && this.#retile(layer))) wanted.delete(name);
      else this.#untile(name);
    }
    for (const layer of wanted.values()) this.#tile(layer, state, palette);
  }

  /** The style that they were drawn on is gone. */
  forget(): void {
    this.#drawn.clear();
  }

  /** MapLibre's names of the sources drawn. */
  sources(): string[] {
    return [...this.#drawn.keys()].map((name) => `tiles:${name}`);
  }

  #tile(layer: LayerState, state: State, palette: Palette): void {
    const { info, revision } = layer;
    const source = `tiles:${info.id}`;
    const color = colorOf(info.kind, state.agencies.get(info.agency)?.color ?? "#4d4d4d");
    this.map.addSource(source, tileSource(location.origin, info, revision));
    for (const each of tileLayers(info, color, palette)) this.map.addLayer(each, "trail-line");
    this.#drawn.set(info.id, { revision: revisionOf(layer), at: performance.now() });
  }

  /** Points a tiled layer at its new revision; the old tiles stay until the new ones are there. */
  #retile(layer: LayerState): boolean {
    const source = this.map.getSource(`tiles:${layer.info.id}`);
    if (!source || !("setTiles" in source)) return false;
    const { tiles } = tileSource(location.origin, layer.info, layer.revision) as { tiles: string[] };
    (source as unknown as { setTiles(tiles: string[]): void }).setTiles(tiles);
    this.#drawn.set(layer.info.id, { revision: revisionOf(layer), at: performance.now() });
    return true;
  }

  #untile(name: string): void {
    const source = `tiles:${name}`;
    for (const part of ["fill", "line", "point"]) {
      if (this.map.getLayer(`${source}:${part}`)) this.map.removeLayer(`${source}:${part}`);
    }
    if (this.map.getSource(source)) this.map.removeSource(source);
    this.#drawn.delete(name);
  }
}

function revisionOf({ info, revision }: LayerState): string {
  return `${info.epoch}-${revision}`;
}
