// Asking for gaps in coverage: an area, how many must cover it, which layers count; and the answer in km² and by agency.

import { km2 } from "../format.ts";
import type { Analysis } from "../http.ts";
import type { Page } from "../page.ts";

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

export function GapPanel({ page }: { page: Page }) {
  const { gap: open, area } = page.settings.value;
  if (!open) return null;
  const gap = page.gap.value;
  const scopes = page.state.value.viewer?.scopes ?? [];
  const mayPlan = scopes.includes("plan") || scopes.includes("admin");
  const busy = gap.phase === "working";
  return (
    <section class="panel gaps" aria-labelledby="gaps-title">
      <h2 id="gaps-title">Gaps in coverage</h2>
      {!mayPlan && <p class="mark">You are not signed in as a planner; the server may refuse to answer.</p>}
      <Question page={page} />
      <div class="buttons">
        <button
          disabled={busy}
          aria-pressed={gap.phase === "drawing"}
          onClick={() => void page.drawGapArea()}
        >
          Draw an area
        </button>
        <button disabled={busy} onClick={() => void page.takeView()}>
          Take the view
        </button>
        {area && (
          <>
            <button disabled={busy} onClick={() => void page.analyseArea()}>
              Ask again
            </button>
            <button onClick={() => page.removeGap()}>Remove</button>
          </>
        )}
      </div>
      <div role="status">
        {gap.phase === "drawing" && (
          <p>Click the corners on the map. Enter or a click on the first corner ends; Esc gives up.</p>
        )}
        {busy && <p>Working it out…</p>}
        {gap.phase === "failed" && <p class="mark">{gap.detail}</p>}
        {gap.phase === "done" && <Answer page={page} analysis={gap.analysis} />}
      </div>
    </section>
  );
}

function Question({ page }: { page: Page }) {
  const { atLeast, resolution, gapLayers } = page.settings.value;
  const layers = [...page.state.value.catalogue.values()].filter(
    ({ kind }) => kind === "units" || kind === "assets" || kind === "coverage",
  );
  const toggle = (id: string, on: boolean) => {
    const counted = new Set(gapLayers.length > 0 ? gapLayers : layers.map((layer) => layer.id));
    on ? counted.add(id) : counted.delete(id);
    page.set({ gapLayers: counted.size === layers.length ? [] : [...counted] });
  };
  return (
    <div class="question">
      <label>
        Covered by at least
        <input
          type="number"
          min={1}
          max={20}
          value={atLeast}
          onChange={(event) =>
            page.set({ atLeast: Math.min(20, Math.max(1, event.currentTarget.valueAsNumber || 1)) })
          }
        />
      </label>
      <label>
        Hexes of
        <select
          value={String(resolution)}
          onChange={(event) => page.set({ resolution: Number(event.currentTarget.value) })}
        >
          {Object.entries(HEX_WIDTH).map(([r, width]) => (
            <option key={r} value={r}>
              {width} (H3 {r})
            </option>
          ))}
        </select>
      </label>
      <details>
        <summary>
          Layers that count: {gapLayers.length === 0 ? "all" : `${gapLayers.length} of ${layers.length}`}
        </summary>
        <ul>
          {layers.map(({ id, title }) => (
            <li key={id}>
              <label>
                <input
                  type="checkbox"
                  checked={gapLayers.length === 0 || gapLayers.includes(id)}
                  onChange={(event) => toggle(id, event.currentTarget.checked)}
                />
                <bdi>{title || id}</bdi>
              </label>
            </li>
          ))}
        </ul>
      </details>
    </div>
  );
}

function Answer({ page, analysis }: { page: Page; analysis: Analysis }) {
  const part = (value: number) =>
    analysis.area_km2 > 0 ? `${Math.round((100 * value) / analysis.area_km2)} %` : "";
  const rows: [string, number, string][] = [
    ["Area", analysis.area_km2, ""],
    ["Covered", analysis.covered_km2, ""],
    ["Gap", analysis.gap_km2, "hatch"],
    ["Overlap", analysis.overlap_km2, "dots"],
  ];
  return (
    <>
      {analysis.notes.map((note) => (
        <p key={note} class="caution">
          {note}
        </p>
      ))}
      <table class="areas">
        <tbody>
          {rows.map(([name, value, pattern]) => (
            <tr key={name} class={name === "Gap" ? "main" : ""}>
              <th scope="row">
                {pattern && <span class={`key ${pattern}`} aria-hidden="true" />} {name}
              </th>
              <td class="number">{km2(value)}</td>
              <td class="number">{name === "Area" ? "" : part(value)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      <p class="note">
        {analysis.gap.areas.length > 0 &&
          `${analysis.gap.areas.length === 1 ? "One gap" : `${analysis.gap.areas.length} gaps`}. `}
        Overlap: covered by more than {analysis.at_least}.
      </p>
      <Largest page={page} areas={analysis.gap.areas} />
      {analysis.agencies.length > 0 && (
        <table>
          <thead>
            <tr>
              <th scope="col">Agency</th>
              <th scope="col">covers</th>
              <th scope="col">only it</th>
            </tr>
          </thead>
          <tbody>
            {analysis.agencies.map(({ agency, covers_km2, only_km2 }) => (
              <tr key={agency}>
                <th scope="row">
                  <bdi>{page.state.value.agencies.get(agency)?.name ?? agency}</bdi>
                </th>
                <td class="number">{km2(covers_km2)}</td>
                <td class="number">{km2(only_km2)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </>
  );
}

/** The largest gaps, one click from the map. */
function Largest({ page, areas }: { page: Page; areas: Analysis["gap"]["areas"] }) {
  const largest = [...areas].sort((a, b) => b.km2 - a.km2).slice(0, 4);
  if (largest.length === 0) return null;
  return (
    <div class="buttons">
      {largest.map((area, i) => (
        <button key={i} onClick={() => page.map.goTo(area.center[0], area.center[1], 13)}>
          {i === 0 ? "Largest: " : ""}
          {km2(area.km2)}
        </button>
      ))}
    </div>
  );
}
