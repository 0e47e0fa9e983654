// What if: the changes of the two variants, the server's answer to them, and the handles by which they are made.

import { computed, effect, signal } from "@preact/signals";
import { post } from "../http.ts";
import type { Handle, Handles } from "../map/handles.ts";
import { EMPTY_COLLECTION } from "../map/overlays.ts";
import type { Ref } from "../map/symbol-pool.ts";
import type { Page } from "../page.ts";
import { featureById } from "../state.ts";
import type { Position } from "../wire.ts";
import type { VariantAnswer, WhatIf } from "./answers.ts";
import { inWords, Newest } from "../asking.ts";
import { type Change, newName, placedAt, withChange, without } from "./changes.ts";
import { readRef } from "./link.ts";
import type { Plan, VariantName } from "./plan.ts";

export class Variants {
  readonly answer = signal<WhatIf | null>(null);
  readonly problem = signal<string | null>(null);
  /** The changes of the shown variant while a handle is being dragged; null: as they are set. */
  readonly #dragged = signal<Change[] | null>(null);
  readonly name = computed<VariantName>(() => this.#plan.value.variant);
  readonly #set = computed<Change[]>(() => this.#plan.value[this.name.value]);
  /** The changes of the shown variant, with that of a handle that is being dragged. */
  readonly changes = computed<Change[]>(() => this.#dragged.value ?? this.#set.value);
  /** The answer to the shown variant. */
  readonly shown = computed<VariantAnswer | null>(() => this.answer.value?.[this.name.value] ?? null);
  readonly #plan = computed(() => this.page.settings.value.plan);
  #newest = new Newest();
  #handles: Handles | null = null;
  /** The handles to be shown, once they can be. */
  #wanted: Handle[] = [];

  constructor(
    private readonly page: Page,
    private readonly run: { value: string | null },
  ) {}

  /** Follows the settings from now on; the map must be there. */
  start(): void {
    const asked = computed(() => {
      const run = this.run.value;
      const { a, b, variant } = this.#plan.value;
      const now = { a, b, [variant]: this.changes.value };
      return run && now.a.length + now.b.length > 0
        ? JSON.stringify({ run, changes: now.a, ...(now.b.length > 0 ? { b: now.b } : {}) })
        : null;
    });
    effect(() => {
      const body = asked.value;
      void this.#newest.run(() => this.#ask(body));
    });
    effect(() => {
      const isOpen = this.page.planner.tab.value === "changes";
      void this.#draw(isOpen ? this.shown.value : null, this.answer.value);
    });
    const handles = computed(() => this.#handlesOf());
    effect(() => void this.#showHandles(handles.value));
  }

  get isDragging(): boolean {
    return this.#dragged.peek() !== null;
  }

  add(change: Change): void {
    this.#write(withChange(this.#set.peek(), change));
  }

  addAt([lng, lat]: Position, reach_m: number | null): void {
    this.add({ do: "add", lng: lng!, lat: lat!, reach_m, name: newName(this.#set.peek()) });
  }

  takeBack(index: number): void {
    this.#write(without(this.#set.peek(), index));
  }

  undo(): void {
    this.#write(this.#set.peek().slice(0, -1));
  }

  reset(): void {
    this.#write([]);
  }

  #write(changes: Change[]): void {
    const { variant } = this.page.settings.peek().plan;
    this.page.setPlan({ [variant]: changes } as Partial<Plan>);
  }

  async #ask(body: string | null): Promise<void> {
    if (body === null) {
      this.answer.value = null;
      this.problem.value = null;
      return;
    }
    try {
      this.answer.value = await post<WhatIf>(
        "/coverage/what-if",
        JSON.parse(body),
        new AbortController().signal,
      );
      this.problem.value = null;
    } catch (error) {
      this.answer.value = null;
      this.problem.value = inWords(error);
    }
  }

  async #draw(shown: VariantAnswer | null, answer: WhatIf | null): Promise<void> {
    if (!shown || !answer) return this.page.map.show("changed-hexes", EMPTY_COLLECTION);
    const { changedHexes } = await import("../map/hexes.ts");
    if (this.shown.peek() === shown)
      this.page.map.show("changed-hexes", changedHexes(shown, answer.resolution));
  }

  /** While changes are made: what was moved or added, and what is selected, if it stands at a point. */
  #handlesOf(): Handle[] {
    if (this.page.planner.tab.value !== "changes" || this.run.value === null) return [];
    const { selected } = this.page.settings.value;
    const found: Handle[] = [];
    this.#set.value.forEach((change, i) => {
      if (change.do === "add") {
        found.push({ key: `#${i}`, at: [change.lng, change.lat], label: change.name, kind: "added" });
      } else if (change.do === "move") {
        found.push({ key: keyOf(change), at: change.to, label: this.page.nameOf(change), kind: "moved" });
      }
    });
    if (selected && this.mayChange(selected) && !found.some(({ key }) => key === keyOf(selected))) {
      // heard of at each state: what is selected by a link may come after the answer, and what moves has its handle
      const geometry = featureById(this.page.state.value, selected.layer, selected.id)?.geometry;
      if (geometry?.type === "Point") {
        const label = this.page.nameOf(selected);
        found.push({ key: keyOf(selected), at: geometry.coordinates, label, kind: "here" });
      }
    }
    return found;
  }

  /** Whether a feature is of a kind that can be moved. */
  mayChange({ layer }: Ref): boolean {
    const kind = this.page.state.peek().catalogue.get(layer)?.kind;
    return kind === "units" || kind === "assets";
  }

  async #showHandles(handles: Handle[]): Promise<void> {
    this.#wanted = handles;
    if (!this.#handles) {
      if (handles.length === 0) return;
      const { Handles } = await import("../map/handles.ts");
      this.#handles ??= new Handles(this.page.map.map, (key, to, done) => this.#moved(key, to, done));
    }
    this.#handles.show(this.#wanted);
  }

  #moved(key: string, to: [number, number], done: boolean): void {
    const place: [number, number] = [Number(to[0].toFixed(5)), Number(to[1].toFixed(5))];
    const ref = readRef(key);
    const after = ref
      ? withChange(this.#set.peek(), { do: "move", ...ref, to: place })
      : placedAt(this.#set.peek(), Number(key.slice(1)), place);
    if (done) this.#write(after);
    this.#dragged.value = done ? null : after;
  }
}

/** The same before and after a feature is moved, so that its handle keeps the focus; what is added has its number. */
function keyOf({ layer, id }: Ref): string {
  return `${layer}/${id}`;
}
