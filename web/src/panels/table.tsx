// The units in view as a table: the map's twin for a screen reader, a keyboard, or anyone who wants to sort.

import { useState } from "preact/hooks";
import { age, words } from "../format.ts";
import { isSame } from "../map/symbol-pool.ts";
import type { Page } from "../page.ts";
import { type LayerSummary, type Row, unitsInView } from "../summary.ts";

/** More rows than this help nobody, and cost the browser a layout a second. */
const MOST_ROWS = 300;

const COLUMNS = [
  ["name", "Unit"],
  ["agency", "Agency"],
  ["type", "Type"],
  ["status", "Status"],
  ["ageS", "Age"],
] as const satisfies (readonly [keyof Row, string])[];
type Column = (typeof COLUMNS)[number][0];

export function UnitTable({ page }: { page: Page }) {
  const [by, setBy] = useState<Column>("name");
  const [down, setDown] = useState(false);
  const { table, selected } = page.settings.value;
  const bounds = page.bounds.value;
  if (!table || !bounds) return null;
  const rows = unitsInView(page.state.peek(), page.off.value, bounds, page.now.value);
  rows.sort((a, b) => compare(a[by], b[by]) * (down ? -1 : 1) || compare(a.name, b.name));
  const summed = page.summed.value.filter(({ info }) => info.kind === "units");
  const sort = (column: Column) => {
    setDown(by === column ? !down : false);
    setBy(column);
  };
  return (
    <section class="panel units" aria-labelledby="units-title">
      <div class="title">
        <h2 id="units-title">
          {rows.length === 1 ? "1 unit" : `${rows.length} units`} {summed.length > 0 ? "listed" : "in view"}
        </h2>
        {rows.length > MOST_ROWS && <span>the first {MOST_ROWS} are listed; zoom in for the rest</span>}
        <button onClick={() => page.toggle("table")}>Close</button>
      </div>
      <Summed layers={summed} />
      <div class="scroll">
        <table>
          <thead>
            <tr>
              {COLUMNS.map(([column, title]) => (
                <th
                  key={column}
                  scope="col"
                  aria-sort={by === column ? (down ? "descending" : "ascending") : "none"}
                >
                  <button onClick={() => sort(column)}>
                    {title} <span aria-hidden="true">{by === column ? (down ? "▼" : "▲") : ""}</span>
                  </button>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, MOST_ROWS).map((row) => (
              <tr key={`${row.ref.layer}/${row.ref.id}`} class={isSame(row.ref, selected) ? "selected" : ""}>
                <th scope="row">
                  <button onClick={() => page.show(row.ref)}>
                    <bdi>{row.name}</bdi>
                  </button>
                </th>
                <td>
                  <bdi>{row.agency}</bdi>
                </td>
                <td>{words(row.type)}</td>
                <td>{row.status}</td>
                <td class={row.stale ? "number mark" : "number"}>
                  {age(row.ageS)}
                  {row.stale ? " stale" : ""}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

/** What the map shows as hexes cannot be listed: it says so, with what is known. */
function Summed({ layers }: { layers: LayerSummary[] }) {
  if (layers.length === 0) return null;
  return (
    <p class="summed">
      Not listed, as so many come summed by hexes; zoom in to list them:{" "}
      {layers.map(({ info, count }, i) => (
        <span key={info.id}>
          {i > 0 && ", "}
          <bdi>{info.title || info.id}</bdi> ({count!.toLocaleString("en-US")})
        </span>
      ))}
    </p>
  );
}

function compare(a: Row[Column], b: Row[Column]): number {
  return typeof a === "number" ? a - (b as number) : a.localeCompare(b as string, "en", { numeric: true });
}
