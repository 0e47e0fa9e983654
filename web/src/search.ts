// Finding a feature by what somebody typed: callsigns, ids, titles, names, or coordinates. Pure.

import { nameOf, parseCoordinates, statusOf } from "./format.ts";
import type { Ref } from "./map/symbol-pool.ts";
import type { State } from "./state.ts";
import type { Kind } from "./wire.ts";

export type Hit =
  | { kind: "place"; lng: number; lat: number }
  | { kind: "feature"; ref: Ref; of: Kind; name: string; detail: string };

/** The best `limit` hits: exact names first, then those that begin with the text, then those that contain it. */
export function search(state: State, text: string, limit = 12): Hit[] {
  const wanted = fold(text);
  if (wanted === "") return [];
  const place = parseCoordinates(text);
  if (place) return [{ kind: "place", lng: place[0], lat: place[1] }];
  const hits: { rank: number; name: string; hit: Hit }[] = [];
  for (const { info, features } of state.layers.values()) {
    for (const feature of features) {
      if (!feature) continue;
      const name = nameOf(info.kind, feature.id, feature.properties);
      const rank = Math.min(rankOf(fold(name), wanted), rankOf(fold(feature.id), wanted));
      if (rank === Infinity) continue;
      const agency = state.agencies.get(info.agency)?.name ?? info.agency;
      const detail = [agency, statusOf(feature.properties)].filter(Boolean).join(" · ");
      hits.push({
        rank,
        name,
        hit: { kind: "feature", ref: { layer: info.id, id: feature.id }, of: info.kind, name, detail },
      });
    }
  }
  hits.sort((a, b) => a.rank - b.rank || a.name.localeCompare(b.name, "en", { numeric: true }));
  return hits.slice(0, limit).map(({ hit }) => hit);
}

/** Case, accents and the dashes that people leave out (`E-42`, `e42`) make no difference. */
function fold(text: string): string {
  return text
    .normalize("NFKD")
    .replace(/[\p{M}\s_-]/gu, "")
    .toLowerCase();
}

function rankOf(name: string, wanted: string): number {
  if (name === wanted) return 0;
  if (name.startsWith(wanted)) return 1;
  return name.includes(wanted) ? 2 : Infinity;
}
