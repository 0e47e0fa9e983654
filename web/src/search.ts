// Finding a feature by what somebody typed: callsigns, ids, titles, names, or coordinates. Pure.

import { nameOf, parseCoordinates, statusOf } from "./format.ts";
import type { Ref } from "./map/symbol-pool.ts";
import type { Feature, State } from "./state.ts";
import type { Kind, LayerInfo } from "./wire.ts";

export type Hit =
  | { kind: "place"; lng: number; lat: number }
  | { kind: "feature"; ref: Ref; of: Kind; name: string; detail: string };

/** How well a name answers what was typed: the lower the better. */
const RANK = {
  exact: 0,
  prefix: 1,
  wordPrefix: 2,
  initials: 3,
  initialsPrefix: 4,
  withinWord: 5,
  none: Infinity,
};

const NATURAL = new Intl.Collator("en", { numeric: true });

/**
 * The best `limit` hits, by name or id: exact, begins with the text, has a word that does, initials and number (`E4` finds
 * Engine 4, then Engine 41), contains it within a word; equals in natural order of their names. What would begin in the
 * middle of a word and go on in the next one (`E4` in Ambulance 4) is no hit.
 */
export function search(state: State, text: string, limit = 12): Hit[] {
  const wanted = wordsOf(text).join("");
  if (wanted === "") return [];
  const place = parseCoordinates(text);
  if (place) return [{ kind: "place", lng: place[0], lat: place[1] }];
  const found: { rank: number; name: string; info: LayerInfo; feature: Feature }[] = [];
  for (const { info, features } of state.layers.values()) {
    for (const feature of features) {
      if (!feature) continue;
      const name = nameOf(info.kind, feature.id, feature.properties);
      const rank = Math.min(rankOf(name, wanted), rankOf(feature.id, wanted));
      if (rank !== RANK.none) found.push({ rank, name, info, feature });
    }
  }
  found.sort(
    (a, b) =>
      a.rank - b.rank || NATURAL.compare(a.name, b.name) || NATURAL.compare(a.feature.id, b.feature.id),
  );
  return found.slice(0, limit).map(({ name, info, feature }) => {
    const agency = state.agencies.get(info.agency)?.name ?? info.agency;
    const detail = [agency, statusOf(feature.properties)].filter(Boolean).join(" · ");
    return { kind: "feature", ref: { layer: info.id, id: feature.id }, of: info.kind, name, detail };
  });
}

/** Case and accents make no difference; spaces, dashes and the like only part the words (`E-42`, `e 42`). */
function wordsOf(text: string): string[] {
  return text
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .split(/[^\p{L}\p{N}]+/u)
    .filter(Boolean);
}

function rankOf(name: string, wanted: string): number {
  const words = wordsOf(name);
  const from = (at: number) => words.slice(at).join("");
  const whole = from(0);
  if (whole === wanted) return RANK.exact;
  if (whole.startsWith(wanted)) return RANK.prefix;
  if (words.some((_, at) => from(at).startsWith(wanted))) return RANK.wordPrefix;
  const initials = initialsRank(words, wanted);
  if (initials !== RANK.none) return initials;
  return words.some((word) => word.includes(wanted)) ? RANK.withinWord : RANK.none;
}

/** `bc2` is Battalion Chief 2, and begins Battalion Chief 21. */
function initialsRank(words: string[], wanted: string): number {
  const [, letters = "", number = ""] = /^(\p{L}+)(\p{N}+)$/u.exec(wanted) ?? [];
  let rank = RANK.none;
  for (let at = letters.length; letters !== "" && at < words.length; at++) {
    const initials = words.slice(at - letters.length, at).map((word) => word[0]);
    if (initials.join("") !== letters) continue;
    if (words[at] === number) return RANK.initials;
    if (words[at]!.startsWith(number)) rank = RANK.initialsPrefix;
  }
  return rank;
}
