// The planner's desk: asks for the coverage of an area, draws the answer, and leads on to what if, over time and where next.
// What is set lies in the page's settings; what the server answered lies here.

import { computed, effect, signal } from "@preact/signals";
import type { FeatureCollection } from "geojson";
import { ask, fetchFile, getItem, post } from "../http.ts";
import type { Colouring } from "../map/hexes.ts";
import { EMPTY_COLLECTION } from "../map/overlays.ts";
import { PALETTE } from "../map/theme.ts";
import type { Page } from "../page.ts";
import type { Geometry, Position } from "../wire.ts";
import { type Analysis, fileName, type HexAnswer, type Placement, type Timeline } from "./answers.ts";
import { Asking, inWords } from "../asking.ts";
import type { CellSet } from "./cell-set.ts";
import { HexLookup } from "./hex-lookup.ts";
import { type Area, lastingOf, type Plan, questionOf, type Tab, timelineOf } from "./plan.ts";
import { Variants } from "./variants.ts";
import { isPart } from "./words.ts";

/** How long the slider of the timeline rests before the map follows: an answer of a city takes about as long. */
const REST_MS = 200;

/** What the next click on the map is for. */
export type Clicking = "corners" | "addition" | null;

export class Planner {
  readonly analysis = new Asking<Analysis>();
  readonly timeline = new Asking<Timeline>();
  readonly placement = new Asking<Placement>();
  readonly clicking = signal<Clicking>(null);
  /** What is set, other than it was when the answer was asked for. */
  readonly isOutdated = computed(() => {
    const question = questionOf(this.page.settings.value.plan);
    return this.analysis.state.value.phase === "done" && JSON.stringify(question) !== this.#asked.value;
  });
  /** What the panel has open; null: it is closed. */
  readonly tab = computed<Tab | null>(() => {
    const { gap, plan } = this.page.settings.value;
    return gap ? plan.tab : null;
  });
  readonly isOpen = computed(() => this.tab.value !== null);
  readonly run = computed(() => this.analysis.answer?.run ?? null);
  readonly variants: Variants;
  readonly pointed = new HexLookup(hexOf);
  readonly pinned = new HexLookup(hexOf);
  /** Whether all that is asked can be seen and changed; else one line says it. */
  readonly isQuestionOpen = signal(true);
  /** Where the pointer is while it points at a hex, CSS pixels. */
  readonly pointer = signal<{ x: number; y: number }>({ x: 0, y: 0 });
  /** Why a file could not be had, or which one is being made. */
  readonly saving = signal<{ what: string; failed: string | null } | null>(null);
  /** How far what is added to a variant reaches, metres. */
  readonly newReachM = signal(1500);

  /** Which step of the timeline is told; null: the worst one. */
  readonly step = signal<number | null>(null);

  readonly #asked = signal<string | null>(null);
  /** What was set when the answer was asked for. */
  readonly #plan = signal<Plan | null>(null);
  /** Of what the timeline is. */
  #timelineOf = "";
  #resting: ReturnType<typeof setTimeout> | undefined;
  readonly #outline = signal<FeatureCollection>(EMPTY_COLLECTION);
  #drawing: AbortController | null = null;
  /** Counts what was drawn: the H3 library may come later than the next answer. */
  #drawn = 0;
  #hexes: {
    of: Analysis;
    covered: CellSet;
    cellAt: (lng: number, lat: number, resolution: number) => string;
  } | null = null;

  constructor(private readonly page: Page) {
    this.variants = new Variants(page, this.run);
  }

  /** Follows the settings from now on; the map must be there. */
  start(): void {
    const colouring = computed<Colouring>(() => {
      // overlap and depth are those of what is, not of a variant
      if (this.tab.value === "changes" && this.variants.shown.value) return "gap";
      return this.page.settings.value.plan.byDepth ? "depth" : "parts";
    });
    effect(() => void this.#draw(this.isOpen.value ? this.analysis.answer : null, colouring.value));
    effect(() =>
      this.page.map.show("area-of-interest", this.isOpen.value ? this.#outline.value : EMPTY_COLLECTION),
    );
    const marked = computed(() => {
      const cells = [this.pinned.hex.value?.cell, this.pointed.hex.value?.cell].filter(
        (each) => each !== undefined,
      );
      return [...new Set(cells)].join();
    });
    effect(() => void this.#drawMarked(marked.value ? marked.value.split(",") : []));
    effect(() => this.#drawSites(this.tab.value === "next" ? this.placement.answer : null));
    const drawn = computed(() => (this.isOpen.value && this.analysis.answer ? this.#plan.value : null));
    let dimmed = "";
    effect(() => {
      const plan = drawn.value;
      const of = plan ? lastingOf(plan) : "";
      if (of === dimmed) return; // another moment asks for the same features
      dimmed = of;
      this.page.map.dim(plan && ((info, properties) => isPart(plan, info, properties)));
    });
    effect(() => this.page.map.point(this.clicking.value === "addition"));
    this.variants.start();
    // a closed panel keeps what was set and answered; one that is opened by a link asks what the link says
    effect(() => {
      if (!this.isOpen.value) this.#leave();
      else if (this.analysis.state.peek().phase === "idle") void this.askAll();
    });
  }

  #leave(): void {
    this.stopClicking();
    this.pinned.leave();
    this.pointed.leave();
  }

  async drawArea(): Promise<void> {
    this.#drawing?.abort();
    const drawing = (this.#drawing = new AbortController());
    const { drawArea } = await import("../map/draw-area.ts");
    if (this.#drawing !== drawing) return;
    this.clicking.value = "corners"; // and not before: what is asked for is a click that counts
    const color = PALETTE[this.page.theme.peek()].label;
    const geometry = await drawArea(this.page.map.map, color, drawing.signal);
    if (this.#drawing !== drawing) return;
    this.clicking.value = null;
    if (geometry?.type === "Polygon") await this.take({ ring: geometry.coordinates[0]!.slice(0, -1) });
  }

  async takeView(): Promise<void> {
    const [west, south, east, north] = this.page.map.bounds;
    await this.take({ ring: [[west, south], [east, south], [east, north], [west, north]] }); // prettier-ignore
  }

  async take(area: Area): Promise<void> {
    clearTimeout(this.#resting);
    this.page.setPlan({ area });
    await this.askAll();
  }

  /** Asks for gaps and overlaps in the area of the settings; with `keep` the last answer stands until this one comes. */
  async askAll(keep = false): Promise<void> {
    const { plan } = this.page.settings.peek();
    const question = questionOf(plan);
    const { area } = plan;
    if (!question || !area) return;
    if (this.#timelineOf !== lastingOf(plan)) this.timeline.reset();
    this.#leave();
    this.isQuestionOpen.value = false;
    this.placement.reset();
    const outlined = this.#drawOutline(area);
    await this.analysis.ask(async (signal) => {
      const [answer] = await Promise.all([post<Analysis>("/coverage/analysis", question, signal), outlined]);
      if (!signal.aborted) [this.#asked.value, this.#plan.value] = [JSON.stringify(question), plan];
      return answer;
    }, keep);
  }

  async askTimeline(): Promise<void> {
    const { plan } = this.page.settings.peek();
    const question = timelineOf(plan, this.page.serverNow());
    this.#timelineOf = lastingOf(plan);
    clearTimeout(this.#resting);
    this.step.value = null;
    if (question) await this.timeline.ask((signal) => post<Timeline>("/coverage/timeline", question, signal));
  }

  /** Asks about one moment of the timeline; the map shows it, and the panel the `tab`. */
  async showMoment(at: number, tab: "answer" | "time"): Promise<void> {
    clearTimeout(this.#resting);
    this.page.setPlan({ at, tab });
    await this.askAll(tab === "time");
  }

  /** Tells step `index` of the timeline, at `at`; the map shows it as soon as nobody goes on to another one. */
  chooseStep(index: number, at: number): void {
    this.step.value = index;
    clearTimeout(this.#resting);
    this.#resting = setTimeout(() => {
      if (this.tab.peek() === "time") void this.showMoment(at, "time");
    }, REST_MS);
  }

  async askPlacement(): Promise<void> {
    const { sites, siteReachM } = this.page.settings.peek().plan;
    const run = this.run.peek();
    if (!run) return;
    const place = { goal: "most", n: sites, reach_m: siteReachM };
    await this.placement.ask((signal) => post<Placement>("/coverage/placement", { run, place }, signal));
  }

  /** Makes the sites found the changes of variant B, and shows it. */
  trySites(): void {
    const { siteReachM } = this.page.settings.peek().plan;
    const found = this.placement.answer?.sites ?? [];
    const b = found.map(({ center: [lng, lat] }, i) => ({ do: "add" as const, lng, lat, reach_m: siteReachM, name: `Site ${i + 1}` })); // prettier-ignore
    this.page.setPlan({ b, variant: "b", tab: "changes" });
  }

  /** Saves the answer as a file of the form `f`, as the server makes it. */
  async save(f: string): Promise<void> {
    const answer = this.analysis.peek();
    if (!answer) return;
    const name = fileName(answer, f);
    const { run } = answer;
    this.saving.value = { what: name, failed: null };
    try {
      const path = `/coverage/analysis?f=${f}`;
      const file = await fetchFile(path, { run }, new AbortController().signal);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(file.blob);
      link.download = file.name ?? name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      this.saving.value = null;
    } catch (error) {
      this.saving.value = { what: name, failed: inWords(error) };
    }
  }

  remove(): void {
    this.#leave();
    this.isQuestionOpen.value = true;
    this.page.setPlan({ area: null, a: [], b: [], at: null });
    this.analysis.reset();
    clearTimeout(this.#resting);
    this.timeline.reset();
    this.placement.reset();
    this.#outline.value = EMPTY_COLLECTION;
  }

  /** Ends what the next click was for; whether there was anything to end. */
  stopClicking(): boolean {
    const was = this.clicking.peek();
    this.#drawing?.abort();
    this.#drawing = null;
    this.clicking.value = null;
    return was !== null;
  }

  /** A click on the map, with nothing of the picture below it or with it; whether it was for us. */
  click(at: Position, onBareMap: boolean): boolean {
    if (this.clicking.peek() === "corners") return true;
    if (this.clicking.peek() === "addition") {
      this.clicking.value = null;
      this.variants.addAt(at, this.newReachM.peek());
      return true;
    }
    return onBareMap && this.pin(at);
  }

  /** Keeps the hex at a place in the panel; whether there is one. */
  pin(at: Position): boolean {
    const cell = this.#cellAt(at);
    if (!cell) return false;
    this.pinned.look(this.run.peek()!, cell, 0);
    return true;
  }

  /** The pointer is at `at` of the bare map (null: elsewhere); whether that is a hex of ours. */
  point(at: Position | null, x: number, y: number): boolean {
    const cell = at && !this.variants.isDragging && this.#cellAt(at);
    if (!cell) {
      this.pointed.leave();
      return false;
    }
    this.pointer.value = { x, y };
    this.pointed.look(this.run.peek()!, cell);
    return true;
  }

  #cellAt([lng, lat]: Position): string | null {
    const hexes = this.#hexes;
    if (!hexes || hexes.of !== this.analysis.peek() || !this.page.settings.peek().gap) return null;
    const cell = hexes.cellAt(lng!, lat!, hexes.of.resolution);
    return hexes.covered.has(cell) ? cell : null;
  }

  async #draw(answer: Analysis | null, colouring: Colouring): Promise<void> {
    const drawing = ++this.#drawn;
    if (!answer) return this.page.map.show("hexes", EMPTY_COLLECTION);
    const { answerHexes, cellAt, CellSet } = await import("../map/hexes.ts");
    if (drawing !== this.#drawn) return;
    this.#hexes = {
      of: answer,
      covered: new CellSet(answer.depth_cells.flatMap(({ cells }) => cells)),
      cellAt,
    };
    this.page.map.show("hexes", answerHexes(answer, colouring));
  }

  async #drawMarked(cells: string[]): Promise<void> {
    const answer = this.analysis.peek();
    if (cells.length === 0 || !answer) return this.page.map.show("marked-hexes", EMPTY_COLLECTION);
    const { outlines } = await import("../map/hexes.ts");
    const marked = { cells, cell_count: cells.length };
    this.page.map.show("marked-hexes", outlines(marked, answer.resolution, "marked"));
  }

  #drawSites(found: Placement | null): void {
    const features = (found?.sites ?? []).map(({ center }, i) => point(center, { name: String(i + 1) }));
    this.page.map.show("sites", { type: "FeatureCollection", features });
  }

  async #drawOutline(area: Area): Promise<void> {
    const geometry: Geometry | null =
      "ring" in area
        ? { type: "Polygon", coordinates: [[...area.ring, area.ring[0]!]] }
        : await getItem(area.ref, new AbortController().signal).then((item) => item.geometry);
    const features = geometry ? [{ type: "Feature" as const, geometry, properties: {} }] : [];
    this.#outline.value = { type: "FeatureCollection", features };
  }
}

function hexOf(run: string, cell: string, signal: AbortSignal): Promise<HexAnswer> {
  return ask(`/coverage/runs/${run}/cells/${cell}`, { signal });
}

function point(coordinates: Position, properties: { name: string }): FeatureCollection["features"][number] {
  return { type: "Feature", geometry: { type: "Point", coordinates }, properties };
}

/** Whether a feature may be an area that is asked about. */
export function isAreal(geometry: Geometry | null): boolean {
  return geometry?.type === "Polygon" || geometry?.type === "MultiPolygon";
}
