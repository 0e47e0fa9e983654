// The top bar: which operation, whether the link is live, how old the agencies' news is, what time it is, and the search.

import { age, clockTime, zoneName } from "../format.ts";
import type { Page } from "../page.ts";
import { NEXT_THEME } from "./keys.ts";
import { SearchBox } from "./search-box.tsx";

export function TopBar({ page }: { page: Page }) {
  const { theme, table, gap } = page.settings.value;
  return (
    <div class="top-bar">
      <Operation page={page} />
      <div class="news">
        <LinkState page={page} />
        <ReportState page={page} />
      </div>
      <Clock page={page} />
      <SearchBox page={page} />
      <nav aria-label="Tools">
        <button aria-pressed={gap} onClick={() => page.toggle("gap")} title="Gaps in coverage (g)">
          Gaps
        </button>
        <button aria-pressed={table} onClick={() => page.toggle("table")} title="Table of units in view (v)">
          Table
        </button>
        <button onClick={() => page.home()} title="The whole picture (h)">
          Home
        </button>
        <button onClick={() => page.set({ theme: NEXT_THEME[theme] })} title="Theme (d)">
          Theme: {theme}
        </button>
        <button onClick={() => (page.help.value = true)} title="Keys and symbols (?)">
          <kbd>?</kbd> Help
        </button>
      </nav>
    </div>
  );
}

function Operation({ page }: { page: Page }) {
  const { operations } = page.state.value;
  const chosen = page.operation.value;
  if (chosen === null) return <h1>Common operating picture</h1>;
  if (operations.length === 1) {
    return (
      <h1>
        <bdi>{chosen.title}</bdi>
      </h1>
    );
  }
  return (
    <h1>
      <select
        aria-label="Operation"
        value={chosen.id}
        onChange={(event) => page.chooseOperation(event.currentTarget.value)}
      >
        {operations.map(({ id, title, status }) => (
          <option key={id} value={id}>
            {status === "actual" ? title : `${title} (${status})`}
          </option>
        ))}
      </select>
    </h1>
  );
}

const WORDS = { live: "LIVE", moving: "RECONNECTING", lost: "NOT LIVE", connecting: "CONNECTING" } as const;

function LinkState({ page }: { page: Page }) {
  const { state, lag, heardAt, offset } = page.link.value;
  const missing = page.missingSince.value !== null;
  const word = state === "live" && missing ? "INCOMPLETE" : WORDS[state];
  const silent = heardAt === null ? null : (page.now.value - offset - heardAt) / 1000;
  return (
    <p class={`link ${state === "live" && missing ? "lost" : state}`}>
      <strong>
        <span aria-hidden="true">{state === "live" && !missing ? "●" : "○"}</span> {word}
      </strong>
      {lag !== null && <span class="number">lag {(lag / 1000).toFixed(1)} s</span>}
      {silent !== null && <span class="number wide">link heard {age(silent)} ago</span>}
    </p>
  );
}

/** A live link says nothing of those who report: this does, right below it. */
function ReportState({ page }: { page: Page }) {
  const reports = page.reports.value;
  if (reports === null) return null;
  const { units, summed, newestAt } = reports;
  return (
    <p class="reports">
      <span class="number">
        {units === 0 ? "no units" : units === 1 ? "1 unit" : `${units.toLocaleString("en-US")} units`}
        {page.byView.value ? " around here" : units === 0 && " on the picture"}
        {summed > 0 && (summed === units ? ", summed" : `, ${summed.toLocaleString("en-US")} of them summed`)}
      </span>
      {newestAt !== null && (
        <span class="number">{`newest report ${age((page.now.value - newestAt) / 1000)} ago`}</span>
      )}
      {page.staleness.value !== null && (
        <strong class="warning number">
          <span aria-hidden="true">⚠</span> {page.staleness.value}
        </strong>
      )}
    </p>
  );
}

function Clock({ page }: { page: Page }) {
  const now = page.now.value;
  return (
    <time class="number" dateTime={new Date(now).toISOString()}>
      {clockTime(now)} {zoneName(now)}
    </time>
  );
}
