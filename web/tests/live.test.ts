import { beforeEach, describe, expect, test } from "vitest";
import {
  backoffMs,
  BLOCKED_AFTER,
  Clock,
  Live,
  type LiveEvent,
  PING_EVERY_MS,
  PLANNED_MS,
  SILENCE_MS,
  type Socket,
  type World,
} from "../src/live.ts";
import type { ClientMessage, View } from "../src/wire.ts";
import { bytes, EPOCH, frame, hello, layerInfo, put } from "./recorded.ts";

/** A world whose time passes only when told, and whose server is the test. */
class TestWorld implements World {
  time = 0;
  sockets: (Socket & { sent: ClientMessage[]; offered: string[]; closed: boolean })[] = [];
  reachable = true;
  #timers: { at: number; run: () => void }[] = [];

  open(_url: string, offered: string[]) {
    const sent: ClientMessage[] = [];
    const socket = {
      sent,
      offered,
      protocol: offered[0],
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
  answers = () => Promise.resolve(this.reachable);
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
  say(message: object | string | ArrayBuffer) {
    const ready = typeof message === "string" || message instanceof ArrayBuffer;
    this.socket.onmessage!({ data: ready ? message : JSON.stringify(message) });
  }
  close(code = 1006) {
    this.socket.onclose!({ code });
  }
  last<T extends ClientMessage["type"]>(type: T) {
    return this.socket.sent.findLast((each) => each.type === type) as Extract<ClientMessage, { type: T }>;
  }
}

const VIEW: View = { bbox: [-88, 41, -87, 42], zoom: 10 };
const NEXT: View = { bbox: [-87.9, 41, -86.9, 42], zoom: 10 };
const ALL = { operation: "surge", view: null, statuses: [], limit: 20_000 };
const layer = (from: number, to: number, more: object = {}) => ({ epoch: EPOCH, from, to, ...more });
const whole = { "a.units": layer(0, 5, { reset: true, put: [put("E1")] }) };

let world: TestWorld;
let events: LiveEvent[];
let live: Live;
/** The frame with which all of the view last asked for is held. */
const settled = (layers: Record<string, object>, more: object = {}) =>
  frame(layers, { view: askedNumber(), ...more });
const askedNumber = () =>
  (world.socket.sent.findLast(({ type }) => type === "subscribe" || type === "view") as { n: number }).n;
/** The connection breaks and comes back; what the client then asks for. */
function comesBack() {
  world.close();
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
  live.subscribe(ALL);
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

test("a connection that drops again before anything came resumes once more", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  expect(comesBack().since).not.toEqual({});
  world.say(hello([layerInfo("a.units")]));
  expect(comesBack().since).toEqual({ "a.units": `${EPOCH}:5` });
});

test("a connection that drops in the middle of the answer is asked for whole", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  comesBack();
  world.say(frame({ "a.units": layer(5, 6) }));
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
  const back = comesBack();
  expect(back).toMatchObject({ view: VIEW, since: { "a.units": `${EPOCH}:6` } });
  expect(back).not.toHaveProperty("held");
});

test("the number of the view before says what is held, and nothing of the view now on its way", () => {
  world.say(hello([layerInfo("a.units")]));
  const before = settled(whole);
  live.look(VIEW);
  world.say(before);
  expect(comesBack()).toMatchObject({ view: VIEW, held: null, since: { "a.units": `${EPOCH}:5` } });
});

test("a view chosen while there is no connection is asked for beside the one that is held", () => {
  world.say(hello([layerInfo("a.units")]));
  live.look(VIEW);
  world.say(settled(whole));
  world.close();
  live.look(NEXT);
  world.pass(1000);
  world.socket.onopen!();
  const since = { "a.units": `${EPOCH}:5` };
  expect(world.last("subscribe")).toMatchObject({ view: NEXT, held: VIEW, since });
});

test("what the server kept the sight of is what is held, however many views ago that was asked for", () => {
  world.say(hello([layerInfo("a.units")]));
  live.look(VIEW);
  world.say(settled(whole));
  const anchor = askedNumber();
  for (const west of [-87.99, -87.98, -87.97]) {
    live.look({ ...VIEW, bbox: [west, 41, -87, 42] });
    world.say(settled({}, { anchor }));
  }
  expect(comesBack()).toMatchObject({ held: VIEW, since: { "a.units": `${EPOCH}:5` } });
});

test("an anchor that nobody asked for is not believed", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole, { anchor: 77 }));
  expect(comesBack().since).toEqual({});
});

test("a summed layer has no cursor: it comes whole", () => {
  world.say(hello([layerInfo("a.units")]));
  const cells = [["872664c1affffff", 9, null, 1]];
  world.say(settled({ "a.units": layer(0, 0, { reset: true, cells }) }));
  expect(comesBack().since).toEqual({});
});

test("another operation starts from nothing", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  live.subscribe({ ...ALL, operation: "daily" });
  expect(events.at(-1)).toEqual({ kind: "message", message: { type: "forget" } });
  expect(world.last("subscribe")).toMatchObject({ operation: "daily", since: {} });
});

test("another filter asks for all anew, and takes nothing off the screen before it comes", () => {
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  live.subscribe({ ...ALL, statuses: ["distress", null] });
  expect(events.filter(({ kind }) => kind === "message")).toHaveLength(4);
  expect(world.last("subscribe")).toMatchObject({ where: { status: ["distress", null] }, since: {} });
});

test("whatever statuses are asked for, a call for help comes too", () => {
  world.say(hello([layerInfo("a.units")]));
  live.subscribe({ ...ALL, statuses: ["available"] });
  expect(world.last("subscribe")).toMatchObject({ where: { status: ["available", "distress"] } });
});

test("bytes are offered first, and read", () => {
  expect(world.socket.offered).toEqual(["cop.live.v1+bin", "cop.live.v1"]);
  expect(world.socket.binaryType).toBe("arraybuffer");
  expect(link().protocol).toBe("cop.live.v1+bin");
  world.say(hello([layerInfo("a.units")]));
  world.say(settled(whole));
  world.say(bytes({ "a.units": layer(5, 6, { packed: [["E1", 7, 8, 1_000_000, null, null]] }) }));
  const last = events.at(-1)!;
  const message = last.kind === "message" && last.message.type === "frame" ? last.message : null;
  expect([...message!.layers["a.units"]!.moves]).toEqual([7, 8, 1_000_000, NaN, NaN]);
});

describe("a planned restart", () => {
  const drained = () => {
    world.say(hello([]));
    world.say({ type: "drain", retry_ms: 4000 });
  };

  test("the old connection serves until the new one is open, and that one resumes", () => {
    world.say(hello([layerInfo("a.units")]));
    world.say(settled(whole));
    world.say({ type: "drain", retry_ms: 4000 });
    world.pass(3999);
    expect(world.sockets).toHaveLength(1);
    world.pass(1);
    const [old, next] = [world.sockets[0]!, world.sockets[1]!];
    old.onmessage!({ data: frame({ "a.units": layer(5, 6) }) });
    expect([old.closed, link().state]).toEqual([false, "live"]);
    next.onopen!();
    expect(old.closed).toBe(true);
    expect(world.last("subscribe").since).toEqual({ "a.units": `${EPOCH}:6` });
    world.pass(PLANNED_MS);
    expect(link()).toMatchObject({ state: "live", retryAt: null });
  });

  test("a new connection that is refused leaves the old one alone, and is tried again", () => {
    drained();
    world.pass(4000);
    world.close();
    expect(link().state).toBe("live");
    world.pass(1000);
    expect(world.sockets.map(({ closed }) => closed)).toEqual([false, false, false]);
  });

  test("an old connection that closes while the new one opens is no alarm yet", () => {
    drained();
    world.pass(4000);
    world.sockets[0]!.onclose!({ code: 1012 });
    expect(link().state).toBe("moving");
    world.socket.onopen!();
    world.say(hello([]));
    expect(link().state).toBe("live");
  });

  test("a close before that changes nothing of when", () => {
    drained();
    world.pass(3000);
    world.close(1012);
    expect(link().state).toBe("moving");
    world.pass(999);
    expect(world.sockets).toHaveLength(1);
    world.pass(1);
    expect(world.sockets).toHaveLength(2);
  });

  test("one that takes longer than three seconds is a lost connection", () => {
    drained();
    world.close(1012);
    world.pass(PLANNED_MS - 1);
    expect(link().state).toBe("moving");
    world.pass(1);
    expect(link().state).toBe("lost");
  });

  test("a close that says so is planned, without a word before", () => {
    world.say(hello([]));
    world.close(1012);
    expect(link().state).toBe("moving");
    world.pass(1000);
    expect(world.sockets).toHaveLength(2);
  });

  test("the next loss that nobody planned is an alarm at once", () => {
    drained();
    world.pass(4000);
    world.socket.onopen!();
    world.say(hello([]));
    world.close();
    expect(link().state).toBe("lost");
  });
});

describe("websockets that never open", () => {
  /** The connection ends before it opened, or after; the next attempt is under way. */
  const fails = async (times: number, { opens = false } = {}) => {
    for (let i = 0; i < times; i++) {
      if (opens) world.socket.onopen!();
      world.close();
      await Promise.resolve();
      world.pass(link().retryAt! - world.time);
    }
  };
  beforeEach(() => fails(1, { opens: true }));

  test("are told as blocked after three in a row while the server answers, until one opens", async () => {
    await fails(BLOCKED_AFTER - 1);
    expect(link().blocked).toBe(false);
    await fails(1);
    expect(link().blocked).toBe(true);
    world.socket.onopen!();
    expect(link().blocked).toBe(false);
  });

  test("that hang count as well", async () => {
    for (let i = 0; i < BLOCKED_AFTER; i++) world.pass(SILENCE_MS + backoffMs(i + 2, 0));
    await Promise.resolve();
    expect(link().blocked).toBe(true);
  });

  test("are no block while the server does not answer either", async () => {
    world.reachable = false;
    await fails(5);
    expect(link().blocked).toBe(false);
  });

  test("nor are those that opened and were lost", async () => {
    await fails(5, { opens: true });
    expect(link().blocked).toBe(false);
  });
});

test("what a server says is silent or missing goes to the page, and a new connection begins without", () => {
  world.say({ type: "stale", layer: "a.units", since: 5 });
  expect(events.at(-1)).toMatchObject({ message: { type: "stale", since: 5 } });
  world.say({ type: "missing", since: 6 });
  expect(events.at(-1)).toMatchObject({ message: { type: "missing", since: 6 } });
  comesBack();
  expect(events.at(-1)).toEqual({ kind: "message", message: { type: "connected" } });
});

test("a message that is not the protocol's is told, and does not end the connection", () => {
  world.say("{");
  expect(events.at(-1)).toMatchObject({ kind: "notice", code: "wire.invalid" });
  expect(world.socket.closed).toBe(false);
});

test("attempts come at 1, 2, 4 … 15 s, spread by up to as much again", () => {
  expect([1, 2, 3, 4, 5, 6, 60].map((attempt) => backoffMs(attempt, 0))).toEqual([
    1000, 2000, 4000, 8000, 15_000, 15_000, 15_000,
  ]);
  expect([backoffMs(2, 0.999), backoffMs(60, 0.999)]).toEqual([3998, 29_985]);
});

test.each([1, 3, 60])("a thousand pages at attempt %d don't come back at once", (attempt) => {
  const shortest = backoffMs(attempt, 0);
  const tenths = new Array<number>(10).fill(0);
  for (let page = 0; page < 1000; page++) {
    tenths[Math.floor((backoffMs(attempt, page / 1000) / shortest - 1) * 10)]!++;
  }
  expect(Math.max(...tenths), "in a tenth of the time that they have").toBeLessThanOrEqual(101);
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
