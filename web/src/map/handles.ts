// Things on the map that are taken by hand or by arrow keys and put elsewhere: the units and stations of a what-if.

import { type Map as MapLibre, Marker } from "maplibre-gl";
import type { Position } from "../wire.ts";

export interface Handle {
  key: string;
  at: Position;
  label: string;
  /** Whether it is where the picture has it, moved from there, or one that is not on the picture at all. */
  kind: "here" | "moved" | "added";
}

/** How far an arrow key moves a handle; with Shift ten times as far. */
const STEP_PX = 8;

const ARROWS: Record<string, [x: number, y: number]> = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
};

export class Handles {
  #markers = new Map<string, Marker>();
  #held: string | null = null;

  constructor(
    private readonly map: MapLibre,
    /** It was moved to there; `done` when it was let go. */
    private readonly onMove: (key: string, to: [lng: number, lat: number], done: boolean) => void,
  ) {}

  show(handles: Handle[]): void {
    const wanted = new Set(handles.map(({ key }) => key));
    for (const [key, marker] of this.#markers) {
      if (wanted.has(key)) continue;
      marker.remove();
      this.#markers.delete(key);
    }
    for (const handle of handles) this.#show(handle);
  }

  #show({ key, at, label, kind }: Handle): void {
    const marker = this.#markers.get(key) ?? this.#made(key, at);
    const element = marker.getElement();
    element.className = element.className.replace(/\bhandle\S*/g, "").trim();
    element.classList.add("handle", `handle-${kind}`);
    element.setAttribute("aria-label", `${label}: drag, or move with the arrow keys`);
    element.textContent = label;
    if (key !== this.#held) marker.setLngLat([at[0]!, at[1]!]);
  }

  #made(key: string, at: Position): Marker {
    const element = document.createElement("button");
    const marker = new Marker({ element, draggable: true, anchor: "center" }).setLngLat([at[0]!, at[1]!]);
    const move = (done: boolean) => {
      this.#held = done ? null : key;
      const { lng, lat } = marker.getLngLat();
      this.onMove(key, [lng, lat], done);
    };
    marker.on("drag", () => move(false));
    marker.on("dragend", () => move(true));
    // a click on a handle is no click on the map
    element.addEventListener("click", (event) => event.stopPropagation());
    element.addEventListener("keydown", (event) => {
      const arrow = ARROWS[event.key];
      if (!arrow) return;
      event.preventDefault();
      event.stopPropagation();
      const px = STEP_PX * (event.shiftKey ? 10 : 1);
      const { x, y } = this.map.project(marker.getLngLat());
      marker.setLngLat(this.map.unproject([x + arrow[0] * px, y + arrow[1] * px]));
      move(true);
    });
    marker.addTo(this.map);
    this.#markers.set(key, marker);
    return marker;
  }
}
