// The symbols of the picture: frame shape by kind, glyph by type, ring by status. The map's atlas, the panels and the
// images of tiled layers are all made from here, so that one thing looks the same everywhere.

import {
  mdiAccountHardHat,
  mdiAlert,
  mdiAmbulance,
  mdiAnchor,
  mdiBiohazard,
  mdiBridge,
  mdiBulldozer,
  mdiBus,
  mdiCar,
  mdiCarBrakeAlert,
  mdiDogSide,
  mdiDomain,
  mdiFerry,
  mdiFire,
  mdiFireHydrant,
  mdiFireTruck,
  mdiFlagTriangle,
  mdiFireStation,
  mdiGasStation,
  mdiHelicopter,
  mdiHomeFlood,
  mdiHomeGroup,
  mdiHospitalBuilding,
  mdiLadder,
  mdiMedicalBag,
  mdiPineTreeFire,
  mdiPoliceBadge,
  mdiPoliceStation,
  mdiPowerPlugOff,
  mdiQuadcopter,
  mdiRadioTower,
  mdiShieldStar,
  mdiLifebuoy,
  mdiTowTruck,
  mdiTransmissionTower,
  mdiWarehouse,
} from "@mdi/js";
import type { Kind, Properties } from "../wire.ts";

export type Shape = "circle" | "diamond" | "square";

/** The frame by kind. Zones, coverage and roads are drawn as they lie, alerts are listed; a symbol of one would be a square. */
export function shapeOf(kind: Kind): Shape {
  return kind === "units" ? "circle" : kind === "incidents" ? "diamond" : "square";
}

/** Glyph paths in a 24 × 24 box, by type. The position in this list is the glyph's number in the atlas. */
const GLYPHS: readonly (readonly [name: string, path: string])[] = [
  ["unit", mdiCar],
  ["engine", mdiFireTruck],
  ["truck", mdiLadder],
  ["medic", mdiAmbulance],
  ["police", mdiPoliceBadge],
  ["helicopter", mdiHelicopter],
  ["boat", mdiFerry],
  ["drone", mdiQuadcopter],
  ["dozer", mdiBulldozer],
  ["bus", mdiBus],
  ["utility", mdiTransmissionTower],
  ["k9", mdiDogSide],
  ["sar", mdiLifebuoy],
  ["usar", mdiAccountHardHat],
  ["tow", mdiTowTruck],
  ["guard", mdiShieldStar],
  ["incident", mdiAlert],
  ["fire", mdiFire],
  ["flood", mdiHomeFlood],
  ["hazmat", mdiBiohazard],
  ["crash", mdiCarBrakeAlert],
  ["medical", mdiMedicalBag],
  ["outage", mdiPowerPlugOff],
  ["wildland", mdiPineTreeFire],
  ["asset", mdiDomain],
  ["fire_station", mdiFireStation],
  ["hospital", mdiHospitalBuilding],
  ["hydrant", mdiFireHydrant],
  ["shelter", mdiHomeGroup],
  ["icp", mdiFlagTriangle],
  ["port", mdiAnchor],
  ["bridge", mdiBridge],
  ["fuel", mdiGasStation],
  ["comms", mdiRadioTower],
  ["police_station", mdiPoliceStation],
  ["depot", mdiWarehouse],
];

const NUMBER = new Map(GLYPHS.map(([name], i) => [name, i]));
const DEFAULT: Record<Kind, string> = {
  units: "unit",
  incidents: "incident",
  assets: "asset",
  zones: "asset",
  coverage: "asset",
  roads: "asset",
  alerts: "incident",
};
const TYPE_PROPERTY: Record<Kind, string> = {
  units: "unit_type",
  incidents: "incident_type",
  assets: "asset_type",
  zones: "zone_type",
  coverage: "capability",
  roads: "road_class",
  alerts: "severity",
};

/** What a feature says it is (`engine`, `flood` …), or "". */
export function typeOf(kind: Kind, properties: Properties): string {
  const type = properties[TYPE_PROPERTY[kind]];
  return typeof type === "string" ? type : "";
}

/** The properties of a feature of which only this is known. */
export function typed(kind: Kind, type: string | null): Properties {
  return type === null ? {} : { [TYPE_PROPERTY[kind]]: type };
}

/** The glyph's number in the atlas. A type nobody drew a glyph for gets its kind's own. */
export function glyphOf(kind: Kind, properties: Properties): number {
  return NUMBER.get(typeOf(kind, properties)) ?? NUMBER.get(DEFAULT[kind])!;
}

export function glyphPath(number: number): string {
  return GLYPHS[number]![1];
}

/** Incidents are red whoever reports them; everything else wears its agency's colour. */
export const INCIDENT_COLOR = "#b00020";
export function colorOf(kind: Kind, agencyColor: string): string {
  return kind === "incidents" ? INCIDENT_COLOR : agencyColor;
}

/** Ring by status, as the shader numbers it. */
export enum Ring {
  None = 0,
  EnRoute = 1,
  OnScene = 2,
  Distress = 3,
  Closed = 4,
}

export function ringOf(kind: Kind, properties: Properties): Ring {
  switch (properties["status"]) {
    case "distress":
      return kind === "units" ? Ring.Distress : Ring.None;
    case "dispatched":
    case "en_route":
    case "transporting":
      return kind === "units" ? Ring.EnRoute : Ring.None;
    case "on_scene":
      return kind === "units" ? Ring.OnScene : Ring.None;
    case "closed":
      return Ring.Closed;
    default:
      return Ring.None;
  }
}

/** Cells of the glyph atlas: 8 × 8, 64 pixels each, so that a glyph stays crisp at twice its usual size. */
export const ATLAS_SIDE = 8;
const CELL_PX = 64;
const MARGIN_PX = 4;

/** The atlas as an image: white glyphs on nothing. */
export function drawAtlas(): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = ATLAS_SIDE * CELL_PX;
  const pen = canvas.getContext("2d")!;
  pen.fillStyle = "#fff";
  GLYPHS.forEach(([, path], i) => {
    pen.save();
    pen.translate((i % ATLAS_SIDE) * CELL_PX + MARGIN_PX, Math.floor(i / ATLAS_SIDE) * CELL_PX + MARGIN_PX);
    pen.scale((CELL_PX - 2 * MARGIN_PX) / 24, (CELL_PX - 2 * MARGIN_PX) / 24);
    pen.fill(new Path2D(path));
    pen.restore();
  });
  return canvas;
}

/** A frame of `size` around the middle, as an SVG path in a 24 × 24 box; also good for `Path2D`. */
export const FRAME_PATH: Record<Shape, string> = {
  circle: "M12 2a10 10 0 1 0 0 20a10 10 0 1 0 0-20z",
  diamond: "M12 0.6L23.4 12L12 23.4L0.6 12z",
  square: "M3 3h18v18H3z",
};

/** One symbol as pixels, for MapLibre's own layers (tiled features). `sizePx` is the width of the image. */
export function drawSymbol(shape: Shape, glyph: number, color: string, sizePx: number): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = sizePx;
  const pen = canvas.getContext("2d")!;
  pen.scale(sizePx / 28, sizePx / 28);
  pen.translate(2, 2);
  const frame = new Path2D(FRAME_PATH[shape]);
  pen.lineWidth = 3;
  pen.strokeStyle = "#fff";
  pen.stroke(frame);
  pen.fillStyle = color;
  pen.fill(frame);
  pen.translate(5.5, 5.5);
  pen.scale(13 / 24, 13 / 24);
  pen.fillStyle = "#fff";
  pen.fill(new Path2D(glyphPath(glyph)));
  return pen.getImageData(0, 0, sizePx, sizePx);
}
