// The gap over time as lines of an SVG. Pure.

import type { Step } from "./answers.ts";

export interface Chart {
  /** Path of the line, and of the ground below it. */
  line: string;
  area: string;
  /** What the top of the chart means, km². */
  top: number;
}

/** The gap of `steps` in a box of `width` × `height`, joined by straight lines from the first of which anything is known. */
export function chart(steps: Step[], width: number, height: number): Chart {
  const first = steps.findIndex(({ known }) => known);
  const told = first < 0 ? [] : steps.slice(first);
  const top = niceCeiling(Math.max(...told.map(({ gap_km2 }) => gap_km2), 0));
  const x = (i: number) => fixed(xOf(first + i, steps.length, width));
  const points = told.map(({ gap_km2 }, i) => `${x(i)} ${fixed(height - (gap_km2 / top) * height)}`);
  const line = points.length > 0 ? `M${points.join("L")}` : "";
  const area = line && `${line}L${fixed(width)} ${fixed(height)}L${x(0)} ${fixed(height)}Z`;
  return { line, area, top };
}

/** Where the step number `i` stands, from 0 to `width`. */
export function xOf(i: number, count: number, width: number): number {
  return count > 1 ? (i * width) / (count - 1) : 0;
}

/** The number of the step nearest to `at`, ms. */
export function stepAt(steps: Step[], at: number): number {
  let best = 0;
  steps.forEach((step, i) => {
    if (Math.abs(Date.parse(step.at) - at) < Math.abs(Date.parse(steps[best]!.at) - at)) best = i;
  });
  return best;
}

/** The smallest of 1, 2, 5, 10, 20 … (and their tenths) that is not below `value`. */
export function niceCeiling(value: number): number {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  const factor = [1, 2, 5, 10].find((each) => each * power >= value * (1 - 1e-12))!;
  return factor * power;
}

function fixed(value: number): string {
  return String(Number(value.toFixed(1)));
}
