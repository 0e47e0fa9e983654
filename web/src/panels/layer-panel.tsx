// The layers by agency: how many features each holds, how many are stale, and whether it is drawn.

import { hexes, sinceTime, staleTotal } from "../format.ts";
import type { Page } from "../page.ts";
import type { AgencySummary, LayerSummary } from "../summary.ts";
import { StatusFilter } from "./status-filter.tsx";
import { Symbol } from "./symbol.tsx";

export function LayerPanel({ page }: { page: Page }) {
  const groups = page.summary.value;
  // with a filter that nothing meets, the panel is where it is taken back
  if (groups.length === 0 && page.settings.value.statuses.length === 0) return null;
  const layers = groups.flatMap(({ layers }) => layers);
  return (
    <section class="panel layers" aria-labelledby="layers-title">
      <details open>
        <summary>
          <h2 id="layers-title">Layers</h2>
          <span class="stale-total">
            {staleTotal(
              sum(layers.map(({ stale }) => stale)),
              sum(layers.map(({ staleHexes }) => staleHexes)),
            )}
          </span>
        </summary>
        <StatusFilter page={page} />
        <ul>
          {groups.map((group) => (
            <Agency key={group.agency.id} page={page} group={group} />
          ))}
        </ul>
      </details>
    </section>
  );
}

function sum(counts: number[]): number {
  return counts.reduce((total, count) => total + count, 0);
}

function Agency({ page, group }: { page: Page; group: AgencySummary }) {
  const names = group.layers.map(({ info }) => info.id);
  const shown = names.filter((name) => !page.off.value.has(name));
  return (
    <li>
      <label class="agency">
        <input
          type="checkbox"
          checked={shown.length > 0}
          ref={(box) => {
            if (box) box.indeterminate = shown.length > 0 && shown.length < names.length;
          }}
          onChange={(event) => page.toggleLayers(names, event.currentTarget.checked)}
        />
        <span class="swatch" style={{ background: group.agency.color }} />
        <bdi>{group.agency.name}</bdi>
        <span class="number">{group.count.toLocaleString("en-US")}</span>
      </label>
      <ul>
        {group.layers.map((layer) => (
          <Layer key={layer.info.id} page={page} layer={layer} color={group.agency.color} />
        ))}
      </ul>
    </li>
  );
}

function Layer({ page, layer, color }: { page: Page; layer: LayerSummary; color: string }) {
  const { info, count, stale, staleHexes, summed, silentSince } = layer;
  return (
    <li>
      <label class="layer">
        <input
          type="checkbox"
          checked={!page.off.value.has(info.id)}
          onChange={(event) => page.toggleLayers([info.id], event.currentTarget.checked)}
        />
        <Symbol kind={info.kind} color={color} />
        <span class="title">
          <bdi>{info.title || info.id}</bdi>
          {stale > 0 && <small class="stale">{stale} stale</small>}
          {staleHexes > 0 && <small class="stale">stale in {hexes(staleHexes)}</small>}
          {summed && <small>summed, zoom in</small>}
          {silentSince !== null && (
            <small class="stale">silent since {sinceTime(silentSince, page.now.value)}</small>
          )}
          {info.status !== page.status.value && <small class="mark">{info.status}</small>}
        </span>
        <span class="number">{count === null ? "tiles" : count.toLocaleString("en-US")}</span>
      </label>
    </li>
  );
}
