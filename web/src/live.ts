// The websocket client: connects, subscribes, resumes where it left off, keeps time, and says how the link is.
// It only talks; what a message means for the picture is `state.ts`'s. `live-worker.ts` runs it off the page's thread.

import { Holding, type PackedFrame } from "./holding.ts";
import { parse, PROTOCOL, WireError, type ClientMessage, type Hello, type View } from "./wire.ts";

/** How the link is. All times are ms since 1970 on this machine's clock. */
export interface Link {
  state: "connecting" | "live" | "lost";
  /** When anything was last heard from the server; null: never. */
  heardAt: number | null;
  /** When the next attempt is due, while there is no connection. */
  retryAt: number | null;
  /** Server's clock minus this machine's, ms. */
  offset: number;
  /** How old the last frame was when it arrived, ms. */
  lag: number | null;
}

export interface Subscription {
  operation: string | null;
  view: View | null;
}

export type LiveEvent =
  | {
      kind: "message";
      message: Hello | PackedFrame | { type: "revoked"; layer: string } | { type: "forget" };
    }
  | { kind: "link"; link: Link }
  | { kind: "notice"; code: string; detail: string };

/** What the client needs of the world; the tests give it another one. */
export interface World {
  open(url: string, protocol: string): Socket;
  now(): number;
  random(): number;
  after(delayMs: number, run: () => void): () => void;
}

export interface Socket {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onmessage: ((event: { data: string }) => void) | null;
  onclose: (() => void) | null;
}

export const PING_EVERY_MS = 10_000;
/** The server says something at least every 5 s; twice that, with room for one late frame, means nobody is there. */
export const SILENCE_MS = 12_000;

/** Delay before attempt 1, 2, 3 …: doubling from 1 s, at most 30 s, spread by half so that a thousand pages don't return at once. */
export function backoffMs(attempt: number, random: number): number {
  return Math.min(30_000, 500 * 2 ** Math.min(attempt, 10) * (1 + random));
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
  #clock = new Clock();
  #holding = new Holding();
  #subscription: Subscription | null = null;
  /** The `n` of the last view asked for, and of the last that the server said is held whole. */
  #askedView = 0;
  #heldView = 0;
  #attempt = 0;
  #link: Link = { state: "connecting", heardAt: null, retryAt: null, offset: 0, lag: null };
  #cancelRetry = () => {};
  #cancelPing = () => {};
  #cancelSilence = () => {};

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
  }

  retryNow(): void {
    if (this.#link.retryAt !== null) this.#connect();
  }

  /** Asks for another picture. What is held of the old one is dropped. */
  subscribe(subscription: Subscription): void {
    if (same(this.#subscription, subscription)) return;
    this.#subscription = subscription;
    this.#holding.clear();
    this.emit({ kind: "message", message: { type: "forget" } });
    this.#sendSubscription();
  }

  look(view: View | null): void {
    if (!this.#subscription || same(this.#subscription.view, view)) return;
    this.#subscription = { ...this.#subscription, view };
    this.#send({ type: "view", view, n: ++this.#askedView });
  }

  #connect(): void {
    this.#cancelRetry();
    this.#leave();
    this.#update({ retryAt: null });
    const socket = this.world.open(this.url, PROTOCOL);
    this.#socket = socket;
    socket.onopen = () => {
      this.#sendSubscription();
      this.#ping();
    };
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onclose = () => this.#lost();
    this.#listen();
  }

  /** Lets go of the socket without hearing its close: what comes after is no longer about this connection. */
  #leave(): void {
    this.#cancelPing();
    this.#cancelSilence();
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #lost(delayMs = backoffMs(++this.#attempt, this.world.random())): void {
    this.#leave();
    const state = this.#link.heardAt === null ? "connecting" : "lost";
    this.#update({ state, lag: null, retryAt: this.world.now() + delayMs });
    this.#cancelRetry = this.world.after(delayMs, () => this.#connect());
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
   * Everything that is held goes along as `since`, but only if the server has said that it is all of the last view asked
   * for: a cursor is a revision of a layer within a view, and tells nothing of what else a newer view shows.
   */
  #sendSubscription(): void {
    const wanted = this.#subscription;
    if (!this.#socket || !wanted) return;
    if (this.#heldView !== this.#askedView) this.#holding.clear();
    const n = ++this.#askedView;
    const since = this.#holding.cursors();
    const operation = wanted.operation === null ? {} : { operation: wanted.operation };
    this.#send({ type: "subscribe", ...operation, view: wanted.view, n, since });
  }

  #send(message: ClientMessage): void {
    try {
      this.#socket?.send(JSON.stringify(message));
    } catch {
      // Not open yet, or closing: the subscription is sent whole when it opens.
    }
  }

  #receive(source: string): void {
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
    this.#update({ state: "live", heardAt: now, retryAt: null });
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
        if (message.view === this.#askedView) this.#heldView = message.view;
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
      case "error":
        this.emit({ kind: "notice", code: message.code, detail: message.detail });
        return;
      case "drain":
        this.#lost(message.retry_ms);
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
