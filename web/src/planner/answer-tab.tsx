// The answer: parts of the area in km², each gap with its reason, who covers what, a hex, and the files of it.

import { km2 } from "../format.ts";
import { DEPTH_OPACITY } from "../map/overlays.ts";
import type { Page } from "../page.ts";
import { type Analysis, distance, type GapArea, reasonInWords, share } from "./answers.ts";
import { PinnedHex } from "./hex-card.tsx";

/** Gaps listed at first. */
const FEW = 6;

export function AnswerTab({ page }: { page: Page }) {
  const answer = page.planner.analysis.answer;
  if (!answer) return null;
  return (
    <>
      <div role="status" aria-label="Answer">
        <Notes notes={answer.notes} />
        <Areas answer={answer} />
      </div>
      <Colouring page={page} answer={answer} />
      <PinnedHex page={page} />
      <Gaps page={page} answer={answer} />
      <Agencies page={page} answer={answer} />
      <Files page={page} />
      <p class="note">
        As of {new Date(answer.at).toLocaleString("en-GB")}. A hex's edge may be off by {answer.cell_error_m}{" "}
        m. Run <code>{answer.run}</code>.
      </p>
    </>
  );
}

/** What is to be read before the answer is believed. */
export function Notes({ notes }: { notes: string[] }) {
  if (notes.length === 0) return null;
  return (
    <details class="notes" open>
      <summary>Read first ({notes.length})</summary>
      {notes.map((note) => (
        <p key={note} class="caution">
          {note}
        </p>
      ))}
    </details>
  );
}

function Areas({ answer }: { answer: Analysis }) {
  const part = (value: number) => share(answer.area_km2 > 0 ? value / answer.area_km2 : null);
  const rows: [string, number, string][] = [
    ["Area", answer.area_km2, ""],
    ["Covered", answer.covered_km2, ""],
    ["Gap", answer.gap_km2, "hatch"],
    ["Overlap", answer.overlap_km2, "dots"],
  ];
  return (
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
  );
}

/** Gap and overlap, or how many cover each hex, with the legend of the latter. */
function Colouring({ page, answer }: { page: Page; answer: Analysis }) {
  const { byDepth } = page.settings.value.plan;
  const deepest = answer.depth_cells.at(-1)?.depth ?? 0;
  const isCut = answer.depths.some(({ depth }) => depth > deepest);
  const km2At = (depth: number) =>
    answer.depths
      .filter((each) => (depth === deepest && isCut ? each.depth >= depth : each.depth === depth))
      .reduce((sum, each) => sum + each.km2, 0);
  return (
    <>
      <div class="switch" role="group" aria-label="Colour hexes by">
        <button aria-pressed={!byDepth} onClick={() => page.setPlan({ byDepth: false })}>
          Gap and overlap
        </button>
        <button aria-pressed={byDepth} onClick={() => page.setPlan({ byDepth: true })}>
          How many cover
        </button>
      </div>
      {byDepth ? (
        <ul class="depths" aria-label="How many cover">
          {answer.depth_cells.map(({ depth }) => (
            <li key={depth}>
              <span
                class={depth === 0 ? "key hatch" : "key depth"}
                style={{ "--strength": String(DEPTH_OPACITY[depth]) }}
                aria-hidden="true"
              />
              <span>
                {depth === 0 ? "nobody" : depth}
                {depth === deepest && isCut ? " or more" : ""}
              </span>
              <span class="number">{km2(km2At(depth))}</span>
            </li>
          ))}
        </ul>
      ) : (
        <p class="note">Overlap: covered by more than {answer.at_least}.</p>
      )}
    </>
  );
}

function Gaps({ page, answer }: { page: Page; answer: Analysis }) {
  const { areas, area_count } = answer.gap;
  if (areas.length === 0) return null;
  const sorted = [...areas].sort((a, b) => b.km2 - a.km2);
  const list = (some: GapArea[], from: number) => (
    <ol class="gap-list" start={from + 1}>
      {some.map((gap, i) => (
        <li key={from + i}>
          <Gap page={page} gap={gap} />
        </li>
      ))}
    </ol>
  );
  return (
    <section aria-labelledby="gaps-title">
      <h3 id="gaps-title">
        {area_count === 1 ? "One gap" : `${area_count.toLocaleString("en-US")} gaps, the largest first`}
      </h3>
      {list(sorted.slice(0, FEW), 0)}
      {sorted.length > FEW && (
        <details>
          <summary>{(sorted.length - FEW).toLocaleString("en-US")} smaller ones</summary>
          {list(sorted.slice(FEW, 200), FEW)}
        </details>
      )}
    </section>
  );
}

function Gap({ page, gap }: { page: Page; gap: GapArea }) {
  const [lng, lat] = gap.center;
  return (
    <button class="entry" onClick={() => page.map.goTo(lng, lat, 13)}>
      <strong class="number">{km2(gap.km2)}</strong>
      {gap.why?.map((reason) => (
        <span key={reason.reason}>
          <bdi>{reasonInWords(reason)}</bdi>
        </span>
      ))}
      {gap.nearest && (
        <small>
          nearest that counts: <bdi>{gap.nearest.name}</bdi>, {distance(gap.nearest.distance_m)}
          {gap.reached_by ? ` · ${gap.reached_by} reach some of it` : ""}
        </small>
      )}
    </button>
  );
}

function Agencies({ page, answer }: { page: Page; answer: Analysis }) {
  if (answer.agencies.length === 0) return null;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Agency</th>
          <th scope="col">covers</th>
          <th scope="col">only it</th>
        </tr>
      </thead>
      <tbody>
        {answer.agencies.map(({ agency, covers_km2, only_km2 }) => (
          <tr key={agency}>
            <th scope="row">
              <bdi>{page.state.peek().agencies.get(agency)?.name ?? agency}</bdi>
            </th>
            <td class="number">{km2(covers_km2)}</td>
            <td class="number">{km2(only_km2)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The forms in which an answer leaves, which are also the endings of the files; the server makes them of the same run. */
const FILES = [
  ["html", "Briefing"],
  ["png", "Picture"],
  ["csv", "CSV"],
  ["gpkg", "GeoPackage"],
  ["parquet", "GeoParquet"],
  ["geojson", "GeoJSON"],
] as const;

function Files({ page }: { page: Page }) {
  const saving = page.planner.saving.value;
  const isBusy = saving !== null && saving.failed === null;
  return (
    <>
      <div class="buttons" role="group" aria-label="Save this answer as">
        <span>Save as</span>
        {FILES.map(([form, title]) => (
          <button key={form} disabled={isBusy} onClick={() => void page.planner.save(form)}>
            {title}
          </button>
        ))}
      </div>
      <div role="status">
        {isBusy && <p>Making {saving.what}…</p>}
        {saving?.failed && (
          <p class="mark">
            {saving.what}: {saving.failed}
          </p>
        )}
      </div>
    </>
  );
}
