// Drawing one polygon on the map with terra-draw: corner by corner, Enter or a click on the first corner ends, Esc gives up.
// Loaded only when somebody draws.

import type { Map as MapLibre } from "maplibre-gl";
import { TerraDraw, TerraDrawPolygonMode } from "terra-draw";
import { TerraDrawMapLibreGLAdapter } from "terra-draw-maplibre-gl-adapter";
import type { Geometry } from "../wire.ts";

/** The polygon drawn, or null if `signal` was aborted first. */
export function drawArea(map: MapLibre, color: string, signal: AbortSignal): Promise<Geometry | null> {
  const hex = color as `#${string}`;
  const draw = new TerraDraw({
    adapter: new TerraDrawMapLibreGLAdapter({ map }),
    modes: [
      new TerraDrawPolygonMode({
        styles: {
          fillColor: hex,
          fillOpacity: 0.15,
          outlineColor: hex,
          outlineWidth: 3,
          closingPointColor: hex,
          closingPointWidth: 7,
        },
      }),
    ],
  });
  return new Promise((resolve) => {
    const end = (geometry: Geometry | null) => {
      draw.stop();
      resolve(geometry);
    };
    signal.addEventListener("abort", () => end(null), { once: true });
    draw.on("finish", (id) => {
      const feature = draw.getSnapshotFeature(id);
      end((feature?.geometry as Geometry | undefined) ?? null);
    });
    draw.start();
    draw.setMode("polygon");
  });
}
