// What the page asks over HTTP. Answers that are not 2xx become `Refused`, with the server's own words.

import type { Ref } from "./map/symbol-pool.ts";
import type { Known } from "./search.ts";
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

export async function ask<T>(path: string, init: RequestInit): Promise<T> {
  return (await (await answered(path, init)).json()) as T;
}

async function answered(path: string, init: RequestInit): Promise<Response> {
  const response = await fetch(path, { ...init, credentials: "same-origin" });
  if (response.ok) return response;
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

/** What the server knows under such a name, in the layers that an operation draws, or in all. */
export async function getKnown(
  text: string,
  operation: string | null,
  signal: AbortSignal,
): Promise<Known[]> {
  const query = new URLSearchParams({ q: text, limit: "500", ...(operation === null ? {} : { operation }) });
  return (await ask<{ hits: Known[] }>(`/search?${query}`, { signal })).hits;
}

/** The last 500 positions: at one in 10 s, the last hour and a half. */
export function getTrack(ref: Ref, signal: AbortSignal): Promise<Track> {
  return ask(`${pathOf(ref)}/track?limit=500`, { signal });
}

export function post<T>(path: string, body: object, signal: AbortSignal): Promise<T> {
  return ask(path, sent(body, "application/json", signal));
}

/** A file that the server makes, with the name that it gives it, if it gives one. */
export async function fetchFile(
  path: string,
  body: object,
  signal: AbortSignal,
): Promise<{ blob: Blob; name: string | null }> {
  const response = await answered(path, sent(body, "*/*", signal));
  const [, name] = /filename="([^"/\\]+)"/.exec(response.headers.get("content-disposition") ?? "") ?? [];
  return { blob: await response.blob(), name: name ?? null };
}

function sent(body: object, accept: string, signal: AbortSignal): RequestInit {
  return {
    method: "POST",
    headers: { "Content-Type": "application/json", Accept: accept },
    body: JSON.stringify(body),
    signal,
  };
}
