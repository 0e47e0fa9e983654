// What MapLibre's own layers have drawn under the pointer: hexes of summed layers, areas, and what is on vector tiles.

import type { Map as MapLibre, PointLike } from "maplibre-gl";
import { isSame, type Ref } from "./symbol-pool.ts";

/** A hex of a summed layer. */
export interface Cell {
  layer: string;
  cell: string;
}

/** The hex drawn there, once the source `cells` has any. */
export function cellAt(map: MapLibre, at: PointLike): Cell | null {
  const [drawn] = map.queryRenderedFeatures(at, { layers: ["cells-fill"] });
  return (drawn?.properties as Cell | undefined) ?? null;
}

/** Areas there, and the symbols of tiled layers, which are drawn from the sources `tiled`. */
export function drawnAt(map: MapLibre, at: PointLike, tiled: string[]): Ref[] {
  const layers = [
    "incidents-fill",
    "zones-fill",
    "zones-line",
    "gap-zones-fill",
    "coverage-fill",
    "assets-fill",
    ...tiled.flatMap((source) => [`${source}:point`, `${source}:fill`]),
  ];
  const drawn = map.queryRenderedFeatures(at, { layers: layers.filter((id) => map.getLayer(id)) });
  const refs = drawn.map(({ source, properties }) =>
    source.startsWith("tiles:")
      ? { layer: source.slice(6), id: String(properties["id"]) }
      : { layer: properties["layer"] as string, id: properties["feature"] as string },
  );
  return refs.filter((ref, i) => refs.findIndex((each) => isSame(each, ref)) === i);
}
