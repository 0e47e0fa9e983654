// Chips that narrow the picture to features of some statuses. The server does it, so that a narrow picture is also a small one.

import { words } from "../format.ts";
import type { Page } from "../page.ts";

/** What units and incidents can be; of other kinds each agency has its own words, which a link may carry. */
const STATUSES = [
  "distress",
  "available",
  "dispatched",
  "en_route",
  "on_scene",
  "transporting",
  "returning",
  "out_of_service",
  "open",
  "contained",
  "closed",
];

export function StatusFilter({ page }: { page: Page }) {
  const chosen = page.settings.value.statuses;
  const others = chosen.filter((each) => each !== null && !STATUSES.includes(each));
  return (
    <details class="statuses" open={chosen.length > 0}>
      <summary>
        <h3>Only these statuses</h3>
        {chosen.length > 0 && <strong class="mark">the rest is not shown</strong>}
      </summary>
      <div class="chips" role="group" aria-label="Only these statuses">
        {[...STATUSES, ...others, null].map((status) => (
          <button
            key={status ?? "-"}
            class="chip"
            aria-pressed={chosen.includes(status)}
            onClick={() => page.toggleStatus(status)}
          >
            {status === null ? "no status" : words(status)}
          </button>
        ))}
        {chosen.length > 0 && <button onClick={() => page.set({ statuses: [] })}>Show all</button>}
      </div>
    </details>
  );
}
