import { describe, expect, test } from "vitest";
import { parse, WireError } from "../src/wire.ts";
import { bytes, EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

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
    ["packed moves in a text", ranged({ packed: 1 }), WireError],
    ["a cell that is no cell", ranged({ cells: [["872664C1A", 1, null, 1]] }), WireError],
    ["a cell of half a unit", ranged({ cells: [["872664c1affffff", 0.5, null, 1]] }), WireError],
  ])("%s", (_, text, error) => expect(() => parse(text)).toThrow(error));

  test("the error names the spot", () => {
    const bad = ranged({ put: [{ ...put("E1"), observed_at: "now" }] });
    expect(() => parse(bad)).toThrow("expected a finite number at /layers/cfd.units/put/0/observed_at");
  });
});

describe("bytes that are refused", () => {
  const good = () => bytes({ "cfd.units": { ...part, packed: [["E1", 1, 2, 3, null, null]] } });
  const part = { epoch: EPOCH, from: 0, to: 1 };
  const cut = (by: number) => good().slice(0, -by);
  const changed = (at: number, value: number) => {
    const it = good();
    new Uint8Array(it)[at] = value;
    return it;
  };
  const length = new DataView(good()).getUint32(0, true);

  test.each([
    ["nothing at all", new ArrayBuffer(0), "the length of the JSON"],
    ["a JSON longer than the message", changed(3, 1), "at byte 0"],
    ["padding that says something", changed(4 + length, 1), `expected a zero at byte ${4 + length}`],
    ["half a record", cut(10), "as many records as follow"],
    ["no record where one is counted", cut(20), "at /layers/cfd.units/packed"],
    [
      "more than is counted",
      Uint8Array.from([...new Uint8Array(good()), 0]).buffer,
      "the end of the message",
    ],
    ["what is not UTF-8", changed(6, 0xff), "expected UTF-8"],
    ["a hello", Uint8Array.from([16, 0, 0, 0, ...Buffer.from('{"type":"hello"}')]).buffer, "expected frame"],
  ])("%s", (_, source, told) => expect(() => parse(source)).toThrow(told));

  test("the whole of it is taken", () => {
    expect(length % 4, "padded, or the test above proves nothing").not.toBe(0);
    expect(parse(good())).toMatchObject({ type: "frame", layers: { "cfd.units": { to: 1 } } });
  });
});

describe("what is taken", () => {
  test("a feed falls silent and is heard again; the same of the server's log", () => {
    expect(parse('{"type":"stale","layer":"a.units","since":null}')).toMatchObject({ since: null });
    expect(parse('{"type":"missing","since":7}')).toEqual({ type: "missing", since: 7 });
  });

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
