// Feeds that have gone silent: nothing on the map says so by itself until its units grow stale one by one.

import { sinceTime } from "../format.ts";
import type { Page } from "../page.ts";

const MOST_LISTED = 5;

export function SilenceList({ page }: { page: Page }) {
  const silences = page.silences.value;
  if (silences.length === 0) return null;
  return (
    <section class="panel silent" role="status" aria-label="Silent feeds">
      <ul>
        {silences.slice(0, MOST_LISTED).map(({ layer, name, since }) => (
          <li key={layer}>
            <strong>
              <bdi>{name}</bdi>:
            </strong>{" "}
            silent since {sinceTime(since, page.now.value)}
          </li>
        ))}
      </ul>
      {silences.length > MOST_LISTED && <p>and {silences.length - MOST_LISTED} more: see the layers</p>}
    </section>
  );
}
