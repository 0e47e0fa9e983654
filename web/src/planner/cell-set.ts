// Compacted cells, asked whether they hold a finer one: which hexes an answer is about.

import { cellToParent, getResolution } from "h3-js";

export class CellSet {
  #cells: Set<string>;
  #resolutions: number[];

  constructor(compacted: Iterable<string>) {
    this.#cells = new Set(compacted);
    this.#resolutions = [...new Set([...this.#cells].map(getResolution))].sort((a, b) => b - a);
  }

  get isEmpty(): boolean {
    return this.#cells.size === 0;
  }

  /** Whether `cell`, or one that it lies in, is here. */
  has(cell: string): boolean {
    const own = getResolution(cell);
    return this.#resolutions.some((each) => each <= own && this.#cells.has(cellToParent(cell, each)));
  }
}
