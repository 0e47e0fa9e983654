import { describe, expect, test } from "vitest";
import { parse, WireError } from "../src/wire.ts";
import { EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

const ranged = (more: object) => frame({ "cfd.units": { epoch: EPOCH, from: 0, to: 1, ...more } });

describe("what is refused", () => {
  test.each([
    ["not JSON", "{", SyntaxError],
    ["not an object", "[]", WireError],
    ["a frame without layers", '{"type":"frame","time":1}', WireError],
    ["a position that is not two numbers", ranged({ put: [put("E1", NaN)] }), WireError],
    ["an unknown geometry", ranged({ put: [{ ...put("E1"), geometry: { type: "Circle" } }] }), WireError],
    ["a move without a place", ranged({ move: [["E1", null, 1, 1, null, null]] }), WireError],
    ["a move of a number", ranged({ move: [[7, 1, 1, 1, null, null]] }), WireError],
    ["a gone without a reason we know", ranged({ gone: [["E1", "bored"]] }), WireError],
    [
      "a colour that is markup",
      JSON.stringify(hello([], { agencies: [{ id: "x", name: "x", color: "<b>" }] })),
      WireError,
    ],
  ])("%s", (_, text, error) => expect(() => parse(text)).toThrow(error));

  test("the error names the spot", () => {
    const bad = ranged({ put: [{ ...put("E1"), observed_at: "now" }] });
    expect(() => parse(bad)).toThrow("expected a finite number at /layers/cfd.units/put/0/observed_at");
  });
});

describe("what is taken", () => {
  test("a hello comes out as it went in", () => {
    const message = hello([layerInfo("cfd.units")]);
    expect(parse(JSON.stringify(message))).toEqual(message);
  });

  test("lists that a frame leaves out are empty", () => {
    const message = parse(ranged({}));
    expect(message).toMatchObject({ layers: { "cfd.units": { reset: false, put: [], move: [], gone: [] } } });
  });

  test("a message of a newer server is passed over", () => {
    expect(parse('{"type":"weather","sky":"blue"}')).toBeNull();
  });

  test("a hole in a polygon and a null geometry are fine", () => {
    const ring = [[0, 0], [1, 0], [1, 1], [0, 0]]; // prettier-ignore
    const polygon = { ...put("Z"), geometry: { type: "Polygon", coordinates: [ring, ring] } };
    expect(() => parse(ranged({ put: [polygon, { ...put("N"), geometry: null }] }))).not.toThrow();
  });
});
