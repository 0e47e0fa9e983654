// The live worker: runs the websocket client off the page's thread and posts what it says.

import { transferables } from "./holding.ts";
import { Live, type LiveEvent, type Socket, type Subscription, type World } from "./live.ts";
import type { View } from "./wire.ts";

export type Order =
  | { do: "start"; url: string; health: string }
  | { do: "subscribe"; subscription: Subscription }
  | { do: "look"; view: View | null }
  | { do: "retry" };

const scope = self as unknown as DedicatedWorkerGlobalScope;

const world = (health: string): World => ({
  open: (url, protocols) => new WebSocket(url, protocols) as unknown as Socket,
  answers: () =>
    fetch(health, { cache: "no-store" }).then(
      ({ ok }) => ok,
      () => false,
    ),
  now: () => Date.now(),
  random: () => Math.random(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs);
    return () => clearTimeout(timer);
  },
});

let live: Live | null = null;

function emit(event: LiveEvent): void {
  const frame = event.kind === "message" && event.message.type === "frame" ? event.message : null;
  scope.postMessage(event, frame ? transferables(frame) : []);
}

scope.onmessage = ({ data: order }: MessageEvent<Order>) => {
  switch (order.do) {
    case "start":
      live = new Live(order.url, world(order.health), emit);
      return live.start();
    case "subscribe":
      return live?.subscribe(order.subscription);
    case "look":
      return live?.look(order.view);
    case "retry":
      return live?.retryNow();
  }
};
