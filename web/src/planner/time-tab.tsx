// Over time: the gap at each step of a window as a line, with its worst moment, a slider, and the same as a table.

import { clockTime, km2 } from "../format.ts";
import type { Page } from "../page.ts";
import { lasting, share, type Step, type Timeline } from "./answers.ts";
import { Notes } from "./answer-tab.tsx";
import { chart, stepAt, xOf } from "./chart.ts";
import { fromLocalInput, localInput, windowOf } from "./plan.ts";

const WIDTH = 340;
const HEIGHT = 90;
const STEPS_MINUTES = [5, 15, 30, 60, 240];

/** Rows of the table: as many as are still read. */
const MOST_ROWS = 200;

export function TimeTab({ page }: { page: Page }) {
  const { timeline } = page.planner;
  const state = timeline.state.value;
  return (
    <>
      <WindowFields page={page} />
      <div class="buttons">
        <button
          class="main"
          disabled={state.phase === "working"}
          onClick={() => void page.planner.askTimeline()}
        >
          Run the timeline
        </button>
      </div>
      <div role="status" aria-label="Over time">
        {state.phase === "working" && <p>Working it out…</p>}
        {state.phase === "failed" && <p class="mark">{state.detail}</p>}
      </div>
      {timeline.answer && <Told page={page} timeline={timeline.answer} />}
    </>
  );
}

function WindowFields({ page }: { page: Page }) {
  const { plan } = page.settings.value;
  const window = windowOf(plan, page.serverNow());
  const set = (change: Partial<typeof window>) => page.setPlan({ window: { ...window, ...change } });
  const hours = (back: number) => {
    const to = Math.floor(page.serverNow() / 60_000) * 60_000;
    page.setPlan({ window: { from: to - back * 3_600_000, to } });
  };
  return (
    <div class="fields">
      <label>
        From
        <input
          type="datetime-local"
          value={localInput(window.from)}
          onChange={(event) => set({ from: fromLocalInput(event.currentTarget.value) ?? window.from })}
        />
      </label>
      <label>
        To
        <input
          type="datetime-local"
          value={localInput(window.to)}
          onChange={(event) => set({ to: fromLocalInput(event.currentTarget.value) ?? window.to })}
        />
      </label>
      <div class="buttons">
        <button onClick={() => hours(1)}>Last hour</button>
        <button onClick={() => hours(24)}>Last day</button>
        <label>
          every
          <select
            value={String(plan.stepMinutes)}
            onChange={(event) => page.setPlan({ stepMinutes: Number(event.currentTarget.value) })}
          >
            {[...new Set([...STEPS_MINUTES, plan.stepMinutes])]
              .sort((a, b) => a - b)
              .map((minutes) => (
                <option key={minutes} value={minutes}>
                  {minutes} min
                </option>
              ))}
          </select>
        </label>
      </div>
    </div>
  );
}

function Told({ page, timeline }: { page: Page; timeline: Timeline }) {
  const { steps, worst } = timeline;
  const { step: chosen } = page.planner;
  const worstStep = stepAt(steps, Date.parse(worst.at));
  const index = Math.min(chosen.value ?? worstStep, steps.length - 1);
  const step = steps[index];
  const choose = (at: number) => page.planner.chooseStep(at, Date.parse(steps[at]!.at));
  const onMap = page.planner.analysis.answer?.at;
  if (!step) return <p>No step lies in the window.</p>;
  return (
    <>
      <Notes notes={timeline.notes} />
      <Line steps={steps} index={index} worst={worstStep} />
      <input
        type="range"
        class="slider"
        aria-label="Moment"
        aria-valuetext={`${moment(step.at)}: gap ${km2(step.gap_km2)}`}
        min={0}
        max={steps.length - 1}
        value={index}
        onInput={(event) => choose(event.currentTarget.valueAsNumber)}
      />
      <div role="status" aria-label="The moment">
        {step.known ? (
          <p>
            <strong>{moment(step.at)}</strong>: gap <strong class="number">{km2(step.gap_km2)}</strong>,
            covered {share(step.covered_share)}, by {step.covers.toLocaleString("en-US")}
          </p>
        ) : (
          <p>
            <strong>{moment(step.at)}</strong>: nothing is known of this moment
          </p>
        )}
      </div>
      <div class="buttons">
        <button onClick={() => void page.planner.showMoment(Date.parse(step.at), "answer")}>
          Show this moment's answer
        </button>
        <button onClick={() => choose(worstStep)}>Go to the worst</button>
      </div>
      {onMap && <p class="note">On the map: {moment(onMap)}</p>}
      <p>
        <span class="key worst" aria-hidden="true" /> Worst: {moment(worst.at)}, gap {km2(worst.gap_km2)} for{" "}
        {lasting(worst)}. On average {share(timeline.mean_covered_share)} is covered.
      </p>
      <Table steps={steps} />
    </>
  );
}

/** The line; what it says, the table below says as text. */
function Line({ steps, index, worst }: { steps: Step[]; index: number; worst: number }) {
  const { line, area, top } = chart(steps, WIDTH, HEIGHT);
  const x = (i: number) => xOf(i, steps.length, WIDTH);
  const y = (i: number) => HEIGHT - (steps[i]!.gap_km2 / top) * HEIGHT;
  return (
    <svg
      class="chart"
      viewBox={`-4 -6 ${WIDTH + 8} ${HEIGHT + 26}`}
      role="img"
      aria-label="The gap over time, km²"
    >
      <path class="ground" d={area} />
      <path class="line" d={line} />
      <line class="now" x1={x(index)} x2={x(index)} y1={0} y2={HEIGHT} />
      <path class="worst" d={`M${x(worst)} ${y(worst)}l5 -6h-10z`} />
      <line class="axis" x1={0} x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
      <text x={2} y={8}>
        {km2(top)}
      </text>
      <text x={0} y={HEIGHT + 15}>
        {hour(steps[0]!.at)}
      </text>
      <text x={WIDTH} y={HEIGHT + 15} text-anchor="end">
        {hour(steps.at(-1)!.at)}
      </text>
    </svg>
  );
}

function Table({ steps }: { steps: Step[] }) {
  const every = Math.ceil(steps.length / MOST_ROWS);
  return (
    <details>
      <summary>The same as a table</summary>
      <table>
        <thead>
          <tr>
            <th scope="col">Moment</th>
            <th scope="col">gap</th>
            <th scope="col">covered</th>
          </tr>
        </thead>
        <tbody>
          {steps
            .filter((_, i) => i % every === 0)
            .map(({ at, gap_km2, covered_share, known }) => (
              <tr key={at}>
                <th scope="row">{moment(at)}</th>
                <td class="number">{known ? km2(gap_km2) : "not known"}</td>
                <td class="number">{share(known ? covered_share : null)}</td>
              </tr>
            ))}
        </tbody>
      </table>
    </details>
  );
}

function moment(at: string): string {
  const day = new Date(at).toLocaleDateString("en-GB", { day: "numeric", month: "short" });
  return `${day}, ${clockTime(Date.parse(at))}`;
}

function hour(at: string): string {
  return clockTime(Date.parse(at)).slice(0, 5);
}
