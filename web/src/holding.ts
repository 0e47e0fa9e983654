// What the client holds of each layer: epoch, revision and a small number (slot) for each feature's id. It turns a
// frame of the wire into a packed one for the page, or says that the frame does not follow from what is held.
// Runs in the live worker, so that parsing and finding ids never cost the page a frame.

import { crc32, idCrcAt, readMove, RECORD_BYTES } from "./packed.ts";
import type { Cell, Frame, Gone, LayerFrame, Move, Put } from "./wire.ts";

/** Numbers of a packed move: lng, lat, observed_ms, heading_deg, speed_mps; NaN stands for null. */
export const MOVE_WIDTH = 5;

export interface PackedLayer {
  epoch: string;
  revision: number;
  reset: boolean;
  /** Slots of `put`, in the same order. */
  putSlots: number[];
  put: Put[];
  moveSlots: Uint32Array;
  /** `MOVE_WIDTH` numbers a move. */
  moves: Float64Array;
  goneSlots: number[];
  gone: Gone[];
  cells: Cell[];
}

export interface PackedFrame {
  type: "frame";
  time: number;
  layers: Record<string, PackedLayer>;
}

interface Held {
  epoch: string;
  revision: number;
  slots: Map<string, number>;
  free: number[];
  /** Slot by the CRC-32 of the id, as packed moves name it; of a CRC that several ids share, all their slots. */
  byCrc: Map<number, number | number[]>;
  /** CRC-32 by slot. */
  crcs: number[];
}

export class Holding {
  #layers = new Map<string, Held>();

  /** `since` of a subscription: the cursor of each held layer. Revision 0 is a layer that has come in part only. */
  cursors(): Record<string, string> {
    const cursors: Record<string, string> = {};
    for (const [id, { epoch, revision }] of this.#layers)
      if (revision > 0) cursors[id] = `${epoch}:${revision}`;
    return cursors;
  }

  drop(layer: string): void {
    this.#layers.delete(layer);
  }

  /** Drops every layer that is not in `names`. */
  keep(names: ReadonlySet<string>): void {
    for (const name of this.#layers.keys()) if (!names.has(name)) this.#layers.delete(name);
  }

  clear(): void {
    this.#layers.clear();
  }

  /**
   * Takes a frame in. Layers named in `lost` did not follow from what is held: they are dropped here and left out of
   * `packed`. Changes to a layer that is not held are left out too: it has been asked for whole, and comes as a reset.
   */
  take(frame: Frame): { packed: PackedFrame; lost: string[] } {
    const packed: PackedFrame = { type: "frame", time: frame.time, layers: {} };
    const lost: string[] = [];
    for (const [id, layer] of Object.entries(frame.layers)) {
      const taken = this.#takeLayer(id, layer, frame.time);
      if (taken === "lost") {
        this.drop(id);
        lost.push(id);
      } else if (taken !== "ignored") packed.layers[id] = taken;
    }
    return { packed, lost };
  }

  #takeLayer(id: string, frame: LayerFrame, timeMs: number): PackedLayer | "lost" | "ignored" {
    let held = this.#layers.get(id);
    if (frame.reset) {
      held = {
        epoch: frame.epoch,
        revision: 0,
        slots: new Map(),
        free: [],
        byCrc: new Map(),
        crcs: [],
      };
      this.#layers.set(id, held);
    } else if (!held) return "ignored";
    else if (held.epoch !== frame.epoch || held.revision !== frame.from) return "lost";
    // gone before put: within one frame a feature is in one list only, so freed slots may be used again at once
    const goneSlots = release(held, frame.gone);
    const putSlots = frame.put.map((put) => slotFor(held, put.id));
    const packed = (frame.packed?.byteLength ?? 0) / RECORD_BYTES;
    const moveSlots = new Uint32Array(frame.move.length + packed);
    const moves = new Float64Array(moveSlots.length * MOVE_WIDTH);
    for (let i = 0; i < frame.move.length; i++) {
      const move = frame.move[i]!;
      const slot = held.slots.get(move[0]);
      if (slot === undefined) return "lost";
      moveSlots[i] = slot;
      writeMove(moves, i * MOVE_WIDTH, move);
    }
    for (let i = frame.move.length, at = 0; i < moveSlots.length; i++, at += RECORD_BYTES) {
      const slot = held.byCrc.get(idCrcAt(frame.packed!, at));
      if (typeof slot !== "number") return "lost";
      moveSlots[i] = slot;
      readMove(frame.packed!, at, moves, i * MOVE_WIDTH, timeMs);
    }
    held.revision = frame.to;
    const { epoch, reset, put, gone, cells } = frame;
    return { epoch, revision: frame.to, reset, putSlots, put, moveSlots, moves, goneSlots, gone, cells };
  }
}

function slotFor(held: Held, id: string): number {
  let slot = held.slots.get(id);
  if (slot === undefined) {
    slot = held.free.pop() ?? held.slots.size;
    held.slots.set(id, slot);
    const crc = crc32(id);
    held.crcs[slot] = crc;
    const others = held.byCrc.get(crc);
    held.byCrc.set(crc, others === undefined ? slot : [others, slot].flat());
  }
  return slot;
}

/** A `gone` for what is not held is harmless: it says so twice. Its slot is then -1. */
function release(held: Held, gone: Gone[]): number[] {
  return gone.map(([id]) => {
    const slot = held.slots.get(id) ?? -1;
    if (slot >= 0) {
      held.slots.delete(id);
      held.free.push(slot);
      releaseCrc(held, slot);
    }
    return slot;
  });
}

function releaseCrc({ byCrc, crcs }: Held, slot: number): void {
  const crc = crcs[slot]!;
  const rest = [byCrc.get(crc)!].flat().filter((each) => each !== slot);
  if (rest.length === 0) byCrc.delete(crc);
  else byCrc.set(crc, rest.length === 1 ? rest[0]! : rest);
}

function writeMove(moves: Float64Array, at: number, move: Move): void {
  moves[at] = move[1];
  moves[at + 1] = move[2];
  moves[at + 2] = move[3];
  moves[at + 3] = move[4] ?? NaN;
  moves[at + 4] = move[5] ?? NaN;
}

/** The buffers that may move to the page instead of being copied. */
export function transferables(frame: PackedFrame): ArrayBuffer[] {
  return Object.values(frame.layers).flatMap((layer) => [
    layer.moveSlots.buffer as ArrayBuffer,
    layer.moves.buffer as ArrayBuffer,
  ]);
}
