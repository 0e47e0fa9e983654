// The two themes as the map needs them: one colour a role. The panels' colours are in `page.css`.

export type Theme = "light" | "dark";

/** Colours of the basemap and of what the picture draws as areas and lines. */
export interface Palette {
  water: string;
  land: string;
  green: string;
  grey: string;
  building: string;
  county: string;
  state: string;
  border: string;
  rail: string;
  street: string;
  primary: string;
  motorway: string;
  casing: string;
  text: string;
  halo: string;
  incident: string;
  zone: string;
  coverage: string;
  gap: string;
  overlap: string;
  /** What a variant uncovers, and what it covers. */
  lost: string;
  won: string;
  trail: string;
  label: string;
  distressText: string;
}

export const PALETTE: Record<Theme, Palette> = {
  light: {
    water: "#b9d0de",
    land: "#f3f1ec",
    green: "#dfe8d3",
    grey: "#e6e3dd",
    building: "#dcd6cb",
    county: "#c9c4ba",
    state: "#9c958a",
    border: "#7d7468",
    rail: "#b3ada3",
    street: "#ffffff",
    primary: "#f7dfae",
    motorway: "#e8b06a",
    casing: "#d3cdc2",
    text: "#4a4640",
    halo: "#ffffff",
    incident: "#b00020",
    zone: "#b34700",
    coverage: "#00639c",
    gap: "#a8003c",
    overlap: "#00639c",
    lost: "#7a1fa2",
    won: "#00654a",
    trail: "#5b2a86",
    label: "#1c1b19",
    distressText: "#c8001e",
  },
  dark: {
    water: "#0a1219",
    land: "#18222c",
    green: "#17291f",
    grey: "#1d2832",
    building: "#222e39",
    county: "#2a3744",
    state: "#43546a",
    border: "#5e7391",
    rail: "#38444f",
    street: "#2b3845",
    primary: "#4a4334",
    motorway: "#6d5a3a",
    casing: "#121a22",
    text: "#a9b7c6",
    halo: "#0d1720",
    incident: "#ff6b7f",
    zone: "#ff9d4d",
    coverage: "#5cb8f0",
    gap: "#ffb000",
    overlap: "#5cb8f0",
    lost: "#ff8ad8",
    won: "#4fd1a0",
    trail: "#d3a6ff",
    label: "#f2f5f8",
    distressText: "#ff8a99",
  },
};
