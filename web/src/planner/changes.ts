// What is changed in a what-if: as the server takes it, as a list that is edited, and as text for the address. Pure.

import type { Ref } from "../map/symbol-pool.ts";

export type Change =
  | { do: "remove" | "commit" | "bring_back"; layer: string; id: string }
  | { do: "move"; layer: string; id: string; to: [lng: number, lat: number] }
  | { do: "add"; lng: number; lat: number; reach_m: number | null; name: string }
  | { do: "switch_off"; layer: string };

/** As many as the address can carry; the server takes more. */
export const MOST_CHANGES = 50;

/**
 * `changes` with one more, the last word on whatever it is about: a feature is either removed, committed or brought back,
 * and stands in one place. What is removed need not be moved.
 */
export function withChange(changes: Change[], change: Change): Change[] {
  const kept = changes.filter((each) => !isOverruled(each, change));
  return kept.length < MOST_CHANGES ? [...kept, change] : changes;
}

function isOverruled(before: Change, after: Change): boolean {
  if (after.do === "switch_off") return "layer" in before && before.layer === after.layer;
  if (!("id" in after) || !("id" in before)) return false;
  if (before.layer !== after.layer || before.id !== after.id) return false;
  if (after.do === "move") return before.do === "move" || before.do === "remove";
  return before.do !== "move" || after.do === "remove";
}

/** `changes` with the one at `index` standing elsewhere: something that was moved or added. */
export function placedAt(changes: Change[], index: number, [lng, lat]: [number, number]): Change[] {
  return changes.map((each, i) => {
    if (i !== index) return each;
    if (each.do === "move") return { ...each, to: [lng, lat] };
    return each.do === "add" ? { ...each, lng, lat } : each;
  });
}

export function without(changes: Change[], index: number): Change[] {
  return changes.filter((_, i) => i !== index);
}

/** What `change` does, given what people call features and layers. */
export function told(
  change: Change,
  nameOf: (ref: Ref) => string,
  titleOf: (layer: string) => string,
): string {
  switch (change.do) {
    case "remove":
      return `${nameOf(change)} is removed`;
    case "commit":
      return `${nameOf(change)} is committed`;
    case "bring_back":
      return `${nameOf(change)} counts`;
    case "move":
      return `${nameOf(change)} moves`;
    case "add":
      return `${change.name} is added${change.reach_m === null ? "" : `, reaching ${change.reach_m.toLocaleString("en-US")} m`}`;
    case "switch_off":
      return `${titleOf(change.layer)} is switched off`;
  }
}

/** A name for what is added next: the first of `New 1`, `New 2` … that is free. */
export function newName(changes: Change[]): string {
  const taken = new Set(changes.map((each) => (each.do === "add" ? each.name : "")));
  for (let n = 1; ; n++) if (!taken.has(`New ${n}`)) return `New ${n}`;
}

const LETTER = { remove: "r", commit: "c", bring_back: "k", move: "m", add: "n", switch_off: "o" } as const;

/** `r~cfd.units~E1;n~-87.63~41.88~1500~New 1`: what `readChanges` turns back; places to a metre. */
export function writeChanges(changes: Change[]): string {
  return changes.map((each) => [LETTER[each.do], ...fields(each)].map(escaped).join("~")).join(";");
}

function fields(change: Change): (string | number)[] {
  switch (change.do) {
    case "move":
      return [change.layer, change.id, ...change.to.map(rounded)];
    case "add":
      return [rounded(change.lng), rounded(change.lat), change.reach_m ?? "", change.name];
    case "switch_off":
      return [change.layer];
    default:
      return [change.layer, change.id];
  }
}

function escaped(value: string | number): string {
  return String(value).replace(/[%~;]/g, encode);
}

/** Percent and hexadecimal; `encodeURIComponent` leaves the tilde as it is. */
function encode(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
}

function rounded(degrees: number): number {
  return Number(degrees.toFixed(5));
}

/** The changes that `text` says; those that it says badly are left out. */
export function readChanges(text: string | null): Change[] {
  return (text ?? "")
    .split(";")
    .flatMap((each) => {
      const change = readChange(
        each.split("~").map((field) => field.replace(/%(25|7E|3B)/g, decodeURIComponent)),
      );
      return change ? [change] : [];
    })
    .slice(0, MOST_CHANGES);
}

function readChange([letter, ...rest]: string[]): Change | null {
  switch (letter) {
    case "m": {
      const [layer, id, lng, lat] = rest;
      return layer && id && isPlace(lng, lat)
        ? { do: "move", layer, id, to: [Number(lng), Number(lat)] }
        : null;
    }
    case "n": {
      const [lng, lat, reach, name] = rest;
      if (!name || !isPlace(lng, lat)) return null;
      const reach_m = reach === "" ? null : Number(reach);
      if (reach_m !== null && !(reach_m >= 0)) return null;
      return { do: "add", lng: Number(lng), lat: Number(lat), reach_m, name };
    }
    case "o":
      return rest[0] ? { do: "switch_off", layer: rest[0] } : null;
    default: {
      const what = ({ r: "remove", c: "commit", k: "bring_back" } as const)[letter ?? ""];
      const [layer, id] = rest;
      return what && layer && id ? { do: what, layer, id } : null;
    }
  }
}

function isPlace(lng: string | undefined, lat: string | undefined): boolean {
  return !!lng && !!lat && Math.abs(Number(lng)) <= 180 && Math.abs(Number(lat)) <= 90;
}
