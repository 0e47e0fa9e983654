// What is asked: the rule, the layers, the reach, the moment and the size of the hexes; and of which area.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { nameOf, words } from "../format.ts";
import type { Page } from "../page.ts";
import { featureById, featuresOf } from "../state.ts";
import type { LayerInfo } from "../wire.ts";
import { Amount, Whole } from "./amount.tsx";
import { fromLocalInput, isAsked, localInput, type Reach } from "./plan.ts";
import { isAreal } from "./planner.ts";
import { capabilitiesOf, counting, leftOutInWords, leftOutOf, statusesOf, statusInWords } from "./words.ts";

/** Mean width of a hexagon at each H3 resolution, for people who don't know them by heart. */
const HEX_WIDTH: Record<number, string> = {
  5: "17 km",
  6: "6.5 km",
  7: "2.4 km",
  8: "900 m",
  9: "350 m",
  10: "130 m",
  11: "50 m",
};

export function QuestionForm({ page }: { page: Page }) {
  const { plan } = page.settings.value;
  return (
    <div class="fields">
      <label>
        Covered by at least
        <Whole
          name="Covered by at least"
          value={plan.atLeast}
          most={20}
          onChange={(atLeast) => page.setPlan({ atLeast })}
        />
      </label>
      <Choices page={page} />
      <label>
        <input
          type="checkbox"
          checked={plan.stale}
          onChange={(event) => page.setPlan({ stale: event.currentTarget.checked })}
        />
        Count stale units, too
      </label>
      <ReachFields page={page} />
      <label>
        Hexes of
        <select
          value={String(plan.resolution)}
          onChange={(event) => page.setPlan({ resolution: Number(event.currentTarget.value) })}
        >
          {Object.entries(HEX_WIDTH).map(([r, width]) => (
            <option key={r} value={r}>
              {width} (H3 {r})
            </option>
          ))}
        </select>
      </label>
      <MomentFields page={page} />
    </div>
  );
}

/**
 * What the picture has to choose from, looked up once a second. By itself, so that no field that somebody is typing into
 * is drawn anew.
 */
function Choices({ page }: { page: Page }) {
  const { plan } = page.settings.value;
  page.now.value;
  const state = page.state.peek();
  const layers = counting(state);
  const counted = layers.filter((layer) => isAsked(plan, layer));
  const leftOut = leftOutOf(state, counted, plan.statuses);
  return (
    <>
      <Layers page={page} layers={layers} />
      <Chips
        name="Only these statuses"
        all={statusesOf(state, counted)}
        chosen={plan.statuses}
        told={statusInWords}
        onChange={(statuses) => page.setPlan({ statuses })}
      />
      <div role="status" aria-label="Left out">
        {leftOut.map((each) => (
          <p key={each.layer} class="caution">
            <bdi>{leftOutInWords(plan.statuses, each)}</bdi>
          </p>
        ))}
      </div>
      <Chips
        name="Only these capabilities"
        all={capabilitiesOf(state, counted)}
        chosen={plan.capabilities}
        told={words}
        onChange={(capabilities) => page.setPlan({ capabilities })}
      />
      <Chips
        name="Only these agencies"
        all={[...new Set(layers.map(({ agency }) => agency))].sort()}
        chosen={plan.agencies}
        told={(agency) => state.agencies.get(agency)?.name ?? agency}
        onChange={(agencies) => page.setPlan({ agencies })}
      />
    </>
  );
}

function Layers({ page, layers }: { page: Page; layers: LayerInfo[] }) {
  const known = new Set(layers.map(({ id }) => id));
  const chosen = page.settings.value.plan.layers.filter((id) => known.has(id));
  const [isEmpty, setEmpty] = useState(false);
  const isNone = isEmpty && chosen.length === 0;
  const ticked = new Set(chosen.length > 0 ? chosen : isNone ? [] : layers.map(({ id }) => id));
  const tick = (ids: Iterable<string>) => {
    const next = [...ids];
    setEmpty(next.length === 0);
    page.setPlan({ layers: next.length === layers.length ? [] : next });
  };
  const toggle = (id: string, on: boolean) =>
    tick(on ? [...ticked, id] : [...ticked].filter((each) => each !== id));
  return (
    <details>
      <summary>
        Layers that count:{" "}
        {isNone
          ? "all, until you tick one"
          : chosen.length === 0
            ? "all"
            : `${chosen.length} of ${layers.length}`}
      </summary>
      <ul>
        {layers.map(({ id, title }) => (
          <li key={id}>
            <label>
              <input
                type="checkbox"
                checked={ticked.has(id)}
                onChange={(event) => toggle(id, event.currentTarget.checked)}
              />
              <bdi>{title || id}</bdi>
            </label>
            <button class="only" onClick={() => tick([id])}>
              only
            </button>
          </li>
        ))}
      </ul>
      <div class="buttons">
        <button disabled={ticked.size === layers.length} onClick={() => tick(layers.map(({ id }) => id))}>
          All
        </button>
        <button disabled={ticked.size === 0} onClick={() => tick([])}>
          None
        </button>
      </div>
    </details>
  );
}

/** Some of many; none chosen means all. What was chosen stays on offer, even if nothing on the picture has it now. */
function Chips<T extends string | null>(props: {
  name: string;
  all: T[];
  chosen: T[];
  told: (value: T) => string;
  onChange: (chosen: T[]) => void;
}) {
  const { name, chosen, told, onChange } = props;
  const all = [...props.all, ...chosen.filter((each) => !props.all.includes(each))];
  if (all.length === 0) return null;
  const toggle = (value: T) =>
    onChange(chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value]);
  return (
    <details>
      <summary>
        {name}: {chosen.length === 0 ? "all" : `${chosen.length} of ${all.length}`}
      </summary>
      <div class="chips" role="group" aria-label={name}>
        {all.map((value) => (
          <button
            key={value ?? "-"}
            class="chip"
            aria-pressed={chosen.includes(value)}
            onClick={() => toggle(value)}
          >
            <bdi>{told(value)}</bdi>
          </button>
        ))}
      </div>
    </details>
  );
}

function ReachFields({ page }: { page: Page }) {
  const { reach } = page.settings.value.plan;
  const roads = [...page.catalogue.value.values()].filter(({ kind }) => kind === "roads");
  const set = (next: Reach | null) => page.setPlan({ reach: next });
  const choose = (value: string) => {
    if (value === "metres") set({ by: "metres", metres: 1500 });
    else if (value === "minutes") set({ by: "minutes", minutes: 8, speedKmh: 40 });
    else set(value === "" ? null : { by: "roads", minutes: 8, roads: value });
  };
  return (
    <div class="line">
      <label>
        Reach
        <select
          value={reach === null ? "" : reach.by === "roads" ? reach.roads : reach.by}
          onChange={(event) => choose(event.currentTarget.value)}
        >
          <option value="">as each states it</option>
          <option value="metres">so many metres</option>
          <option value="minutes">so many minutes, straight</option>
          {roads.map(({ id, title }) => (
            <option key={id} value={id}>
              minutes along {title || id}
            </option>
          ))}
        </select>
      </label>
      {reach?.by === "metres" && (
        <Amount
          name="Metres"
          unit="m"
          value={reach.metres}
          most={100_000}
          onChange={(metres) => set({ ...reach, metres })}
        />
      )}
      {(reach?.by === "minutes" || reach?.by === "roads") && (
        <Amount
          name="Minutes"
          unit="min"
          value={reach.minutes}
          most={600}
          onChange={(minutes) => set({ ...reach, minutes })}
        />
      )}
      {reach?.by === "minutes" && (
        <Amount
          name="Speed"
          unit="km/h"
          value={reach.speedKmh}
          most={300}
          onChange={(speedKmh) => set({ ...reach, speedKmh })}
        />
      )}
    </div>
  );
}

function MomentFields({ page }: { page: Page }) {
  const { at } = page.settings.value.plan;
  return (
    <div class="line">
      <label>
        When
        <select
          value={at === null ? "now" : "at"}
          onChange={(event) =>
            page.setPlan({
              at: event.currentTarget.value === "now" ? null : Math.floor(page.serverNow() / 60_000) * 60_000,
            })
          }
        >
          <option value="now">now</option>
          <option value="at">at a moment</option>
        </select>
      </label>
      {at !== null && (
        <input
          type="datetime-local"
          aria-label="The moment"
          value={localInput(at)}
          onChange={(event) => page.setPlan({ at: fromLocalInput(event.currentTarget.value) ?? at })}
        />
      )}
    </div>
  );
}

export function AreaButtons({ page }: { page: Page }) {
  const { planner } = page;
  const { area } = page.settings.value.plan;
  const isBusy = planner.analysis.state.value.phase === "working";
  const selected = selectedArea(page);
  return (
    <div class="buttons">
      <button
        disabled={isBusy}
        aria-pressed={planner.clicking.value === "corners"}
        onClick={() => void planner.drawArea()}
      >
        Draw an area
      </button>
      <button disabled={isBusy} onClick={() => void planner.takeView()}>
        Take the view
      </button>
      {selected && (
        <button disabled={isBusy} onClick={() => void planner.take({ ref: selected.ref })}>
          Take “<bdi>{selected.name}</bdi>”
        </button>
      )}
      <Zones page={page} />
      {area && (
        <>
          <button class="main" disabled={isBusy} onClick={() => void planner.askAll()}>
            Ask again
          </button>
          <button onClick={() => planner.remove()}>Remove</button>
        </>
      )}
    </div>
  );
}

/** The zones of the picture by name, for whoever does not click them on the map. */
function Zones({ page }: { page: Page }) {
  const { area } = page.settings.value.plan;
  const chosen = area && "ref" in area ? `${area.ref.layer}/${area.ref.id}` : "";
  page.now.value;
  const zones: ComponentChildren[] = [];
  for (const layer of page.state.peek().layers.values()) {
    if (layer.info.kind !== "zones") continue;
    for (const zone of featuresOf(layer)) {
      if (!isAreal(zone.geometry)) continue;
      const value = `${layer.info.id}/${zone.id}`;
      zones.push(
        <option key={value} value={value}>
          {nameOf("zones", zone.id, zone.properties)}
        </option>,
      );
    }
  }
  if (zones.length === 0) return null;
  const take = (value: string) => {
    const at = value.indexOf("/");
    if (at > 0) void page.planner.take({ ref: { layer: value.slice(0, at), id: value.slice(at + 1) } });
  };
  return (
    <select aria-label="Take a zone" value={chosen} onChange={(event) => take(event.currentTarget.value)}>
      <option value="">Take a zone…</option>
      {zones}
    </select>
  );
}

/** The selected feature, if it is an area. */
function selectedArea(page: Page): { ref: { layer: string; id: string }; name: string } | null {
  const ref = page.settings.value.selected;
  const feature = ref && featureById(page.state.value, ref.layer, ref.id);
  const geometry =
    feature?.geometry ?? (page.item.value?.id === ref?.id ? page.item.value?.geometry : null) ?? null;
  return ref && isAreal(geometry) ? { ref: { layer: ref.layer, id: ref.id }, name: page.nameOf(ref) } : null;
}
