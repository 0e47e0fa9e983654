// Which instance of which symbol layer draws which feature. It turns the changes that `state.ts` reports into writes to the
// instances, and a found instance back into a feature; `symbol-layers.ts` owns one for units, incidents and assets each.

import { MOVE_WIDTH } from "../holding.ts";
import type { Change, Feature, LayerState } from "../state.ts";
import { goesStale } from "../state.ts";
import type { Kind, LayerInfo, Properties } from "../wire.ts";
import { anchor } from "./areas.ts";
import { colorOf, glyphOf, ringOf } from "./symbols.ts";
import { Flag, Instances, type Place } from "./units.ts";

export interface Ref {
  layer: string;
  id: string;
}

/** Whether a feature is part of what is being looked at. */
export type IsAsked = (info: LayerInfo, properties: Properties) => boolean;

export class SymbolPool {
  readonly instances: Instances;
  /** Instance by slot for each layer; -1 or undefined: the slot draws nothing. */
  #bySlot = new Map<string, number[]>();
  #owner: (Ref | undefined)[] = [];
  #hidden: ReadonlySet<string> = new Set();
  #selected: Ref | null = null;
  /** What is drawn from now on is dimmed unless this holds; null: nothing is. */
  isAsked: IsAsked | null = null;

  constructor(
    readonly kind: Kind,
    epochMs: number,
  ) {
    this.instances = new Instances(epochMs);
  }

  /** Draws a layer's changes; `color` is its agency's. */
  change(layer: LayerState, change: Change, color: string): void {
    if (change.reset) {
      this.drop(layer.info.id);
      layer.features.forEach((feature, slot) => feature && this.#draw(layer.info, slot, feature, color));
      return;
    }
    const bySlot = this.#slots(layer.info.id);
    for (const slot of change.gone) this.#erase(bySlot, slot);
    for (const slot of change.put) {
      const feature = layer.features[slot];
      if (feature) this.#draw(layer.info, slot, feature, color);
    }
    this.#move(change, bySlot);
  }

  /** Erases all of a layer. */
  drop(layer: string): void {
    const bySlot = this.#bySlot.get(layer);
    if (!bySlot) return;
    this.#bySlot.delete(layer);
    bySlot.forEach((_, slot) => this.#erase(bySlot, slot));
  }

  layers(): string[] {
    return [...this.#bySlot.keys()];
  }

  hide(layers: ReadonlySet<string>): void {
    this.#hidden = layers;
    this.#owner.forEach((ref, i) => ref && this.instances.setFlag(i, Flag.Shown, !layers.has(ref.layer)));
  }

  /** Marks one feature, whether it is there already or comes later. */
  select(ref: Ref | null): void {
    this.#selected = ref;
    this.#owner.forEach((owner, i) => {
      this.instances.setFlag(i, Flag.Selected, owner !== undefined && isSame(owner, ref));
    });
  }

  owner(instance: number): Ref | undefined {
    return this.#owner[instance];
  }

  /** Where everything shown is drawn. */
  places(nowMs: number): Place[] {
    const shown = [...this.#owner.keys()].filter((i) => this.instances.flags(i) & Flag.Shown);
    return shown.map((i) => this.instances.place(i, nowMs));
  }

  instanceOf(layer: LayerState, id: string): number | undefined {
    const slot = layer.slots.get(id);
    const instance = slot === undefined ? undefined : this.#bySlot.get(layer.info.id)?.[slot];
    return instance === -1 ? undefined : instance;
  }

  #slots(layer: string): number[] {
    let bySlot = this.#bySlot.get(layer);
    if (!bySlot) this.#bySlot.set(layer, (bySlot = []));
    return bySlot;
  }

  #erase(bySlot: number[], slot: number): void {
    const instance = bySlot[slot] ?? -1;
    if (instance < 0) return;
    this.instances.remove(instance);
    this.#owner[instance] = undefined;
    bySlot[slot] = -1;
  }

  #draw(info: LayerInfo, slot: number, feature: Feature, color: string): void {
    const bySlot = this.#slots(info.id);
    const at = anchor(feature.geometry);
    if (!at) return this.#erase(bySlot, slot);
    let instance = bySlot[slot] ?? -1;
    if (instance < 0) bySlot[slot] = instance = this.instances.add();
    const ref = { layer: info.id, id: feature.id };
    this.#owner[instance] = ref;
    const shown = this.#hidden.has(info.id) ? 0 : Flag.Shown;
    const selected = isSame(ref, this.#selected) ? Flag.Selected : 0;
    const dimmed = this.isAsked?.(info, feature.properties) === false ? Flag.Dimmed : 0;
    this.instances.set(instance, {
      lng: at[0]!,
      lat: at[1]!,
      headingDeg: numberOf(feature.properties["heading_deg"]),
      speedMps: numberOf(feature.properties["speed_mps"]),
      observedAt: feature.observedAt,
      staleAfterS: goesStale(info) ? info.stale_after_s : Infinity,
      glyph: glyphOf(info.kind, feature.properties),
      ring: ringOf(info.kind, feature.properties),
      color: colorOf(info.kind, color),
      flags: shown | selected | dimmed,
    });
  }

  #move({ moved, moves }: Change, bySlot: number[]): void {
    for (let i = 0, at = 0; i < moved.length; i++, at += MOVE_WIDTH) {
      const instance = bySlot[moved[i]!]!;
      this.instances.move(
        instance,
        moves[at]!,
        moves[at + 1]!,
        moves[at + 2]!,
        moves[at + 3]!,
        moves[at + 4]!,
      );
    }
  }
}

function numberOf(value: unknown): number {
  return typeof value === "number" ? value : NaN;
}

export function isSame(a: Ref | null, b: Ref | null): boolean {
  return a === b || (a !== null && b !== null && a.layer === b.layer && a.id === b.id);
}
