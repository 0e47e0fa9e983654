// The card of the selected feature: what it is, how old the news is, where it comes from; and the name under the pointer.

import type { ComponentChildren } from "preact";
import { age, clockTime, coordinates, heading, nameOf, speed, statusOf, words } from "../format.ts";
import { anchor } from "../map/areas.ts";
import { isSame, type Ref } from "../map/symbol-pool.ts";
import { typeOf } from "../map/symbols.ts";
import type { Page } from "../page.ts";
import { ageS, type Feature, featureById, isStale } from "../state.ts";
import type { LayerInfo, Properties } from "../wire.ts";
import { Symbol } from "./symbol.tsx";

export function Card({ page }: { page: Page }) {
  const ref = page.settings.value.selected;
  if (!ref) return null;
  const info = page.state.value.catalogue.get(ref.layer);
  const feature = info && (featureById(page.state.value, ref.layer, ref.id) ?? askedFeature(page, info));
  return (
    <section class="panel card" aria-labelledby="card-title">
      {info && feature ? (
        <Known page={page} info={info} feature={feature} />
      ) : (
        <Gone page={page} ref_={ref} />
      )}
    </section>
  );
}

/** Features of a layer that is tiled or summed don't stream: what is known of one is what the server answered when asked. */
function askedFeature(page: Page, info: LayerInfo): Feature | undefined {
  const item = page.item.value;
  if (!page.isAskedFor(info.id) || !item) return undefined;
  const { observed_at, expires_at, received_at, revision, ...properties } = item.properties;
  void [expires_at, received_at, revision];
  return {
    id: item.id,
    geometry: item.geometry,
    properties,
    observedAt: Date.parse(String(observed_at)),
    expiresAt: null,
  };
}

function Gone({ page, ref_ }: { page: Page; ref_: Ref }) {
  const { viewer, catalogue, layers } = page.state.value;
  const waiting = viewer === null || (catalogue.has(ref_.layer) && !layers.has(ref_.layer));
  return (
    <>
      <h2 id="card-title">
        <bdi>{ref_.id}</bdi>
      </h2>
      <p>
        {waiting
          ? "Waiting for the picture…"
          : "Not on the picture: it was deleted, has expired, or is not shared with you."}
      </p>
      <Buttons>
        <button onClick={() => page.select(null)}>Close</button>
      </Buttons>
    </>
  );
}

function Known({ page, info, feature }: { page: Page; info: LayerInfo; feature: Feature }) {
  const now = page.now.value;
  const state = page.state.value;
  const { follow, trail } = page.settings.value;
  const agency = state.agencies.get(info.agency);
  const { properties } = feature;
  const stale = isStale(feature, info, now);
  const at = anchor(feature.geometry);
  const revision = page.item.value?.properties["revision"];
  const moves = info.kind === "units" && info.stream === "live";
  return (
    <>
      {info.status !== "actual" && (
        <div class="watermark" aria-hidden="true">
          {info.status.toUpperCase()}
        </div>
      )}
      <h2 id="card-title">
        <Symbol kind={info.kind} color={agency?.color ?? "#4d4d4d"} of={properties} />
        <bdi>{nameOf(info.kind, feature.id, properties)}</bdi>
      </h2>
      {info.status !== "actual" && (
        <p class="mark">
          {info.status.toUpperCase()}: not a real {info.kind === "units" ? "unit" : "event"}
        </p>
      )}
      <dl>
        <Line name="Agency">{agency?.name ?? info.agency}</Line>
        <Line name="Type">{words(typeOf(info.kind, properties))}</Line>
        <Line name="Status">{statusOf(properties)}</Line>
        <Line name="Age" mark={stale}>
          {age(ageS(feature, now))}
          {stale ? " — STALE" : ""} <small>(at {clockTime(feature.observedAt)})</small>
        </Line>
        <Line name="Speed">
          {typeof properties["speed_mps"] === "number" && speed(properties["speed_mps"])}
        </Line>
        <Line name="Heading">
          {typeof properties["heading_deg"] === "number" && heading(properties["heading_deg"])}
        </Line>
        <Line name="Severity">{textOf(properties, "severity")}</Line>
        <Line name="Incident">{textOf(properties, "incident")}</Line>
        <Line name="Units">{listOf(properties, "units")}</Line>
        <Line name="Capacity">{textOf(properties, "capacity")}</Line>
        <Line name="Reach">{typeof properties["reach_m"] === "number" && `${properties["reach_m"]} m`}</Line>
        <Line name="Position">{at && coordinates(at[0]!, at[1]!)}</Line>
        <Line name="Quality" mark>
          {listOf(properties, "quality")}
        </Line>
        <Line name="Source">
          {info.title || info.id} <small>({info.id})</small>
        </Line>
        <Line name="Id">{feature.id}</Line>
        <Line name="Revision">{typeof revision === "number" && `${revision} of the layer`}</Line>
      </dl>
      <Buttons>
        {moves && (
          <>
            <button aria-pressed={follow} onClick={() => page.toggle("follow")} title="Follow (f)">
              Follow
            </button>
            <button aria-pressed={trail} onClick={() => page.toggle("trail")} title="Trail (t)">
              Trail
            </button>
          </>
        )}
        {at && <button onClick={() => page.map.goTo(at[0]!, at[1]!)}>Zoom to</button>}
        <button onClick={() => page.select(null)} title="Close (Esc)">
          Close
        </button>
      </Buttons>
      <Stack page={page} selected={{ layer: info.id, id: feature.id }} />
    </>
  );
}

/** What else lies where the viewer clicked: units at one station hide each other. */
function Stack({ page, selected }: { page: Page; selected: Ref }) {
  const stack = page.stack.value;
  if (!stack.some((ref) => isSame(ref, selected)) || stack.length < 2) return null;
  const others = stack.filter((ref) => !isSame(ref, selected));
  return (
    <div class="stack">
      <h3>Also here ({others.length})</h3>
      <Buttons>
        {others.slice(0, 12).map((ref) => (
          <button key={`${ref.layer}/${ref.id}`} onClick={() => page.select(ref)}>
            <bdi>{page.nameOf(ref)}</bdi>
          </button>
        ))}
      </Buttons>
    </div>
  );
}

function Buttons({ children }: { children: ComponentChildren }) {
  return <div class="buttons">{children}</div>;
}

/** One line of the card; nothing at all where there is nothing to say. */
function Line({
  name,
  mark = false,
  children,
}: {
  name: string;
  mark?: boolean;
  children: ComponentChildren;
}) {
  const empty = [children]
    .flat()
    .every((each) => each === "" || each === false || each === null || each === undefined);
  if (empty) return null;
  return (
    <>
      <dt>{name}</dt>
      <dd class={mark ? "mark" : ""}>
        <bdi>{children}</bdi>
      </dd>
    </>
  );
}

function textOf(properties: Properties, name: string): string {
  const value = properties[name];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

function listOf(properties: Properties, name: string): string {
  const value = properties[name];
  return Array.isArray(value) ? value.filter((each) => typeof each === "string").join(", ") : "";
}

export function HoverName({ page }: { page: Page }) {
  const hover = page.hover.value;
  if (!hover) return null;
  const info = page.state.peek().catalogue.get(hover.over.layer);
  const told = info && ("cell" in hover.over ? aboutCell(page, info, hover.over.cell) : aboutFeature(page, info, hover.over.id)); // prettier-ignore
  if (!told) return null;
  return (
    <div class="hover" style={{ left: `${hover.x}px`, top: `${hover.y}px` }} aria-hidden="true">
      <bdi>{told.name}</bdi> {told.about.filter(Boolean).join(" · ")}
    </div>
  );
}

interface Told {
  name: string;
  about: string[];
}

function aboutFeature(page: Page, info: LayerInfo, id: string): Told | null {
  const feature = featureById(page.state.peek(), info.id, id);
  if (!feature) return null;
  const stale = isStale(feature, info, page.now.peek());
  const about = [
    statusOf(feature.properties),
    `${age(ageS(feature, page.now.peek()))} old${stale ? ", stale" : ""}`,
  ];
  return { name: nameOf(info.kind, feature.id, feature.properties), about };
}

function aboutCell(page: Page, info: LayerInfo, cell: string): Told | null {
  const sum = page.state.peek().layers.get(info.id)?.cells.get(cell);
  if (!sum) return null;
  const { count, worst, oldestAt } = sum;
  const about = [
    count === 1 ? "1 here" : `${count.toLocaleString("en-US")} here`,
    worst === null ? "" : `worst: ${words(worst)}`,
    `oldest ${age((page.now.peek() - oldestAt) / 1000)} old`,
    "click to zoom in",
  ];
  return { name: info.title || info.id, about };
}
