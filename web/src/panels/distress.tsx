// Units in distress, first of all things on the right; each is one click from the map.

import { age } from "../format.ts";
import type { Page } from "../page.ts";
import { keyOf } from "../summary.ts";

export function DistressList({ page }: { page: Page }) {
  const units = page.distress.value;
  if (units.length === 0) return null;
  return (
    <section class="panel distress" aria-labelledby="distress-title">
      <h2 id="distress-title">⚠ Distress ({units.length})</h2>
      <ul>
        {units.slice(0, 6).map((unit) => (
          <li key={keyOf(unit)}>
            <button onClick={() => page.showDistress(unit)}>
              <strong>
                <bdi>{unit.name}</bdi>
              </strong>
              <span>
                <bdi>{unit.agency}</bdi> ·{" "}
                {unit.ageS === null ? "summed, zoom in to see which" : `reported ${age(unit.ageS)} ago`}
              </span>
            </button>
          </li>
        ))}
      </ul>
      {units.length > 6 && <p>and {units.length - 6} more: open the table</p>}
    </section>
  );
}
