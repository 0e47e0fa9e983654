// Where next: so many new stations, each reaching so far, put where most ground gains cover; and how good that is proven to be.

import { km2 } from "../format.ts";
import type { Page } from "../page.ts";
import { type Placement, share } from "./answers.ts";
import { Notes } from "./answer-tab.tsx";
import { Amount } from "./amount.tsx";

export function NextTab({ page }: { page: Page }) {
  const { plan } = page.settings.value;
  const { placement } = page.planner;
  const state = placement.state.value;
  return (
    <>
      <div class="buttons">
        <Amount
          name="New stations"
          unit="new"
          value={plan.sites}
          most={50}
          onChange={(sites) => page.setPlan({ sites })}
        />
        <span>reaching</span>
        <Amount
          name="Reach of each, metres"
          unit="m"
          value={plan.siteReachM}
          most={100_000}
          onChange={(siteReachM) => page.setPlan({ siteReachM })}
        />
        <button
          class="main"
          disabled={state.phase === "working"}
          onClick={() => void page.planner.askPlacement()}
        >
          Find places
        </button>
      </div>
      <div role="status" aria-label="Where next">
        {state.phase === "working" && <p>Looking, for ten seconds at most…</p>}
        {state.phase === "failed" && <p class="mark">{state.detail}</p>}
        {placement.answer && <Found page={page} found={placement.answer} />}
      </div>
    </>
  );
}

function Found({ page, found }: { page: Page; found: Placement }) {
  const { sites, covered_before, covered_after, demand, proof } = found;
  if (sites.length === 0) {
    return (
      <>
        <Notes notes={found.notes} />
        <p>No place would gain any cover.</p>
      </>
    );
  }
  const amount = (value: number) =>
    found.unit === "km²" ? km2(value) : `${value.toLocaleString("en-US")} ${found.unit}`;
  return (
    <>
      <Notes notes={found.notes} />
      <p>
        Covered: {amount(covered_before)} → <strong class="number">{amount(covered_after)}</strong>
        {demand > 0 && ` (${share(covered_before / demand)} → ${share(covered_after / demand)})`}.
      </p>
      <p class="note">{provenInWords(proof)}</p>
      <ol class="gap-list">
        {sites.map(({ center: [lng, lat], site, gain, units }, i) => (
          <li key={i}>
            <button class="entry" onClick={() => page.map.goTo(lng, lat, 13)}>
              <strong class="number">+{amount(gain)}</strong>
              <small>
                {units > 1 ? `${units} units here · ` : ""}
                {site ? <bdi>{site.name ?? site.id}</bdi> : `${lat.toFixed(4)}, ${lng.toFixed(4)}`}
              </small>
            </button>
          </li>
        ))}
      </ol>
      <div class="buttons">
        <button onClick={() => page.planner.trySites()}>Try them as variant B</button>
      </div>
    </>
  );
}

function provenInWords({ gap_to_optimal, seconds }: Placement["proof"]): string {
  const took = `${seconds.toFixed(1)} s`;
  if (gap_to_optimal <= 1e-9) return `Proven to be the best possible, in ${took}.`;
  return `At most ${(gap_to_optimal * 100).toFixed(2)} % below the best possible, as proven in ${took}.`;
}
