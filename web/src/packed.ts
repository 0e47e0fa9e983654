// The records of packed moves, 20 bytes each, that a binary message of `cop.live.v1+bin` carries behind its JSON.
// `wire.ts` finds them in the message; `holding.ts` reads them into the arrays that the page takes.

export const RECORD_BYTES = 20;
/** Stands for a heading or a speed that nobody knows. */
const UNKNOWN = 65_535;

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? (byte >>> 1) ^ 0xedb88320 : byte >>> 1;
  return byte;
});
const ENCODER = new TextEncoder();
/** An id has at most 128 characters, and a character at most three bytes for each of its UTF-16 units. */
const room = new Uint8Array(128 * 3);

/** CRC-32 of `id` in UTF-8, as zlib and PNG count it: how a packed move names its feature. */
export function crc32(id: string): number {
  const bytes = id.length > 128 ? ENCODER.encode(id) : room;
  const length = bytes === room ? ENCODER.encodeInto(id, room).written : bytes.length;
  let crc = -1;
  for (let i = 0; i < length; i++) crc = TABLE[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

export function idCrcAt(records: DataView, at: number): number {
  return records.getUint32(at, true);
}

/**
 * Reads the record at byte `from` of `records` into five numbers of `moves`: lng, lat, observed_ms, heading, speed.
 * A record has only the low 32 bits of its moment: it is the one within 24 days of `timeMs`, the frame's.
 */
export function readMove(
  records: DataView,
  from: number,
  moves: Float64Array,
  to: number,
  timeMs: number,
): void {
  // a division, not a product: the nearest number to seven decimals, so the same as read from text
  moves[to] = records.getInt32(from + 4, true) / 1e7;
  moves[to + 1] = records.getInt32(from + 8, true) / 1e7;
  moves[to + 2] = timeMs + ((records.getUint32(from + 12, true) - (timeMs >>> 0)) | 0);
  moves[to + 3] = hundredths(records.getUint16(from + 16, true));
  moves[to + 4] = hundredths(records.getUint16(from + 18, true));
}

function hundredths(value: number): number {
  return value === UNKNOWN ? NaN : value / 100;
}
