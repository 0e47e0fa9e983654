// The keys of the page: which does what, and where they are not ours because somebody is typing.

import type { Page } from "../page.ts";

export const KEYS: readonly (readonly [key: string, what: string])[] = [
  ["/", "Search units, incidents and coordinates"],
  ["Esc", "Close or deselect"],
  ["h", "Home: the whole picture"],
  ["f", "Follow the selected unit"],
  ["t", "Trail of the selected unit"],
  ["v", "Table of the units in view"],
  ["g", "Coverage: gaps, what if, over time"],
  ["x", "The hex in the middle of the map, once there is an answer"],
  ["d", "Theme: light, dark, automatic"],
  ["+ −", "Zoom"],
  ["← ↑ → ↓", "Move the map, when it has the focus"],
  ["?", "This help"],
];

export const NEXT_THEME = { auto: "light", light: "dark", dark: "auto" } as const;

export function onKey(page: Page, event: KeyboardEvent): void {
  if (event.key === "Escape") return page.back();
  const target = event.target as HTMLElement;
  const typing = target.closest("input:not([type=checkbox]), select, textarea") !== null;
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const act = ACTIONS[event.key];
  if (!act) return;
  event.preventDefault();
  act(page);
}

const ACTIONS: Record<string, (page: Page) => void> = {
  "/": (page) => page.focusSearch(),
  "?": (page) => (page.help.value = !page.help.value),
  h: (page) => page.home(),
  f: (page) => page.toggle("follow"),
  t: (page) => page.toggle("trail"),
  v: (page) => page.toggle("table"),
  g: (page) => page.toggle("gap"),
  x: (page) => void page.planner.pin(page.map.center),
  d: (page) => page.set({ theme: NEXT_THEME[page.settings.value.theme] }),
  "+": (page) => page.map.map.zoomIn(),
  "=": (page) => page.map.map.zoomIn(),
  "-": (page) => page.map.map.zoomOut(),
};
