// Makes MapLibre ready to draw the basemap: its worker, and the tiles and fonts that our own server holds.
// `style.ts` says what the basemap looks like.

import { addProtocol, setWorkerUrl, type StyleSpecification } from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?worker&url";
import "maplibre-gl/dist/maplibre-gl.css";
import { PMTiles, Protocol } from "pmtiles";
import fontUrl from "@fontsource/public-sans/files/public-sans-latin-500-normal.woff2?url";
import fontBoldUrl from "@fontsource/public-sans/files/public-sans-latin-700-normal.woff2?url";
import { RangeSource } from "./range-source.ts";
import { basemapStyle } from "./style.ts";
import type { Theme } from "./theme.ts";

/** The sources of the basemap's style, each from a file of its own. */
export const BASEMAP_SOURCES = ["world", "city"] as const;

setWorkerUrl(workerUrl);
const basemap = new Protocol();
for (const name of ["world", "chicago"]) {
  const url = new URL(`basemap/${name}.pmtiles`, document.baseURI).href;
  basemap.add(new PMTiles(new RangeSource(url)));
}
addProtocol("pmtiles", basemap.tile);

/** The style of the basemap, with where its tiles and fonts are. */
export function basemapOf(theme: Theme): StyleSpecification {
  const at = (path: string) => new URL(path, document.baseURI).href;
  return basemapStyle(theme, {
    basemap: at("basemap/"),
    font: at(fontUrl),
    fontBold: at(fontBoldUrl),
  });
}
