// Finding a feature by what somebody typed: callsigns, ids, titles, names, or coordinates. Pure.

import { nameOf, parseCoordinates, statusOf } from "./format.ts";
import type { Ref } from "./map/symbol-pool.ts";
import { typed } from "./map/symbols.ts";
import { featureById, type State } from "./state.ts";
import type { Kind, LayerInfo, Position, Properties } from "./wire.ts";

export type Hit =
  | { kind: "place"; lng: number; lat: number }
  | {
      kind: "feature";
      ref: Ref;
      of: Kind;
      name: string;
      detail: string;
      properties: Properties;
      /** Where it is if it is not held; null also where that is nowhere. */
      at: Position | null;
    };

/** A feature that the server knows of, whatever is held here. */
export interface Known {
  layer: string;
  id: string;
  name: string;
  status: string | null;
  type: string | null;
  at: Position | null;
}

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
 * middle of a word and go on in the next one (`E4` in Ambulance 4) is no hit. `known` is looked through as well.
 */
export function search(state: State, text: string, known: readonly Known[] = [], limit = 12): Hit[] {
  const wanted = wordsOf(text).join("");
  if (wanted === "") return [];
  const place = parseCoordinates(text);
  if (place) return [{ kind: "place", lng: place[0], lat: place[1] }];
  const found: Found[] = [];
  const take = (each: Omit<Found, "rank">) => {
    const rank = Math.min(rankOf(each.name, wanted), rankOf(each.id, wanted));
    if (rank !== RANK.none) found.push({ ...each, rank });
  };
  for (const { info, features } of state.layers.values()) {
    for (const feature of features) {
      if (!feature) continue;
      const { id, properties } = feature;
      take({ info, id, name: nameOf(info.kind, id, properties), properties, at: null });
    }
  }
  for (const { layer, id, name, status, type, at } of known) {
    const info = state.catalogue.get(layer);
    if (!info || featureById(state, layer, id)) continue;
    take({ info, id, name, properties: { status, ...typed(info.kind, type) }, at });
  }
  found.sort((a, b) => a.rank - b.rank || NATURAL.compare(a.name, b.name) || NATURAL.compare(a.id, b.id));
  return found.slice(0, limit).map(({ name, info, id, properties, at }) => {
    const agency = state.agencies.get(info.agency)?.name ?? info.agency;
    const detail = [agency, statusOf(properties)].filter(Boolean).join(" · ");
    return { kind: "feature", ref: { layer: info.id, id }, of: info.kind, name, detail, properties, at };
  });
}

interface Found {
  rank: number;
  name: string;
  info: LayerInfo;
  id: string;
  properties: Properties;
  at: Position | null;
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
