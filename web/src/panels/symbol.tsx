// A symbol of the map as inline SVG, for lists and cards.

import { colorOf, FRAME_PATH, glyphOf, glyphPath, shapeOf } from "../map/symbols.ts";
import type { Kind, Properties } from "../wire.ts";

export function Symbol({ kind, color, of = {} }: { kind: Kind; color: string; of?: Properties }) {
  return (
    <svg class={`symbol of-${kind}`} viewBox="0 0 24 24" aria-hidden="true">
      {kind === "roads" ? (
        <path d="M3 20C9 18 7 7 21 4" fill="none" stroke={color} stroke-width="2.5" />
      ) : kind === "alerts" ? (
        <path d={glyphPath(glyphOf(kind, of))} fill={color} />
      ) : kind === "zones" || kind === "coverage" ? (
        <rect
          x="3"
          y="3"
          width="18"
          height="18"
          fill={color}
          fill-opacity="0.25"
          stroke={color}
          stroke-width="3"
          stroke-dasharray={kind === "zones" ? "5 3" : "2 3"}
        />
      ) : (
        <>
          <path d={FRAME_PATH[shapeOf(kind)]} fill={colorOf(kind, color)} stroke="#fff" stroke-width="1.5" />
          <path d={glyphPath(glyphOf(kind, of))} fill="#fff" transform="translate(5.6 5.6) scale(0.533)" />
        </>
      )}
    </svg>
  );
}
