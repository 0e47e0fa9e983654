// Features that are areas or lines, and the names on the map, as GeoJSON for MapLibre's own layers. Pure: `picture-map.ts`
// asks for them again only when something of them changed.

import type { FeatureCollection, Feature as GeoJsonFeature } from "geojson";
import { nameOf } from "../format.ts";
import { featuresOf, type Feature, type LayerState } from "../state.ts";
import type { Geometry, Kind, Position } from "../wire.ts";
import { typeOf } from "./symbols.ts";

export interface AreaProperties {
  layer: string;
  /** The feature's id; MapLibre's own `id` must be a number. */
  feature: string;
  kind: Kind;
  name: string;
  /** What it says it is, such as a `gap` among zones. */
  type: string;
  closed: boolean;
}

/** The shapes that are drawn as fills and outlines. */
export function areas(layers: Iterable<LayerState>): FeatureCollection {
  return collect(layers, (_, feature) =>
    feature.geometry && feature.geometry.type !== "Point" ? [feature.geometry] : [],
  );
}

/** A point with a name for everything that is labelled, apart from units, which move. */
export function names(layers: Iterable<LayerState>): FeatureCollection {
  return collect(layers, (layer, feature) => {
    const at = layer.info.kind === "units" ? null : anchor(feature.geometry);
    return at ? [{ type: "Point", coordinates: at }] : [];
  });
}

function collect(
  layers: Iterable<LayerState>,
  shapes: (layer: LayerState, feature: Feature) => Geometry[],
): FeatureCollection {
  const features: GeoJsonFeature[] = [];
  for (const layer of layers) {
    for (const feature of featuresOf(layer)) {
      for (const geometry of shapes(layer, feature)) {
        features.push({ type: "Feature", geometry, properties: describe(layer, feature) });
      }
    }
  }
  return { type: "FeatureCollection", features };
}

function describe(layer: LayerState, feature: Feature): AreaProperties {
  const { id, kind } = layer.info;
  const name = nameOf(kind, feature.id, feature.properties);
  const closed = feature.properties["status"] === "closed" && kind === "incidents";
  return { layer: id, feature: feature.id, kind, name, type: typeOf(kind, feature.properties), closed };
}

/** Where a symbol or a name of this geometry goes: the point itself, the middle of a line, the centroid of the largest ring. */
export function anchor(geometry: Geometry | null): Position | null {
  switch (geometry?.type) {
    case "Point":
      return geometry.coordinates;
    case "LineString":
      return geometry.coordinates[Math.floor(geometry.coordinates.length / 2)] ?? null;
    case "MultiPoint":
      return geometry.coordinates[0] ?? null;
    case "MultiLineString":
      return geometry.coordinates[0]?.[0] ?? null;
    case "Polygon":
      return centroid(geometry.coordinates[0] ?? []);
    case "MultiPolygon": {
      const rings = geometry.coordinates.map((polygon) => polygon[0] ?? []);
      const largest = rings.reduce((best, ring) => (area(ring) > area(best) ? ring : best), []);
      return centroid(largest);
    }
    default:
      return null;
  }
}

function area(ring: Position[]): number {
  return Math.abs(crosses(ring).reduce((sum, { cross }) => sum + cross, 0) / 2);
}

function centroid(ring: Position[]): Position | null {
  if (ring.length === 0) return null;
  let [x, y, twice] = [0, 0, 0];
  for (const { a, b, cross } of crosses(ring)) {
    x += (a[0]! + b[0]!) * cross;
    y += (a[1]! + b[1]!) * cross;
    twice += cross;
  }
  return twice === 0 ? ring[0]! : [x / (3 * twice), y / (3 * twice)];
}

function crosses(ring: Position[]): { a: Position; b: Position; cross: number }[] {
  return ring.slice(1).map((b, i) => {
    const a = ring[i]!;
    return { a, b, cross: a[0]! * b[1]! - b[0]! * a[1]! };
  });
}
