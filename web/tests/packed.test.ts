import fc from "fast-check";
import { crc32 as zlibs } from "node:zlib";
import { describe, expect, test } from "vitest";
import { Holding, MOVE_WIDTH } from "../src/holding.ts";
import { crc32 } from "../src/packed.ts";
import { type Frame, type Move, parse } from "../src/wire.ts";
import { bytes, EPOCH, frame, put } from "./recorded.ts";

const part = (from: number, to: number, more: object = {}) => ({ epoch: EPOCH, from, to, ...more });

/** A holding that has these features of `a.units`. */
function holding(...ids: string[]) {
  const it = new Holding();
  it.take(parse(frame({ "a.units": part(0, 1, { reset: true, put: ids.map((id) => put(id)) }) })) as Frame);
  return it;
}
const take = (it: Holding, source: string | ArrayBuffer) => it.take(parse(source) as Frame);
const moved = (...moves: Move[]) => bytes({ "a.units": part(1, 2, { packed: moves }) });

/** Two ids with the same CRC-32. */
const TWINS = ["plumless", "buckeroo"] as const;

test("an id is counted as zlib counts its UTF-8", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme", maxLength: 200 }),
      (id) => void expect(crc32(id)).toBe(zlibs(id)),
    ),
  );
});

const hundredths = (most: number) => fc.option(fc.integer({ min: 0, max: most }).map((each) => each / 100));

test("a packed move says what its row of JSON says, to the last bit", () => {
  const degrees = (most: number) =>
    fc.integer({ min: -most * 1e7, max: most * 1e7 }).map((each) => each / 1e7);
  const time = fc.integer({ min: 2 ** 31, max: 2 ** 52 });
  const age = fc.integer({ min: -(2 ** 31) + 1, max: 2 ** 31 - 1 });
  fc.assert(
    fc.property(
      degrees(180),
      degrees(90),
      time,
      age,
      hundredths(35_999),
      hundredths(65_534),
      (lng, lat, now, ms, heading, speed) => {
        const move: Move = ["E1", lng, lat, now + ms, heading, speed];
        const [asBytes, asText] = [
          bytes({ "a.units": part(1, 2, { packed: [move] }) }, { time: now }),
          frame({ "a.units": part(1, 2, { move: [move] }) }, { time: now }),
        ].map((source) => take(holding("E1"), source).packed.layers["a.units"]!);
        expect(asBytes!.moves).toEqual(asText!.moves);
        expect(asBytes!.moveSlots).toEqual(asText!.moveSlots);
      },
    ),
  );
});

test("rows of JSON and records may stand in one part, and layers keep to their own records", () => {
  const it = holding("E1", "E2");
  take(it, frame({ "b.units": part(0, 1, { reset: true, put: [put("E1")] }) }));
  const { packed } = take(
    it,
    bytes({
      "b.units": part(1, 2, { packed: [["E1", 30, 3, 1_000_000, null, null]] }),
      "a.units": part(1, 2, {
        move: [["E2", 20, 2, 1_000_000, 7.125, null]],
        packed: [["E1", 10, 1, 1_000_000, null, 5]],
      }),
    }),
  );
  const lngs = (name: string) => packed.layers[name]!.moves.filter((_, i) => i % MOVE_WIDTH === 0);
  expect([...packed.layers["a.units"]!.moveSlots]).toEqual([1, 0]);
  expect([...lngs("a.units")]).toEqual([20, 10]);
  expect([...lngs("b.units")]).toEqual([30]);
});

describe("a record that names no one feature loses the layer", () => {
  test("of a feature that is not held", () => {
    expect(take(holding("E1"), moved(["E9", 0, 0, 0, null, null])).lost).toEqual(["a.units"]);
  });

  test("of a feature that has just gone", () => {
    const source = bytes({
      "a.units": part(1, 2, { gone: [["E1", "view"]], packed: [["E1", 0, 0, 0, null, null]] }),
    });
    expect(take(holding("E1"), source).lost).toEqual(["a.units"]);
  });

  test("of two that share their CRC", () => {
    expect(take(holding(...TWINS), moved([TWINS[0], 0, 0, 0, null, null])).lost).toEqual(["a.units"]);
  });
});

test("of twins by CRC the one that stays is found once the other has gone", () => {
  for (const [stays, goes] of [TWINS, [...TWINS].reverse()]) {
    const it = holding(...TWINS);
    take(it, frame({ "a.units": part(1, 2, { gone: [[goes, "deleted"]] }) }));
    const { packed, lost } = take(
      it,
      bytes({ "a.units": part(2, 3, { packed: [[stays!, 5, 5, 0, null, null]] }) }),
    );
    expect(lost).toEqual([]);
    expect([...packed.layers["a.units"]!.moveSlots]).toEqual([TWINS.indexOf(stays as "plumless")]);
  }
});
