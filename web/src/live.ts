// The websocket client: connects, subscribes, resumes where it left off, keeps time, and says how the link is.
// It only talks; what a message means for the picture is `state.ts`'s. `live-worker.ts` runs it off the page's thread.

import { Holding } from "./holding.ts";
import type { Message } from "./state.ts";
import {
  type ClientMessage,
  type Frame,
  parse,
  PROTOCOLS,
  type View,
  type Where,
  WireError,
} from "./wire.ts";

/**
 * How the link is. All times are ms since 1970 on this machine's clock. `moving`: the server is being restarted as planned,
 * and the next connection is due in a moment.
 */
export interface Link {
  state: "connecting" | "live" | "moving" | "lost";
  /** When anything was last heard from the server; null: never. */
  heardAt: number | null;
  /** When the next attempt is due, while there is no connection. */
  retryAt: number | null;
  /** Server's clock minus this machine's, ms. */
  offset: number;
  /** How old the last frame was when it arrived, ms. */
  lag: number | null;
  /** What was agreed on with the server; null: nothing yet. */
  protocol: string | null;
  /** Websockets don't open although the server answers: something between it and us forbids them. */
  blocked: boolean;
}

export const NO_LINK: Link = {
  state: "connecting",
  heardAt: null,
  retryAt: null,
  offset: 0,
  lag: null,
  protocol: null,
  blocked: false,
};

export interface Subscription {
  operation: string | null;
  view: View | null;
  /** Only features with one of these statuses; null stands for none. Empty: all features. */
  statuses: (string | null)[];
  limit: number;
}

export type LiveEvent =
  | { kind: "message"; message: Message }
  | { kind: "link"; link: Link }
  | { kind: "notice"; code: string; detail: string };

/** What the client needs of the world; the tests give it another one. */
export interface World {
  open(url: string, protocols: string[]): Socket;
  /** Whether the server answers a plain HTTP request. */
  answers(): Promise<boolean>;
  now(): number;
  random(): number;
  after(delayMs: number, run: () => void): () => void;
}

export interface Socket {
  binaryType: string;
  readonly protocol: string;
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null;
  onclose: ((event: { code: number }) => void) | null;
}

export const PING_EVERY_MS = 10_000;
/** The server says something at least every 5 s; twice that, with room for one late frame, means nobody is there. */
export const SILENCE_MS = 12_000;

/** A planned restart that takes longer than this is a lost connection like any other, and is shown as one. */
export const PLANNED_MS = 3000;
/** So many websockets in a row that never opened are no accident. */
export const BLOCKED_AFTER = 3;
/** The close code of a server that stops as planned. */
const DRAINED = 1012;

/**
 * Delay before attempt 1, 2, 3 …: doubling from 1 s to at most 30 s. Half of it is left to chance, at the longest too, so
 * that a thousand pages that lost the server together don't come back together.
 */
export function backoffMs(attempt: number, random: number): number {
  return Math.min(15_000, 500 * 2 ** Math.min(attempt, 10)) * (1 + random);
}

/** The server's clock against ours, from the exchange with the shortest round trip: that one bounds the error tightest. */
export class Clock {
  #samples: { rtt: number; offset: number }[] = [];

  sample(sentMs: number, receivedMs: number, serverMs: number): void {
    this.#samples.push({ rtt: receivedMs - sentMs, offset: serverMs - (sentMs + receivedMs) / 2 });
    // A few minutes of pings: long enough to have seen a quiet moment, short enough to follow a clock that drifts.
    if (this.#samples.length > 20) this.#samples.shift();
  }

  get offset(): number | null {
    if (this.#samples.length === 0) return null;
    return this.#samples.reduce((best, each) => (each.rtt < best.rtt ? each : best)).offset;
  }
}

export class Live {
  #socket: Socket | null = null;
  /** The one that is to take over, and is not open yet. */
  #next: Socket | null = null;
  #clock = new Clock();
  #holding = new Holding();
  #subscription: Subscription | null = null;
  /** The views asked for, by their number, from the one that the cursors are of to the last. */
  #views = new Map<number, View | null>();
  #asked = 0;
  /** The number of the view under which the cursors of what is held were obtained; null: what is held is of no one view. */
  #anchor: number | null = null;
  /** The number of the last view of which all was held. */
  #settled = 0;
  #attempt = 0;
  /** Connections in a row that never opened. */
  #unopened = 0;
  #opened = false;
  #planned = false;
  #link = NO_LINK;
  #cancelRetry = () => {};
  #cancelPing = () => {};
  #cancelSilence = () => {};
  #cancelGrace = () => {};

  constructor(
    private readonly url: string,
    private readonly world: World,
    private readonly emit: (event: LiveEvent) => void,
  ) {}

  start(): void {
    this.#connect();
  }

  stop(): void {
    this.#leave();
    this.#cancelRetry();
    this.#cancelGrace();
  }

  retryNow(): void {
    if (this.#link.retryAt !== null) this.#connect();
  }

  /**
   * Asks for another picture. What is held of another operation is dropped at once; of the same one, filtered otherwise, it
   * stays on the screen until each layer comes anew.
   */
  subscribe(subscription: Subscription): void {
    const before = this.#subscription;
    if (same(before, subscription)) return;
    this.#subscription = subscription;
    this.#holding.clear();
    if (before?.operation !== subscription.operation) {
      this.emit({ kind: "message", message: { type: "forget" } });
    }
    this.#sendSubscription();
  }

  look(view: View | null): void {
    if (!this.#subscription || same(this.#subscription.view, view)) return;
    this.#subscription = { ...this.#subscription, view };
    // what is not sent now goes with the subscription when the connection is there
    if (this.#opened) this.#send({ type: "view", view, n: this.#number(view) });
  }

  #number(view: View | null): number {
    this.#views.set(++this.#asked, view);
    return this.#asked;
  }

  /** Opens a connection; in a planned restart the one that still serves does so until the new one is open. */
  #connect(): void {
    this.#cancelRetry();
    this.#update({ retryAt: null });
    const beside = this.#planned && this.#opened;
    if (!beside) this.#leave();
    const socket = this.world.open(this.url, PROTOCOLS);
    socket.binaryType = "arraybuffer";
    if (beside) this.#next = socket;
    else this.#socket = socket;
    socket.onopen = () => {
      if (socket === this.#next) this.#takeNext();
      this.#opened = true;
      this.#unopened = 0;
      this.#planned = false;
      this.#update({ protocol: socket.protocol, blocked: false });
      this.emit({ kind: "message", message: { type: "connected" } });
      this.#sendSubscription();
      this.#ping();
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = ({ code }) => (socket === this.#next ? this.#nextFailed() : this.#closed(code));
    this.#listen();
  }

  #takeNext(): void {
    const next = this.#next;
    this.#next = null;
    this.#leave();
    this.#socket = next;
    this.#listen();
  }

  #nextFailed(): void {
    this.#next = null;
    this.#retryIn(backoffMs(++this.#attempt, this.world.random()));
  }

  /** Lets go of the socket without hearing its close: what comes after is no longer about this connection. */
  #leave(): void {
    this.#cancelPing();
    this.#cancelSilence();
    const sockets = [this.#socket, this.#next];
    this.#socket = this.#next = null;
    this.#opened = false;
    for (const socket of sockets) {
      if (!socket) continue;
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
  }

  #closed(code: number): void {
    if (code === DRAINED) this.#planned = true;
    if (this.#next) this.#takeNext();
    else if (this.#link.retryAt !== null) this.#leave();
    else return this.#lost();
    // the close that was announced: another connection is under way, or its time has been told
    this.#moveOn();
  }

  #lost(): void {
    if (!this.#opened && ++this.#unopened >= BLOCKED_AFTER) void this.#lookForBlock();
    this.#leave();
    const delayMs = backoffMs(++this.#attempt, this.world.random());
    const { heardAt, state } = this.#link;
    if (heardAt === null) this.#update({ state: "connecting" });
    else if (this.#planned && state !== "lost") this.#moveOn();
    else this.#update({ state: "lost", lag: null });
    this.#retryIn(delayMs);
  }

  #retryIn(delayMs: number): void {
    this.#cancelRetry();
    this.#update({ retryAt: this.world.now() + delayMs });
    this.#cancelRetry = this.world.after(delayMs, () => this.#connect());
  }

  /** Between two connections of a planned restart: no alarm, for a moment. */
  #moveOn(): void {
    if (this.#link.state !== "live") return;
    this.#update({ state: "moving", lag: null });
    this.#cancelGrace = this.world.after(PLANNED_MS, () => this.#update({ state: "lost" }));
  }

  /** The server says when to come back; until then this connection serves, if it is left open. */
  #drain(retryMs: number): void {
    this.#planned = true;
    this.#retryIn(retryMs * (1 + this.world.random() / 5));
  }

  async #lookForBlock(): Promise<void> {
    const answers = await this.world.answers();
    if (!this.#opened) this.#update({ blocked: answers });
  }

  #listen(): void {
    this.#cancelSilence();
    this.#cancelSilence = this.world.after(SILENCE_MS, () => this.#lost());
  }

  #ping(): void {
    this.#send({ type: "ping", sent: this.world.now() });
    this.#cancelPing();
    this.#cancelPing = this.world.after(PING_EVERY_MS, () => this.#ping());
  }

  /**
   * Everything that is held goes along as `since`, with the view that it is of as `held`. What is of no one view, because
   * the answer to the last view had only begun, is asked for whole: a cursor is a revision of a layer within a view, and
   * tells nothing of what else another view shows.
   */
  #sendSubscription(): void {
    const wanted = this.#subscription;
    if (!this.#opened || !wanted) return;
    const { operation, view, statuses, limit } = wanted;
    if (this.#anchor === null) this.#holding.clear();
    const held = this.#anchor === null ? view : this.#views.get(this.#anchor)!;
    const since = this.#holding.cursors();
    this.#send({
      type: "subscribe",
      ...(operation === null ? {} : { operation }),
      view,
      n: this.#number(view),
      since,
      ...(same(held, view) || Object.keys(since).length === 0 ? {} : { held }),
      // no filter of a dispatcher's hides a call for help
      ...(statuses.length === 0
        ? {}
        : { where: { status: [...new Set([...statuses, "distress"])] } satisfies Where }),
      limit,
    });
  }

  /** Takes note, after a frame, of what view the layers are that are held now. */
  #settle({ view, anchor }: Frame): void {
    if (view === null) {
      // part of the answer to a newer view has come, and what left sight for it is gone already
      if (this.#asked > this.#settled) this.#anchor = null;
      return;
    }
    this.#settled = view;
    this.#anchor = this.#views.has(anchor ?? view) ? (anchor ?? view) : null;
    for (const number of this.#views.keys()) {
      if (number <= view && number !== this.#anchor) this.#views.delete(number);
    }
  }

  #send(message: ClientMessage): void {
    try {
      this.#socket?.send(JSON.stringify(message));
    } catch {
      // Not open yet, or closing: the subscription is sent whole when it opens.
    }
  }

  #receive(source: string | ArrayBuffer): void {
    this.#listen();
    let message;
    try {
      message = parse(source);
    } catch (error) {
      const detail = error instanceof WireError ? error.message : "live message: not JSON";
      this.emit({ kind: "notice", code: "wire.invalid", detail });
      return;
    }
    const now = this.world.now();
    this.#attempt = 0;
    this.#cancelGrace();
    this.#update({ state: "live", heardAt: now });
    switch (message?.type) {
      case "hello":
        this.#holding.keep(new Set(message.layers.map((layer) => layer.id)));
        if (this.#clock.offset === null) this.#update({ offset: message.server_time - now });
        this.emit({ kind: "message", message });
        return;
      case "frame": {
        this.#update({ lag: Math.max(0, now + this.#link.offset - message.time) });
        const { packed, lost } = this.#holding.take(message);
        this.emit({ kind: "message", message: packed });
        this.#settle(message);
        if (lost.length > 0) this.#sendSubscription();
        return;
      }
      case "pong":
        this.#clock.sample(message.sent, now, message.server_time);
        this.#update({ offset: this.#clock.offset ?? 0 });
        return;
      case "revoked":
        this.#holding.drop(message.layer);
        this.emit({ kind: "message", message });
        return;
      case "stale":
      case "missing":
        this.emit({ kind: "message", message });
        return;
      case "error":
        this.emit({ kind: "notice", code: message.code, detail: message.detail });
        return;
      case "drain":
        this.#drain(message.retry_ms);
        return;
    }
  }

  #update(change: Partial<Link>): void {
    this.#link = { ...this.#link, ...change };
    this.emit({ kind: "link", link: this.#link });
  }
}

function same(a: unknown, b: unknown): boolean {
  return a === b || (a !== undefined && b !== undefined && JSON.stringify(a) === JSON.stringify(b));
}
