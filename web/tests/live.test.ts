import { beforeEach, expect, test } from "vitest";
import {
  backoffMs,
  Clock,
  Live,
  type LiveEvent,
  PING_EVERY_MS,
  SILENCE_MS,
  type Socket,
  type World,
} from "../src/live.ts";
import type { ClientMessage, View } from "../src/wire.ts";
import { EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

/** A world whose time passes only when told, and whose server is the test. */
class TestWorld implements World {
  time = 0;
  sockets: (Socket & { sent: ClientMessage[]; closed: boolean })[] = [];
  #timers: { at: number; run: () => void }[] = [];

  open() {
    const sent: ClientMessage[] = [];
    const socket = {
      sent,
      closed: false,
      send: (text: string) => sent.push(JSON.parse(text) as ClientMessage),
      close: () => (socket.closed = true),
      onopen: null,
      onmessage: null,
      onclose: null,
    } as unknown as (typeof this.sockets)[number];
    this.sockets.push(socket);
    return socket;
  }
  now = () => this.time;
  random = () => 0;
  after(delayMs: number, run: () => void) {
    const timer = { at: this.time + delayMs, run };
    this.#timers.push(timer);
    return () => void (this.#timers = this.#timers.filter((each) => each !== timer));
  }
  pass(ms: number) {
    const end = this.time + ms;
    for (;;) {
      const due = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((each) => each !== due);
      this.time = due.at;
      due.run();
    }
    this.time = end;
  }
  get socket() {
    return this.sockets.at(-1)!;
  }
  say(message: object | string) {
    this.socket.onmessage!({ data: typeof message === "string" ? message : JSON.stringify(message) });
  }
  last<T extends ClientMessage["type"]>(type: T) {
    return this.socket.sent.findLast((each) => each.type === type) as Extract<ClientMessage, { type: T }>;
  }
}

const VIEW: View = { bbox: [-88, 41, -87, 42], zoom: 10 };
const layer = (from: number, to: number, more: object = {}) => ({ epoch: EPOCH, from, to, ...more });
const whole = { "a.units": layer(0, 5, { reset: true, put: [put("E1")] }) };

let world: TestWorld;
let events: LiveEvent[];
let live: Live;
/** The frame with which all of the view last asked for is held. */
const settled = (layers: Record<string, object>) => {
  const asked = world.socket.sent.findLast(({ type }) => type === "subscribe" || type === "view") as { n: number }; // prettier-ignore
  return frame(layers, { view: asked.n });
};
/** The connection breaks and comes back; what the client then asks for. */
function comesBack() {
  world.socket.onclose!();
  world.pass(2000);
  world.socket.onopen!();
  return world.last("subscribe");
}
const link = () => events.findLast((each) => each.kind === "link")!.link;

beforeEach(() => {
  world = new TestWorld();
  events = [];
  live = new Live("ws://test/live", world, (event) => events.push(event));
  live.start();
  live.subscribe({ operation: "surge", view: null });
  world.socket.onopen!();
});

test("nothing heard for 12 s is a lost connection, and the banner's time is when we last heard", () => {
  world.say(hello([layerInfo("a.units")]));
  world.pass(SILENCE_MS - 1);
  expect(link().state).toBe("live");
  world.pass(1);
  expect(link()).toMatchObject({ state: "lost", heardAt: 0 });
});

test("a connection that comes back resumes with what it holds", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  world.say(frame({ "a.units": layer(5, 6) }));
  expect(comesBack()).toMatchObject({ operation: "surge", since: { "a.units": `${EPOCH}:6` } });
});

test("a first picture of which only a part came is asked for whole", () => {
  world.say(hello([layerInfo("a.units"), layerInfo("b.units")]));
  world.say(frame(whole));
  expect(comesBack().since).toEqual({});
});

test("a layer of which only a part came is asked for whole, though the view was held", () => {
  world.say(hello([layerInfo("a.units"), layerInfo("new.units")]));
  world.say(settled(whole));
  world.say(frame({ "new.units": layer(0, 0, { reset: true, put: [put("E2")] }) }));
  expect(comesBack().since).toEqual({ "a.units": `${EPOCH}:5` });
});

test("a connection that drops again before the answer came is asked for whole", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  expect(comesBack().since).not.toEqual({});
  expect(comesBack().since).toEqual({});
});

test("a frame that does not follow asks for that layer whole, and for the others only what is new", () => {
  world.say(hello([layerInfo("a.units"), layerInfo("b.units")]));
  world.say(settled({ "a.units": layer(0, 5, { reset: true }), "b.units": layer(0, 7, { reset: true }) }));
  world.say(frame({ "a.units": layer(6, 8) }));
  expect(world.last("subscribe").since).toEqual({ "b.units": `${EPOCH}:7` });
});

test("a view that is still on its way when the connection drops is asked for whole", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  live.look(VIEW);
  world.say(frame({ "a.units": layer(5, 6) }));
  expect(comesBack()).toMatchObject({ view: VIEW, since: {} });
});

test("a view is held once its number came back", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  live.look(VIEW);
  world.say(settled({ "a.units": layer(5, 6) }));
  expect(comesBack()).toMatchObject({ view: VIEW, since: { "a.units": `${EPOCH}:6` } });
});

test("the number of the view before says nothing of the one now on its way", () => {
  world.say(hello([layerInfo("a.units")]));
  const before = settled(whole);
  live.look(VIEW);
  world.say(before);
  expect(comesBack()).toMatchObject({ view: VIEW, since: {} });
});

test("a view chosen while there is no connection is asked for whole", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  world.socket.onclose!();
  live.look(VIEW);
  world.pass(1000);
  world.socket.onopen!();
  expect(world.last("subscribe")).toMatchObject({ view: VIEW, since: {} });
});

test("another operation starts from nothing", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  live.subscribe({ operation: "daily", view: null });
  expect(events.at(-1)).toEqual({ kind: "message", message: { type: "forget" } });
  expect(world.last("subscribe")).toMatchObject({ operation: "daily", since: {} });
});

test("a drained connection comes back when the server says, not before", () => {
  world.say(hello([]));
  world.say({ type: "drain", retry_ms: 4000 });
  world.pass(3999);
  expect(world.sockets).toHaveLength(1);
  world.pass(1);
  expect(world.sockets).toHaveLength(2);
});

test("a message that is not the protocol's is told, and does not end the connection", () => {
  world.say("{");
  expect(events.at(-1)).toMatchObject({ kind: "notice", code: "wire.invalid" });
  expect(world.socket.closed).toBe(false);
});

test("attempts come at 1, 2, 4 … 30 s, spread by up to as much again", () => {
  expect([1, 2, 3, 4, 5, 6, 60].map((attempt) => backoffMs(attempt, 0))).toEqual([
    1000, 2000, 4000, 8000, 16000, 30000, 30000,
  ]);
  expect(backoffMs(2, 0.999)).toBeLessThan(4000);
});

test("the clock believes the exchange with the shortest round trip", () => {
  const clock = new Clock();
  clock.sample(0, 1000, 5000);
  clock.sample(2000, 2020, 7010);
  clock.sample(3000, 3600, 8500);
  expect(clock.offset).toBe(5000);
});

test("the lag of a frame is counted on the server's clock", () => {
  world.say(hello([], { server_time: 1_000_000 }));
  world.pass(400);
  world.say(frame({}));
  expect(link().lag).toBe(400);
});

test("a ping goes out every 10 s", () => {
  world.say(hello([]));
  world.pass(PING_EVERY_MS);
  expect(world.socket.sent.filter(({ type }) => type === "ping")).toHaveLength(2);
});
