// What the server says of a hex: asked for a moment after the pointer has come to rest on it, given up when it moves on,
// and remembered.

import { signal } from "@preact/signals";
import type { HexAnswer } from "./answers.ts";
import { inWords } from "../asking.ts";

/** Whoever crosses a hex on the way elsewhere does not ask about it. */
const REST_MS = 120;

/** Hexes remembered of one run; the oldest is forgotten first. */
const MOST_REMEMBERED = 500;

export interface Hex {
  cell: string;
  /** null while it is being asked for. */
  answer: HexAnswer | null;
  failed: string | null;
}

export class HexLookup {
  readonly hex = signal<Hex | null>(null);
  #known = new Map<string, HexAnswer>();
  #asking: AbortController | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #run: string | null = null;

  constructor(private readonly ask: (run: string, cell: string, signal: AbortSignal) => Promise<HexAnswer>) {}

  /** Looks at a hex of `run`: at once if it is known or if nobody need wait for the pointer to rest. */
  look(run: string, cell: string, restMs = REST_MS): void {
    if (run !== this.#run) this.#known.clear();
    else if (this.hex.peek()?.cell === cell && this.hex.peek()?.failed === null) return;
    this.leave();
    this.#run = run;
    const answer = this.#known.get(cell) ?? null;
    this.hex.value = { cell, answer, failed: null };
    if (answer) return;
    const asking = (this.#asking = new AbortController());
    this.#timer = setTimeout(() => void this.#fetch(run, cell, asking.signal), restMs);
  }

  leave(): void {
    clearTimeout(this.#timer);
    this.#asking?.abort();
    if (this.hex.peek() !== null) this.hex.value = null;
  }

  async #fetch(run: string, cell: string, signal: AbortSignal): Promise<void> {
    try {
      const answer = await this.ask(run, cell, signal);
      if (signal.aborted) return;
      if (this.#known.size >= MOST_REMEMBERED) this.#known.delete(this.#known.keys().next().value!);
      this.#known.set(cell, answer);
      this.hex.value = { cell, answer, failed: null };
    } catch (error) {
      if (!signal.aborted) this.hex.value = { cell, answer: null, failed: inWords(error) };
    }
  }
}
