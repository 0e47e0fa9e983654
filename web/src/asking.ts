// One question to the server at a time, with what became of it as a signal for the panels.

import { signal } from "@preact/signals";
import { Refused } from "./http.ts";

export type Asked<T> =
  | { phase: "idle" }
  /** `before`: the answer that stands until the next one comes; null: there is none. */
  | { phase: "working"; before: T | null }
  | { phase: "done"; answer: T }
  | { phase: "failed"; detail: string };

export class Asking<T> {
  readonly state = signal<Asked<T>>({ phase: "idle" });
  #current: AbortController | null = null;

  /**
   * Asks, and gives up what was asked before. The answer, or null if it failed or was given up. With `keep` the last answer
   * stands meanwhile.
   */
  async ask(request: (signal: AbortSignal) => Promise<T>, keep = false): Promise<T | null> {
    this.#current?.abort();
    const asking = (this.#current = new AbortController());
    this.state.value = { phase: "working", before: keep ? this.peek() : null };
    try {
      const answer = await request(asking.signal);
      if (asking.signal.aborted) return null;
      this.state.value = { phase: "done", answer };
      return answer;
    } catch (error) {
      if (!asking.signal.aborted) this.state.value = { phase: "failed", detail: inWords(error) };
      return null;
    }
  }

  reset(): void {
    this.#current?.abort();
    this.#current = null;
    this.state.value = { phase: "idle" };
  }

  /** The answer, if there is one; whoever reads it in an effect hears of the next one. */
  get answer(): T | null {
    return standing(this.state.value);
  }

  /** The answer now, unheard of what comes. */
  peek(): T | null {
    return standing(this.state.peek());
  }
}

function standing<T>(state: Asked<T>): T | null {
  return state.phase === "done" ? state.answer : state.phase === "working" ? state.before : null;
}

/** The server's own words, or that it could not be reached. */
export function inWords(error: unknown): string {
  return error instanceof Refused ? error.message : "The server could not be reached. Try again.";
}

/** Runs one piece of work at a time; of what is asked for meanwhile only the newest, when the one before is done. */
export class Newest {
  #running = false;
  #next: (() => Promise<void>) | null = null;

  async run(work: () => Promise<void>): Promise<void> {
    this.#next = work;
    if (this.#running) return;
    this.#running = true;
    try {
      while (this.#next) {
        const next: () => Promise<void> = this.#next;
        this.#next = null;
        await next();
      }
    } finally {
      this.#running = false;
    }
  }
}
