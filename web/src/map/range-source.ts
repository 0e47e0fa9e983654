// Reads ranges of a PMTiles file from our own server. It differs from the library's own reader where that one gives up:
// a range that failed is asked for again, and no range goes through the browser's cache.

import type { RangeResponse, Source } from "pmtiles";

/** Waits between attempts, ms. A tile is given up after these; the header, without which there is no map, never. */
const WAITS_MS = [0, 500, 2000, 5000];

export class RangeSource implements Source {
  constructor(private readonly url: string) {}

  getKey(): string {
    return this.url;
  }

  async getBytes(offset: number, length: number, signal?: AbortSignal): Promise<RangeResponse> {
    const isHeader = offset === 0;
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#fetch(offset, length, signal);
      } catch (error) {
        if (signal?.aborted || (!isHeader && attempt >= WAITS_MS.length)) throw error;
        await new Promise((resolve) => setTimeout(resolve, WAITS_MS[Math.min(attempt, WAITS_MS.length - 1)]));
      }
    }
  }

  async #fetch(offset: number, length: number, signal?: AbortSignal): Promise<RangeResponse> {
    // Chromium's cache reads ranges of one file through one entry, and seems to fail some when another is aborted: with
    // the cache, three of five second visits lost a tile to "Failed to fetch"; without it, none of eight.
    const init: RequestInit = {
      cache: "no-store",
      headers: { Range: `bytes=${offset}-${offset + length - 1}` },
    };
    const response = await fetch(this.url, signal ? { ...init, signal } : init);
    if (response.status !== 206)
      throw new Error(`${this.url}: expected a range, got status ${response.status}`);
    return { data: await response.arrayBuffer() };
  }
}
