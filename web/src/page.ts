// The page's own state and what can be done with it: ties the live worker, the state, the map and the settings together.
// The panels read its signals and call its methods; nothing else holds state.

import { batch, computed, effect, signal } from "@preact/signals";
import type { FeatureCollection } from "geojson";
import { type Alert, alertsOf } from "./alerts.ts";
import { clockTime, nameOf, sinceTime, staleness } from "./format.ts";
import { getItem, getTrack, type Item, Refused } from "./http.ts";
import { interest } from "./interest.ts";
import { type Link, type LiveEvent, NO_LINK } from "./live.ts";
import type { Order } from "./live-worker.ts";
import { extent } from "./map/extent.ts";
import { EMPTY_COLLECTION } from "./map/overlays.ts";
import { type Camera, type Hovered, PictureMap } from "./map/picture-map.ts";
import { isSame, type Ref } from "./map/symbol-pool.ts";
import type { Theme } from "./map/theme.ts";
import type { Plan } from "./planner/plan.ts";
import { Planner } from "./planner/planner.ts";
import { apply, EMPTY, featureById, sizeOf, type State } from "./state.ts";
import {
  type Distress,
  inDistress,
  keyOf,
  newDistress,
  pageStatus,
  reportsOf,
  silencesOf,
  summarize,
  summedLayers,
} from "./summary.ts";
import { read, type Settings, write } from "./url.ts";
import type { BBox, Position, View } from "./wire.ts";

/** Where the map is before the picture says where to look: the city whose streets we carry. */
const FIRST_LOOK: Camera = { lng: -87.69, lat: 41.87, zoom: 10 };

/** How long the map goes after a picture that comes summed: from hexes as large as countries to those of a city. */
const SEEKING_MS = 3000;

/** How often the selected feature's revision and trail are asked for again. */
const REFRESH_MS = 5000;

export class Page {
  readonly settings = signal<Settings>(read(location.hash));
  readonly state = signal(EMPTY);
  readonly link = signal<Link>(NO_LINK);
  /** The time on the server's clock, ms; ticks once a second. */
  readonly now = signal(Date.now());
  readonly hover = signal<{ over: Hovered; x: number; y: number } | null>(null);
  /** What else lies under the last click. */
  readonly stack = signal<Ref[]>([]);
  readonly item = signal<Item | null>(null);
  readonly help = signal(false);
  readonly bounds = signal<BBox | null>(null);
  readonly notice = signal<string | null>(null);
  /** Said aloud by screen readers. */
  readonly announcement = signal("");

  readonly theme = computed<Theme>(() => {
    const choice = this.settings.value.theme;
    return choice === "auto" ? (this.#dark.value ? "dark" : "light") : choice;
  });
  /** The list stays the same object while other settings change, so the set made of it does too. */
  readonly #off = computed(() => this.settings.value.off);
  readonly off = computed(() => new Set(this.#off.value));
  readonly operation = computed(() => {
    const { operations } = this.state.value;
    const wanted = this.settings.value.operation;
    return operations.find((each) => each.id === wanted) ?? operations[0] ?? null;
  });
  readonly summary = computed(() => summarize(this.state.peek(), this.now.value));
  readonly reports = computed(() => reportsOf(this.summary.value, this.off.value));
  /** Says that most of the picture is stale; null while it is not. */
  readonly staleness = computed(() => {
    const reports = this.reports.value;
    return reports && staleness(reports.stale, reports.units - reports.summed);
  });
  readonly silences = computed(() => silencesOf(this.summary.value, this.off.value));
  /** Layers of which no feature can be listed or found, as they come summed. */
  readonly summed = computed(() => summedLayers(this.summary.value, this.off.value));
  readonly distress = computed(() => inDistress(this.state.peek(), this.now.value));
  readonly alerts = computed<Alert[]>(() => alertsOf(this.state.peek(), this.off.value, this.now.value));
  /** The same object until a layer comes, changes or leaves, whatever else happens on the picture. */
  readonly catalogue = computed(() => this.state.value.catalogue);
  readonly status = computed(() => {
    this.now.value;
    return pageStatus(this.state.peek(), this.operation.value?.id ?? null);
  });
  /** Whether the picture is asked for by view: counts then mean what is in view and a little around. */
  readonly byView = signal(false);
  /** Whether there may be features that are not held here. */
  readonly isPartial = computed(
    () => this.byView.value || this.summed.value.length > 0 || this.settings.value.statuses.length > 0,
  );
  readonly live = computed(() => this.link.value.state === "live");
  readonly missingSince = computed(() => this.state.value.missingSince);
  readonly planner = new Planner(this);

  map!: PictureMap;
  /** Puts the cursor into the search; the search box says how. */
  focusSearch = () => {};
  #worker: Worker;
  #dark = signal(matchMedia("(prefers-color-scheme: dark)").matches);
  #placed = false;
  /** Until when the map may go by itself to where the picture is, on the clock of `performance`. */
  #lookingUntil = Infinity;
  #drawn = false;
  #view: View | null = null;

  constructor() {
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
      this.#dark.value = event.matches;
    });
    this.#worker = new Worker(new URL("./live-worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<LiveEvent>) => this.#hear(data);
  }

  /** Builds the map into `container` and connects. */
  start(container: HTMLElement): void {
    const { camera } = this.settings.peek();
    if (camera !== null) this.#isPlaced();
    this.map = new PictureMap(container, this.theme.peek(), camera ?? FIRST_LOOK, () => this.serverNow(), {
      onPick: (refs, at, onSymbol) => {
        if (!this.planner.click(at, !onSymbol)) this.#pick(refs);
      },
      onHover: (over, x, y, bareAt) => {
        const isTold = this.planner.point(bareAt, x, y) || this.planner.variants.isDragging;
        const named = isTold ? null : over;
        if (named !== null || this.hover.peek() !== null) this.hover.value = named && { over: named, x, y };
      },
      onCamera: (now, byHand) => this.#moved(now, byHand),
      // without a connection no tile comes either; the banner says so, the console need not repeat it
      onError: (error) => this.live.peek() && console.error(error.message),
    });
    const at = (path: string) => new URL(path, document.baseURI).href;
    this.#order({ do: "start", url: at("live").replace(/^http/, "ws"), health: at("readyz") });
    setInterval(() => (this.now.value = this.serverNow()), 1000);
    this.#react();
    void this.map.ready.then(() => {
      this.bounds.value = this.map.bounds;
      this.planner.start();
    });
  }

  serverNow(): number {
    return Date.now() + this.link.peek().offset;
  }

  set(change: Partial<Settings>): void {
    this.settings.value = { ...this.settings.peek(), ...change };
  }

  setPlan(change: Partial<Plan>): void {
    this.set({ plan: { ...this.settings.peek().plan, ...change } });
  }

  select(ref: Ref | null): void {
    if (isSame(ref, this.settings.peek().selected)) return;
    batch(() => {
      this.item.value = null;
      this.set({ selected: ref, follow: false, trail: ref !== null && this.settings.peek().trail });
    });
  }

  /** Selects a feature and brings it into view; `known` is where it is if it is not held. */
  show(ref: Ref, known: Position | null = null): void {
    this.#isPlaced();
    this.select(ref);
    const at = this.map.placeOf(ref) ?? known;
    if (at) this.map.goTo(at[0]!, at[1]!);
  }

  toggle(name: "follow" | "trail" | "table" | "gap"): void {
    if ((name === "follow" || name === "trail") && !this.settings.peek().selected) return;
    this.set({ [name]: !this.settings.peek()[name] });
  }

  toggleLayers(names: string[], on: boolean): void {
    const off = new Set(this.settings.peek().off);
    for (const name of names) on ? off.delete(name) : off.add(name);
    this.set({ off: [...off] });
  }

  async home(): Promise<void> {
    this.set({ follow: false });
    const box = await this.#extent();
    if (box) this.map.fit(box);
  }

  /** Brings a unit in distress into view, or the hex that it is in. */
  showDistress({ at }: Distress): void {
    if ("cell" in at) void this.map.zoomInto(at.cell);
    else this.show(at.ref);
  }

  toggleStatus(status: string | null): void {
    const { statuses } = this.settings.peek();
    const rest = statuses.filter((each) => each !== status);
    this.set({ statuses: rest.length < statuses.length ? rest : [...statuses, status] });
  }

  chooseOperation(id: string): void {
    this.#placed = false;
    this.#lookingUntil = Infinity;
    this.set({ operation: id, selected: null, follow: false, off: [], statuses: [] });
    this.planner.remove();
  }

  retryNow(): void {
    this.#order({ do: "retry" });
  }

  /** Esc: ends the innermost thing that is open. */
  back(): void {
    const { selected, table, gap } = this.settings.peek();
    if (this.help.peek()) this.help.value = false;
    else if (this.planner.stopClicking()) return;
    else if (selected) this.select(null);
    else if (gap) this.toggle("gap");
    else if (table) this.toggle("table");
  }

  #order(order: Order): void {
    this.#worker.postMessage(order);
  }

  #hear(event: LiveEvent): void {
    switch (event.kind) {
      case "link":
        this.#heardLink(event.link);
        return;
      case "notice":
        this.notice.value = event.detail;
        return;
      case "message": {
        // the map must see every state: each says only what its own message changed
        const next = apply(this.state.peek(), event.message);
        this.map.draw(next);
        this.state.value = next;
        if (event.message.type === "hello") this.#subscribe();
        // counts are worked out once a second, but not the first ones: the picture has just come
        if ([...next.changes.values()].some(({ reset }) => reset)) this.now.value = this.serverNow();
        if (event.message.type === "frame") void this.#place(next.changes);
        if (!this.#drawn && next.layers.size > 0) this.#markDrawn();
        this.#look();
      }
    }
  }

  #heardLink(link: Link): void {
    const was = this.link.peek();
    this.link.value = link;
    if (was.state !== "lost" && link.state === "lost") {
      this.announcement.value = `Connection lost. Not live since ${clockTime(link.heardAt ?? Date.now())}.`;
    } else if (was.state === "lost" && link.state === "live") this.announcement.value = "Live again.";
    if (was.heardAt !== null && was.state !== "live" && link.state === "live") this.map.refresh();
  }

  #subscribe(): void {
    const operation = this.operation.peek()?.id ?? null;
    const { statuses, limit } = this.settings.peek();
    this.#order({ do: "subscribe", subscription: { operation, view: this.#view, statuses, limit } });
  }

  /** Somebody has chosen where to look. */
  #isPlaced(): void {
    this.#placed = true;
    this.#lookingUntil = 0;
  }

  #look(): void {
    if (!this.#placed) return;
    const held = { features: 0, summed: false };
    for (const layer of this.state.peek().layers.values()) {
      held.features += sizeOf(layer);
      held.summed ||= layer.cells.size > 0;
    }
    const view = interest(this.#view, this.map.bounds, this.map.map.getZoom(), held);
    if (view === this.#view) return;
    this.#view = view;
    this.byView.value = view !== null;
    this.#order({ do: "look", view });
  }

  /** Leaves a mark of when the first picture was on the screen, for whoever measures. */
  #markDrawn(): void {
    this.#drawn = true;
    void this.map.ready.then(() => this.map.map.once("render", () => performance.mark("picture-drawn")));
  }

  /**
   * The first look at a picture whose address says nothing about where: all of its units. What comes summed is first known
   * in hexes as large as countries, then by what was looked at in smaller ones: so the map goes there in a few steps.
   */
  async #place(changes: State["changes"]): Promise<void> {
    const news = [...changes.values()].some(({ reset }) => reset);
    if (this.#placed && !news) return;
    const summed = this.#isSummed();
    const box = performance.now() < this.#lookingUntil ? await this.#extent() : null;
    if (!box || performance.now() >= this.#lookingUntil) return;
    if (!summed) this.#isPlaced();
    else if (!this.#placed) this.#lookingUntil = performance.now() + SEEKING_MS;
    this.#placed = true;
    this.map.fit(box, false);
  }

  #isSummed(): boolean {
    return [...this.state.peek().layers.values()].some(({ cells }) => cells.size > 0);
  }

  /** Where the picture is; the hexes of what is summed are only worked out if there are any. */
  async #extent(): Promise<BBox | null> {
    const hexes = this.#isSummed() ? await import("./map/cells.ts") : null;
    return extent(this.state.peek(), hexes?.boxOf);
  }

  #moved(camera: Camera, byHand: boolean): void {
    this.bounds.value = this.map.bounds;
    // before the picture came, nobody chose this camera; it must not pass for a choice in the address
    if (byHand) this.#isPlaced();
    if (!this.#placed) return;
    this.set({ camera, ...(byHand ? { follow: false } : {}) });
    this.#look();
  }

  /** A second click on the same spot goes on to the next one of what lies there. */
  #pick(refs: Ref[]): void {
    const at = refs.findIndex((ref) => isSame(ref, this.settings.peek().selected));
    const next = refs.length > 0 ? refs[(at + 1) % refs.length]! : null;
    batch(() => {
      this.stack.value = refs;
      this.select(next);
    });
  }

  /** What follows from the settings, whoever changed them. */
  #react(): void {
    effect(() => {
      const fragment = write(this.settings.value);
      if (fragment !== location.hash.slice(1)) history.replaceState(null, "", `#${fragment}`);
    });
    addEventListener("hashchange", () => {
      const settings = read(location.hash);
      const { camera } = settings;
      this.settings.value = settings;
      if (!camera) return;
      this.#isPlaced();
      this.map.map.jumpTo({ center: [camera.lng, camera.lat], zoom: camera.zoom });
    });
    effect(() => {
      document.documentElement.dataset["theme"] = this.theme.value;
      this.map.setTheme(this.theme.value);
    });
    effect(() => this.map.hide(this.off.value));
    const operation = computed(() => this.operation.value?.id ?? null);
    const wanted = computed(() => {
      const { statuses, limit } = this.settings.value;
      return JSON.stringify([statuses, limit]);
    });
    effect(() => {
      wanted.value;
      if (operation.value !== null || this.state.peek().viewer !== null) this.#subscribe();
    });
    const selected = computed(() => this.settings.value.selected);
    effect(() => this.map.select(selected.value));
    const follow = computed(() => this.settings.value.follow);
    effect(() => this.map.follow(follow.value));
    // what has not come yet, or has left, need not be asked for
    const held = computed(() => (this.#isHeld(selected.value) ? selected.value : null));
    this.#refresh(held, (ref, signal) => this.#fetchItem(ref, signal));
    const trailed = computed(() => (this.settings.value.trail ? held.value : null));
    this.#refresh(trailed, (ref, signal) => this.#fetchTrail(ref, signal));
    this.#announceDistress();
    this.#announceStaleness();
    this.#announceSilence();
  }

  /** Runs `fetch` for the reference at once and every 5 s, as long as it stays the same. */
  #refresh(of: { value: Ref | null }, fetch: (ref: Ref | null, signal: AbortSignal) => Promise<void>): void {
    let before: Ref | null = null;
    let stop = () => {};
    effect(() => {
      const ref = of.value;
      if (isSame(ref, before)) return;
      before = ref;
      stop();
      const asking = new AbortController();
      const run = () => void fetch(ref, asking.signal).catch(() => {});
      const timer = setInterval(run, REFRESH_MS);
      stop = () => {
        asking.abort();
        clearInterval(timer);
      };
      run();
    });
  }

  async #fetchItem(ref: Ref | null, signal: AbortSignal): Promise<void> {
    if (!ref) return;
    const item = await getItem(ref, signal).catch((error) => {
      if (error instanceof Refused) return null;
      throw error;
    });
    if (!signal.aborted) this.item.value = item;
  }

  async #fetchTrail(ref: Ref | null, signal: AbortSignal): Promise<void> {
    if (!ref) return this.map.show("trail", EMPTY_COLLECTION);
    const { geometry } = await getTrack(ref, signal);
    if (signal.aborted) return;
    const points = geometry?.type === "LineString" ? geometry.coordinates : [];
    const features: FeatureCollection["features"] = points.map((coordinates) => ({
      type: "Feature",
      geometry: { type: "Point", coordinates },
      properties: {},
    }));
    if (geometry) features.push({ type: "Feature", geometry, properties: {} });
    this.map.show("trail", { type: "FeatureCollection", features });
  }

  #isHeld(ref: Ref | null): boolean {
    const state = this.state.value;
    if (!ref) return false;
    return this.isAskedFor(ref.layer) || !!featureById(state, ref.layer, ref.id);
  }

  /** Whether the features of a layer don't come by themselves, so that a selected one is asked for: tiled or summed. */
  isAskedFor(layer: string): boolean {
    const { catalogue, layers } = this.state.value;
    return catalogue.get(layer)?.stream === "tiled" || (layers.get(layer)?.cells.size ?? 0) > 0;
  }

  #announceDistress(): void {
    let known = new Set<string>();
    effect(() => {
      const now = this.distress.value;
      const fresh = newDistress(now, known);
      known = new Set(now.map(keyOf));
      if (fresh.length === 0) return;
      this.announcement.value = fresh.map(({ name, agency }) => `Distress: ${name}, ${agency}.`).join(" ");
    });
  }

  /** Only the end of it: around the half, it would be said again with every other unit. */
  #announceStaleness(): void {
    const allStale = computed(() => {
      const reports = this.reports.value;
      return reports !== null && reports.units > 0 && reports.stale === reports.units;
    });
    effect(() => {
      if (allStale.value) this.announcement.value = `Warning: ${this.staleness.peek()}.`;
    });
  }

  #announceSilence(): void {
    let known = new Set<string>();
    effect(() => {
      const now = this.silences.value;
      const fresh = now.filter(({ layer }) => !known.has(layer));
      known = new Set(now.map(({ layer }) => layer));
      if (fresh.length === 0) return;
      const told = fresh.map(
        ({ name, since }) => `${name}: silent since ${sinceTime(since, this.now.peek())}.`,
      );
      this.announcement.value = told.join(" ");
    });
    effect(() => {
      const since = this.missingSince.value;
      if (since === null) return;
      this.announcement.value = `Missing since ${sinceTime(since, this.now.peek())}: the server cannot read the log.`;
    });
  }

  /** What people call a feature, if it is held. */
  nameOf(ref: Ref): string {
    const info = this.state.peek().catalogue.get(ref.layer);
    const feature = featureById(this.state.peek(), ref.layer, ref.id);
    return info && feature ? nameOf(info.kind, ref.id, feature.properties) : ref.id;
  }
}
