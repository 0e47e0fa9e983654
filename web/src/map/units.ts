// One instanced WebGL2 layer for tens of thousands of symbols: frame, ring, glyph, fading with age, heading and dead
// reckoning are all worked out in the shader, so a frame of the map costs no script per symbol. `symbol-pool.ts` feeds it.

import type { CustomLayerInterface, CustomRenderMethodInput, Map as MapLibre } from "maplibre-gl";
import { ATLAS_SIDE, drawAtlas, Ring, type Shape } from "./symbols.ts";

/** Metres around the equator of the Web Mercator sphere. */
const EQUATOR_M = 2 * Math.PI * 6378137;

/** How long a unit is moved on by its last speed and heading. Beyond that we don't know, and say so by standing still. */
export const RECKONING_S = 10;

/** Layout of one instance: 6 floats (x, y, speed, heading, observed, stale after), glyph, ring, flags, dx, colour, dy. */
const FLOATS = 8;
const BYTES = FLOATS * 4;

export enum Flag {
  Shown = 1,
  Selected = 2,
  /** Not what is being looked at: small and faint, unless it is in distress or selected. */
  Dimmed = 4,
}

/** Everything drawn of one symbol. */
export interface Drawn {
  lng: number;
  lat: number;
  /** Degrees clockwise from north; NaN: unknown. */
  headingDeg: number;
  /** Metres per second; NaN: unknown. */
  speedMps: number;
  /** ms since 1970 on the server's clock. */
  observedAt: number;
  /** Seconds until it is stale; Infinity: never. */
  staleAfterS: number;
  glyph: number;
  ring: Ring;
  /** `#rrggbb`. */
  color: string;
  flags: number;
}

/** Web Mercator, 0 to 1 from west to east. */
export function mercatorX(lng: number): number {
  return lng / 360 + 0.5;
}

/** Web Mercator, 0 to 1 from north to south. */
export function mercatorY(lat: number): number {
  const s = Math.sin((Math.max(-85.0511, Math.min(85.0511, lat)) * Math.PI) / 180);
  return 0.5 - Math.log((1 + s) / (1 - s)) / (4 * Math.PI);
}

/** How many times longer than at the equator a metre is on the Mercator square at height `y`: 1 / cos(latitude). */
function stretch(y: number): number {
  return Math.cosh(Math.PI * (1 - 2 * y));
}

/** Steps of dx and dy to the width of a symbol: a signed byte then reaches four widths. */
const FAN_STEPS = 32;

const RADIANS = Math.PI / 180;
const NO_HEADING = -1;

/** Where the shader draws an instance: its place, moved on for as long as dead reckoning goes. */
export interface Place {
  x: number;
  y: number;
}

/** The instances as numbers, ready for the graphics card. Instance numbers are small, and used again once freed. */
export class Instances {
  count = 0;
  #free: number[] = [];
  #buffer: ArrayBuffer;
  floats: Float32Array;
  bytes: Uint8Array;
  signed: Int8Array;
  /** Places are kept as differences from the first symbol's: 32 bits are metres on the globe, centimetres in a city. */
  originX = NaN;
  originY = NaN;
  /** Times are kept as seconds since this moment, ms since 1970, for the same reason. */
  readonly epochMs: number;
  fastestMps = 0;
  distressed = 0;
  /** Width of a symbol in Web Mercator at the zoom of now: what dx and dy of a fanned-out symbol are counted in. */
  symbolSize = 0;

  constructor(epochMs: number, capacity = 1024) {
    this.epochMs = epochMs;
    this.#buffer = new ArrayBuffer(capacity * BYTES);
    this.floats = new Float32Array(this.#buffer);
    this.bytes = new Uint8Array(this.#buffer);
    this.signed = new Int8Array(this.#buffer);
  }

  get capacity(): number {
    return this.#buffer.byteLength / BYTES;
  }

  add(): number {
    const i = this.#free.pop() ?? this.count++;
    if (this.count > this.capacity) this.#grow();
    return i;
  }

  remove(i: number): void {
    this.#countDistress(i, Ring.None);
    this.bytes.fill(0, i * BYTES + 24, (i + 1) * BYTES);
    this.#free.push(i);
  }

  clear(): void {
    this.bytes.fill(0, 0, this.count * BYTES);
    this.count = this.distressed = this.fastestMps = 0;
    this.#free = [];
  }

  set(i: number, it: Drawn): void {
    this.move(i, it.lng, it.lat, it.observedAt, it.headingDeg, it.speedMps);
    this.floats[i * FLOATS + 5] = it.staleAfterS;
    const at = i * BYTES;
    this.#countDistress(i, it.ring);
    this.bytes[at + 24] = it.glyph;
    this.bytes[at + 25] = it.ring;
    this.bytes[at + 26] = it.flags;
    const color = parseInt(it.color.slice(1), 16);
    this.bytes[at + 28] = color >> 16;
    this.bytes[at + 29] = (color >> 8) & 255;
    this.bytes[at + 30] = color & 255;
  }

  /** The part of `set` that a move changes. Called for every move: no objects, and no more trigonometry than it takes. */
  move(i: number, lng: number, lat: number, observedAt: number, headingDeg: number, speedMps: number): void {
    const x = mercatorX(lng);
    const y = mercatorY(lat);
    if (this.originX !== this.originX) {
      this.originX = x;
      this.originY = y;
    }
    const at = i * FLOATS;
    const known = headingDeg === headingDeg;
    const speed = known && speedMps > 0 ? speedMps : 0;
    this.floats[at] = x - this.originX;
    this.floats[at + 1] = y - this.originY;
    this.floats[at + 2] = speed;
    this.floats[at + 3] = known ? headingDeg * RADIANS : NO_HEADING;
    this.floats[at + 4] = (observedAt - this.epochMs) / 1000;
    if (speed > this.fastestMps) this.fastestMps = speed;
  }

  flags(i: number): number {
    return this.bytes[i * BYTES + 26]!;
  }

  setFlag(i: number, flag: Flag, on: boolean): void {
    const at = i * BYTES + 26;
    this.bytes[at] = on ? this.bytes[at]! | flag : this.bytes[at]! & ~flag;
  }

  /** Where instance `i` is drawn at `nowMs`, in Web Mercator: as the shader works it out. */
  place(i: number, nowMs: number): Place {
    const [dx, dy, speed, heading, observedS] = this.floats.subarray(i * FLOATS) as unknown as number[];
    const age = (nowMs - this.epochMs) / 1000 - observedS!;
    const y = this.originY + dy!;
    const moved = (speed! * Math.min(Math.max(age, 0), RECKONING_S) * stretch(y)) / EQUATOR_M;
    const aside = this.symbolSize / FAN_STEPS;
    return {
      x: this.originX + dx! + Math.sin(heading!) * moved + this.signed[i * BYTES + 27]! * aside,
      y: y - Math.cos(heading!) * moved - this.signed[i * BYTES + 31]! * aside,
    };
  }

  /**
   * Fans out what stands at one spot around it, so that no unit hides another, nor an incident its units. `taken` are
   * spots (Mercator) that something else covers already. What moves is left where it is: it will part by itself.
   */
  fan(taken: Place[]): void {
    const cellOf = (x: number, y: number) =>
      `${Math.floor(x / this.symbolSize)}/${Math.floor(y / this.symbolSize)}`;
    const covered = new Set(taken.map(({ x, y }) => cellOf(x, y)));
    const groups = new Map<string, number[]>();
    for (let i = 0, at = 0; i < this.count; i++, at += FLOATS) {
      this.#setAside(i, 0, 0);
      if (this.floats[at + 2]! > 0 || !(this.flags(i) & Flag.Shown)) continue;
      const cell = cellOf(this.originX + this.floats[at]!, this.originY + this.floats[at + 1]!);
      const group = groups.get(cell);
      if (group) group.push(i);
      else groups.set(cell, [i]);
    }
    for (const [cell, group] of groups) {
      if (group.length < 2 && !covered.has(cell)) continue;
      // a ring wide enough for all, and for what stands in its middle
      const radius = Math.min(
        3.9,
        Math.max(covered.has(cell) ? 1.15 : 0.6, (group.length * 1.1) / (2 * Math.PI)),
      );
      group.forEach((i, k) => {
        const turn = (2 * Math.PI * k) / group.length;
        this.#setAside(i, Math.sin(turn) * radius, Math.cos(turn) * radius);
      });
    }
  }

  /** Draws none aside. */
  unfan(): void {
    for (let i = 0; i < this.count; i++) this.#setAside(i, 0, 0);
  }

  #setAside(i: number, sizesRight: number, sizesUp: number): void {
    this.signed[i * BYTES + 27] = Math.round(sizesRight * FAN_STEPS);
    this.signed[i * BYTES + 31] = Math.round(sizesUp * FAN_STEPS);
  }

  /** The shown instances within `radius` (Mercator) of a place, nearest first. */
  near(x: number, y: number, radius: number, nowMs: number): { i: number; distance: number }[] {
    const found: { i: number; distance: number }[] = [];
    // what stands further off than it can have driven in the reckoned time need not be reckoned
    const reach =
      radius + 4 * this.symbolSize + (this.fastestMps * RECKONING_S * stretch(y) * 1.1) / EQUATOR_M;
    for (let i = 0, at = 0; i < this.count; i++, at += FLOATS) {
      const dx = Math.abs(this.originX + this.floats[at]! - x);
      const dy = Math.abs(this.originY + this.floats[at + 1]! - y);
      if (dx > reach || dy > reach || !(this.flags(i) & Flag.Shown)) continue;
      const place = this.place(i, nowMs);
      const distance = Math.hypot(place.x - x, place.y - y);
      if (distance <= radius) found.push({ i, distance });
    }
    return found.sort((a, b) => a.distance - b.distance);
  }

  #countDistress(i: number, ring: Ring): void {
    const was = this.bytes[i * BYTES + 25] === Ring.Distress ? 1 : 0;
    this.distressed += (ring === Ring.Distress ? 1 : 0) - was;
  }

  #grow(): void {
    const larger = new ArrayBuffer(this.#buffer.byteLength * 2);
    new Uint8Array(larger).set(this.bytes);
    this.#buffer = larger;
    this.floats = new Float32Array(larger);
    this.bytes = new Uint8Array(larger);
    this.signed = new Int8Array(larger);
  }
}

const SHAPE_NUMBER: Record<Shape, number> = { circle: 0, diamond: 1, square: 2 };

/** How large and how opaque a dimmed symbol is, beside one that is not. */
const DIMMED = { size: 0.8, opacity: 0.35 };

/** How far a symbol's quad reaches beyond the radius of its frame: room for edge, nose and selection. */
const EXTENT = 1.7;

const VERTEX = `#version 300 es
layout(location=0) in vec2 corner;
layout(location=1) in vec2 position;
layout(location=2) in vec2 motion;   // metres a second, heading rad
layout(location=3) in vec2 timing;   // observed s, stale after s
layout(location=4) in uvec3 look;    // glyph, ring, flags
layout(location=5) in vec3 color;
layout(location=6) in float asideX;  // in steps of the symbol's width
layout(location=7) in float asideY;
uniform mat4 matrix;
uniform vec2 scale;
uniform float now;
uniform float originY;
uniform int pass;
uniform float shrunk;
out vec2 p;
flat out uvec3 vLook;
flat out vec3 vColor;
flat out vec2 vAge;                  // age as a part of stale-after, heading
flat out float vSize;                // as a part of its full size
flat out float vOpacity;
void main() {
  bool first = look.y == 3u || (look.z & 2u) != 0u;
  if ((look.z & 1u) == 0u || first != (pass == 1)) { gl_Position = vec4(2., 2., 2., 1.); return; }
  float age = max(now - timing.x, 0.);
  float stretch = cosh(3.14159265 * (1. - 2. * (originY + position.y)));
  float moved = motion.x * min(age, ${RECKONING_S}.) * stretch / ${EQUATOR_M.toFixed(1)};
  vec4 at = matrix * vec4(position + moved * vec2(sin(motion.y), -cos(motion.y)), 0., 1.);
  bool dimmed = !first && (look.z & 4u) != 0u;
  vSize = first ? 1. : dimmed ? shrunk * ${DIMMED.size.toFixed(2)} : shrunk;
  vOpacity = dimmed ? ${DIMMED.opacity.toFixed(2)} : 1.;
  at.xy += (corner * vSize + vec2(asideX, asideY) * ${(2 / EXTENT / FAN_STEPS).toFixed(6)}) * scale * at.w;
  gl_Position = at;
  p = corner * ${EXTENT};
  vLook = look;
  vColor = color;
  vAge = vec2(age / timing.y, motion.y);
}`;

const FRAGMENT = `#version 300 es
precision highp float;
uniform sampler2D atlas;
uniform int shape;
uniform float pixel;                 // size of one device pixel in units of the frame's radius
uniform float blink;
uniform vec3 hollow;                 // inside of a stale symbol, and what ageing ones fade towards
uniform vec3 ink;                    // its dashes and glyph; also the ring of the selected one
in vec2 p;
flat in uvec3 vLook;
flat in vec3 vColor;
flat in vec2 vAge;
flat in float vSize;
flat in float vOpacity;
out vec4 result;

float frame(vec2 q) {
  if (shape == 1) return (abs(q.x) + abs(q.y) - 1.3) * .7071;
  if (shape == 2) return max(abs(q.x), abs(q.y)) - .95;
  return length(q) - 1.;
}
float nose(vec2 q, float heading) {
  float s = sin(heading), c = cos(heading);
  vec2 n = vec2(q.x * c - q.y * s, q.x * s + q.y * c);
  return max((abs(n.x) - (1.52 - n.y) * .7) * .82, 1. - n.y);
}
void paint(inout vec4 under, vec3 color, float distance) {
  float cover = clamp(.5 - distance * vSize / pixel, 0., 1.);
  under = mix(under, vec4(color, 1.), cover);
}
void main() {
  bool stale = vAge.x >= 1.;
  float fade = stale ? 0. : clamp((vAge.x - .4) / .6, 0., 1.) * .5;
  vec3 fill = stale ? hollow : mix(vColor, hollow, fade);
  float d = frame(p);
  vec4 c = vec4(stale ? ink : vColor, 0.);

  if ((vLook.z & 2u) != 0u) { paint(c, ink, d - .62); paint(c, hollow, d - .4); }
  if (vAge.y >= 0. && shape == 0) {
    float n = nose(p, vAge.y);
    paint(c, vec3(1.), n - .1);
    paint(c, stale ? ink : fill, n);
  }
  if (stale) {
    // distress that nobody has taken back is still distress, however old
    if (vLook.y == 3u) paint(c, mix(vec3(1.), vec3(.88, 0., .14), blink), d - .36);
    paint(c, hollow, d - .12);
    float turn = atan(p.y, p.x) * 12. / 6.2832;
    if (fract(turn) < .6) { paint(c, ink, d - .06); paint(c, hollow, d + .14); }
  } else {
    paint(c, vec3(1.), d - .14);
    uint ring = vLook.y;
    if (ring == 3u) { paint(c, mix(vec3(1.), vec3(.88, 0., .14), blink), d - .3); paint(c, vec3(1.), d + .06); }
    else if (ring == 2u) paint(c, vec3(.04), d);
    else if (ring == 1u) { paint(c, vec3(.05), d + .0); paint(c, vec3(.98, .86, .1), d + .05); }
    else if (ring == 4u) paint(c, vec3(.45), d);
    float band = ring == 0u ? 0. : ring == 3u ? .16 : .22;
    paint(c, ring == 4u ? mix(fill, vec3(.5), .7) : fill, d + band);
  }
  vec2 g = p / (shape == 1 ? .8 : .86) * .5 + .5;
  g.y = 1. - g.y;
  if (all(greaterThan(g, vec2(0.))) && all(lessThan(g, vec2(1.)))) {
    vec2 cell = vec2(float(vLook.x % ${ATLAS_SIDE}u), float(vLook.x / ${ATLAS_SIDE}u));
    float k = texture(atlas, (cell + g) / ${ATLAS_SIDE}.).a;
    c.rgb = mix(c.rgb, stale ? ink : vec3(1.), k * c.a);
  }
  if (c.a < .01) discard;
  result = vec4(c.rgb * c.a, c.a) * vOpacity;
}`;

const UNIFORMS = [
  "matrix",
  "scale",
  "now",
  "originY",
  "pass",
  "shrunk",
  "atlas",
  "shape",
  "pixel",
  "blink",
  "hollow",
  "ink",
] as const;
type Uniforms = Record<(typeof UNIFORMS)[number], WebGLUniformLocation | null>;

export interface Inks {
  hollow: [number, number, number];
  ink: [number, number, number];
}

/** Draws `instances` with one frame shape. All its settings may change from frame to frame. */
export class SymbolLayer implements CustomLayerInterface {
  readonly type = "custom" as const;
  readonly renderingMode = "2d" as const;
  /** Width of a frame in CSS pixels. */
  size = 26;
  inks: Inks = { hollow: [1, 1, 1], ink: [0.3, 0.3, 0.3] };
  /** Whether distress is at its red moment; always 1 under reduced motion. */
  blink = 1;
  /** How large a symbol is drawn, as a part of `size`; those in distress and the selected one keep theirs. */
  shrunk = 1;
  /** Set when `instances` changed, so that they are sent to the graphics card once and not every frame. */
  dirty = true;
  anySelected = false;

  #map: MapLibre | null = null;
  #gl!: WebGL2RenderingContext;
  #program!: WebGLProgram;
  #vertices!: WebGLVertexArrayObject;
  #buffer!: WebGLBuffer;
  #atlas!: WebGLTexture;
  #uniforms!: Uniforms;
  #sent = 0;

  constructor(
    readonly id: string,
    private readonly shape: Shape,
    readonly instances: Instances,
    private readonly nowMs: () => number,
  ) {}

  onAdd(map: MapLibre, context: WebGLRenderingContext | WebGL2RenderingContext): void {
    const gl = context as WebGL2RenderingContext;
    this.#map = map;
    this.#gl = gl;
    this.#program = link(gl, VERTEX, FRAGMENT);
    this.#uniforms = Object.fromEntries(
      UNIFORMS.map((name) => [name, gl.getUniformLocation(this.#program, name)]),
    ) as Uniforms;
    this.#atlas = uploadAtlas(gl);
    this.#vertices = gl.createVertexArray();
    gl.bindVertexArray(this.#vertices);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 1, -1, -1, 1, 1, 1]), gl.STATIC_DRAW);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    this.#buffer = gl.createBuffer();
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffer);
    gl.vertexAttribPointer(1, 2, gl.FLOAT, false, BYTES, 0);
    gl.vertexAttribPointer(2, 2, gl.FLOAT, false, BYTES, 8);
    gl.vertexAttribPointer(3, 2, gl.FLOAT, false, BYTES, 16);
    gl.vertexAttribIPointer(4, 3, gl.UNSIGNED_BYTE, BYTES, 24);
    gl.vertexAttribPointer(5, 3, gl.UNSIGNED_BYTE, true, BYTES, 28);
    gl.vertexAttribPointer(6, 1, gl.BYTE, false, BYTES, 27);
    gl.vertexAttribPointer(7, 1, gl.BYTE, false, BYTES, 31);
    for (const location of [1, 2, 3, 4, 5, 6, 7]) {
      gl.enableVertexAttribArray(location);
      gl.vertexAttribDivisor(location, 1);
    }
    gl.bindVertexArray(null);
    this.#sent = 0;
    this.dirty = true;
  }

  onRemove(): void {
    this.#gl.deleteProgram(this.#program);
    this.#gl.deleteVertexArray(this.#vertices);
    this.#gl.deleteBuffer(this.#buffer);
    this.#gl.deleteTexture(this.#atlas);
    this.#map = null;
  }

  render(_context: WebGLRenderingContext | WebGL2RenderingContext, input: CustomRenderMethodInput): void {
    const { count, originX, originY, epochMs, distressed } = this.instances;
    const map = this.#map;
    if (!map || count === 0) return;
    const gl = this.#gl;
    const u = this.#uniforms;
    const ratio = map.getPixelRatio();
    gl.useProgram(this.#program);
    gl.bindVertexArray(this.#vertices);
    if (this.dirty) this.#send();
    const reach = this.size * ratio * EXTENT * 0.5;
    gl.uniform2f(u.scale, (2 * reach) / gl.drawingBufferWidth, (2 * reach) / gl.drawingBufferHeight);
    gl.uniform1f(u.pixel, 2 / (this.size * ratio));
    gl.uniform1f(u.now, (this.nowMs() - epochMs) / 1000);
    gl.uniform1f(u.originY, originY);
    gl.uniform1i(u.shape, SHAPE_NUMBER[this.shape]);
    gl.uniform1f(u.blink, this.blink);
    gl.uniform1f(u.shrunk, this.shrunk);
    gl.uniform3f(u.hollow, ...this.inks.hollow);
    gl.uniform3f(u.ink, ...this.inks.ink);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.#atlas);
    gl.uniform1i(u.atlas, 0);
    gl.disable(gl.DEPTH_TEST);
    gl.disable(gl.STENCIL_TEST);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const bounds = map.getBounds();
    // once for each copy of the world in sight: units beyond the antimeridian must not vanish
    for (
      let copy = Math.floor(mercatorX(bounds.getWest()));
      copy <= Math.floor(mercatorX(bounds.getEast()));
      copy++
    ) {
      const matrix = shifted(input.defaultProjectionData.mainMatrix, originX + copy, originY);
      gl.uniformMatrix4fv(u.matrix, false, matrix);
      gl.uniform1i(u.pass, 0);
      gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
      if (distressed > 0 || this.anySelected) {
        gl.uniform1i(u.pass, 1);
        gl.drawArraysInstanced(gl.TRIANGLE_STRIP, 0, 4, count);
      }
    }
    gl.bindVertexArray(null);
  }

  #send(): void {
    const gl = this.#gl;
    const { bytes, count } = this.instances;
    gl.bindBuffer(gl.ARRAY_BUFFER, this.#buffer);
    if (this.#sent !== bytes.byteLength) gl.bufferData(gl.ARRAY_BUFFER, bytes, gl.DYNAMIC_DRAW);
    else gl.bufferSubData(gl.ARRAY_BUFFER, 0, bytes, 0, count * BYTES);
    this.#sent = bytes.byteLength;
    this.dirty = false;
  }
}

/** `matrix` (column by column) after a shift by x, y; in 64 bits, as 32 would make symbols shake when zoomed in. */
function shifted(matrix: ArrayLike<number>, x: number, y: number): Float32Array {
  const result = Float32Array.from(matrix);
  for (let row = 0; row < 4; row++)
    result[12 + row] = matrix[12 + row]! + matrix[row]! * x + matrix[4 + row]! * y;
  return result;
}

function link(gl: WebGL2RenderingContext, ...sources: [vertex: string, fragment: string]): WebGLProgram {
  const program = gl.createProgram();
  sources.forEach((source, i) => {
    const shader = gl.createShader(i === 0 ? gl.VERTEX_SHADER : gl.FRAGMENT_SHADER)!;
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader) ?? "");
    gl.attachShader(program, shader);
  });
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program) ?? "");
  return program;
}

function uploadAtlas(gl: WebGL2RenderingContext): WebGLTexture {
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, drawAtlas());
  gl.generateMipmap(gl.TEXTURE_2D);
  gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR_MIPMAP_LINEAR);
  return texture;
}
