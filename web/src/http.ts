// What the page asks over HTTP: one item, its track, and the gap analysis. Answers that are not 2xx become `Refused`.

import type { Ref } from "./map/symbol-pool.ts";
import type { Geometry, Properties } from "./wire.ts";

export class Refused extends Error {
  constructor(
    readonly status: number,
    detail: string,
  ) {
    super(detail);
  }
}

export interface Item {
  id: string;
  geometry: Geometry | null;
  properties: Properties;
}

export interface Track {
  geometry: Geometry | null;
  properties: { times: string[]; revisions: number[] };
}

export interface Analysis {
  resolution: number;
  at_least: number;
  area_km2: number;
  covered_km2: number;
  gap_km2: number;
  overlap_km2: number;
  gap: { cells: string[]; cell_count: number; areas: { km2: number; center: [number, number] }[] };
  overlap: { cells: string[]; cell_count: number };
  agencies: { agency: string; covers_km2: number; only_km2: number }[];
  inputs: { layer: string; features: number }[];
  /** Sentences on layers that counted for nothing: a gap for want of a reach is no gap on the ground. */
  notes: string[];
}

export interface Question {
  area: Geometry;
  layers?: string[];
  at_least: number;
  resolution: number;
}

async function ask<T>(path: string, init: RequestInit): Promise<T> {
  const response = await fetch(path, { ...init, credentials: "same-origin" });
  if (response.ok) return (await response.json()) as T;
  const problem = (await response.json().catch(() => null)) as { detail?: unknown; title?: unknown } | null;
  const detail = [problem?.detail, problem?.title].find((each) => typeof each === "string" && each !== "");
  throw new Refused(
    response.status,
    (detail as string | undefined) ?? `The server answered ${response.status}.`,
  );
}

function pathOf(ref: Ref): string {
  return `/collections/${encodeURIComponent(ref.layer)}/items/${encodeURIComponent(ref.id)}`;
}

export function getItem(ref: Ref, signal: AbortSignal): Promise<Item> {
  return ask(pathOf(ref), { signal });
}

/** The last 500 positions: at one in 10 s, the last hour and a half. */
export function getTrack(ref: Ref, signal: AbortSignal): Promise<Track> {
  return ask(`${pathOf(ref)}/track?limit=500`, { signal });
}

export function analyse(question: Question, signal: AbortSignal): Promise<Analysis> {
  return ask("/coverage/analysis", {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: "application/json" },
    body: JSON.stringify(question),
    signal,
  });
}
