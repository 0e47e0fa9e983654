// Recorded sequences of messages, put through the page's own reading and folding, against what they must fold to.
//
//     COP_REPLAYS=/path/to/folder python hatch_build.py test
//     cd web && COP_REPLAYS=/path/to/folder npx vitest run tests/replay.test.ts      (only these)
//
// Each file of the folder (`*.jsonl`) is one viewer: a JSON object a line, in order of
//
//     {"text": "…"}          a text message as it came; the first one must be a hello
//     {"bytes": "…"}         a binary message, in base64
//     {"reconnect": true}    another connection, which resumes with what is held
//     {"forget": true}       another connection, of a viewer that holds nothing
//     {"expect": {"layers": {name: {id: [geometry, properties, observed_at, expires_at]}},
//                 "cells": {name: {cell: [count, worst, oldest]}}}}
//
// What is expected is all of it, exactly; a layer without features, or without cells, may be left out.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Holding } from "../src/holding.ts";
import { apply, EMPTY, featuresOf, type Message, type State } from "../src/state.ts";
import { parse } from "../src/wire.ts";
import { bytes, EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

interface Expected {
  layers?: Record<string, Record<string, unknown[]>>;
  cells?: Record<string, Record<string, unknown[]>>;
}

type Step =
  { text: string } | { bytes: string } | { reconnect: true } | { forget: true } | { expect: Expected };

/** The worker's half and the page's half of one viewer, without the socket between server and worker. */
class Viewer {
  state: State = EMPTY;
  #holding = new Holding();

  take(step: Step): void {
    if ("text" in step) this.#hear(step.text);
    else if ("bytes" in step) this.#hear(Uint8Array.from(Buffer.from(step.bytes, "base64")).buffer);
    else if ("expect" in step) expect(this.folded()).toStrictEqual(known(step.expect));
    else {
      this.#apply({ type: "connected" });
      if (!("forget" in step)) return;
      this.#holding.clear();
      this.#apply({ type: "forget" });
    }
  }

  folded(): Required<Expected> {
    const layers: Required<Expected> = { layers: {}, cells: {} };
    for (const [name, layer] of this.state.layers) {
      layers.layers[name] = Object.fromEntries(
        [...featuresOf(layer)].map((it) => [
          it.id,
          [it.geometry, it.properties, it.observedAt, it.expiresAt],
        ]),
      );
      layers.cells[name] = Object.fromEntries(
        [...layer.cells].map(([cell, { count, worst, oldestAt }]) => [cell, [count, worst, oldestAt]]),
      );
    }
    return known(layers);
  }

  #hear(source: string | ArrayBuffer): void {
    const message = parse(source);
    switch (message?.type) {
      case "hello":
        this.#holding.keep(new Set(message.layers.map(({ id }) => id)));
        return this.#apply(message);
      case "frame": {
        const { packed, lost } = this.#holding.take(message);
        expect(lost, "every frame follows from those before").toEqual([]);
        return this.#apply(packed);
      }
      case "revoked":
        this.#holding.drop(message.layer);
        return this.#apply(message);
      case "stale":
      case "missing":
        return this.#apply(message);
    }
  }

  #apply(message: Message): void {
    this.state = apply(this.state, message);
  }
}

/** Without what is empty. */
function known({ layers = {}, cells = {} }: Expected): Required<Expected> {
  const full = (lists: Record<string, Record<string, unknown[]>>) =>
    Object.fromEntries(Object.entries(lists).filter(([, list]) => Object.keys(list).length > 0));
  return { layers: full(layers), cells: full(cells) };
}

function replay(lines: string): number {
  const viewer = new Viewer();
  const steps = lines.split("\n").filter((line) => line.trim() !== "");
  steps.forEach((line, i) => {
    try {
      viewer.take(JSON.parse(line) as Step);
    } catch (error) {
      // which line it was, before all that differs
      if (error instanceof Error) error.message = `line ${i + 1}: ${error.message}`;
      throw error;
    }
  });
  return steps.length;
}

const folder = process.env["COP_REPLAYS"];

describe.skipIf(!folder)("recorded sequences (COP_REPLAYS says where)", () => {
  const files = folder ? readdirSync(folder).filter((name) => name.endsWith(".jsonl")) : [];
  test("there are some", () => expect(files).not.toEqual([]));
  test.each(files)("%s", (name) => {
    expect(replay(readFileSync(join(folder!, name), "utf8"))).toBeGreaterThan(0);
  });
});

describe("the replay itself", () => {
  const part = (from: number, to: number, more: object) => ({ epoch: EPOCH, from, to, ...more });
  const unit = put("E1", 1, 2, { callsign: "E1" });
  const expected = (lng: number) => ({ "a.units": { E1: [{ type: "Point", coordinates: [lng, 2] }, { callsign: "E1" }, 1_000_000, null] } }); // prettier-ignore
  const move = bytes({ "a.units": part(1, 2, { packed: [["E1", 7, 2, 1_000_000, null, null]] }) });
  const steps: Step[] = [
    { text: JSON.stringify(hello([layerInfo("a.units")])) },
    { text: frame({ "a.units": part(0, 1, { reset: true, put: [unit] }) }) },
    { expect: { layers: expected(1) } },
    { reconnect: true },
    { bytes: Buffer.from(move).toString("base64") },
    { expect: { layers: expected(7), cells: { "a.units": {} } } },
  ];
  const written = (...more: Step[]) => [...steps, ...more].map((step) => JSON.stringify(step)).join("\n");

  test("takes texts, bytes and reconnections", () => expect(replay(written())).toBe(6));
  test("tells a picture that differs, and where", () =>
    expect(() => replay(written({ expect: { layers: expected(8) } }))).toThrow("line 7"));
  test("tells a picture that holds more than is expected", () =>
    expect(() => replay(written({ expect: {} }))).toThrow("line 7"));
  test("forgets", () => expect(replay(written({ forget: true }, { expect: {} }))).toBe(8));
});
