// What a hex says: how deep it is covered and by whom, who is next nearest, who would cover it but does not count, and why.

import type { Page } from "../page.ts";
import { depthInWords, distance, type HexAnswer, type Near, standing } from "./answers.ts";
import type { Hex } from "./hex-lookup.ts";

/** Covers named of each list; the rest are counted. */
const MOST_NAMED = 4;

/** Beside the pointer; the same is said in the panel when the hex is clicked, so this is hidden from screen readers. */
export function HoverHex({ page }: { page: Page }) {
  const hex = page.planner.pointed.hex.value;
  if (!hex?.answer) return null;
  const { x, y } = page.planner.pointer.value;
  // towards the middle of the map, where no panel lies
  const { width, height } = page.map.size;
  const side = `${x > width / 2 ? "leftwards" : ""} ${y > height / 2 ? "upwards" : ""}`;
  return (
    <div class={`hover hex ${side}`} style={{ left: `${x}px`, top: `${y}px` }} aria-hidden="true">
      <About page={page} answer={hex.answer} />
    </div>
  );
}

export function PinnedHex({ page }: { page: Page }) {
  const hex = page.planner.pinned.hex.value;
  return (
    <div class="pinned" role="status" aria-label="The hex">
      {hex && <Pinned page={page} hex={hex} />}
      {!hex && (
        <p class="note">
          Point at a hex to see who covers it; click it to keep that here. By keyboard:{" "}
          <button class="link" onClick={() => page.planner.pin(page.map.center)}>
            the hex in the middle of the map (x)
          </button>
        </p>
      )}
    </div>
  );
}

function Pinned({ page, hex: { answer, failed } }: { page: Page; hex: Hex }) {
  return (
    <>
      <div class="title">
        <h3>This hex</h3>
        <button onClick={() => page.planner.pinned.leave()}>Leave it</button>
      </div>
      {failed && <p class="mark">{failed}</p>}
      {!failed && !answer && <p>Asking…</p>}
      {answer && <About page={page} answer={answer} />}
    </>
  );
}

function About({ page, answer }: { page: Page; answer: HexAnswer }) {
  const { covered_by, next, idle, idle_count } = answer;
  return (
    <>
      <p class={answer.depth < answer.at_least ? "mark" : ""}>{depthInWords(answer)}</p>
      <Covers page={page} covers={covered_by} count={answer.depth} />
      {idle_count > 0 && (
        <>
          <h3>Would cover it, but does not count</h3>
          <Covers page={page} covers={idle} count={idle_count} />
        </>
      )}
      {next.length > 0 && (
        <>
          <h3>Next nearest</h3>
          <Covers page={page} covers={next.slice(0, 2)} count={Math.min(2, next.length)} />
        </>
      )}
    </>
  );
}

function Covers({ page, covers, count }: { page: Page; covers: Near[]; count: number }) {
  const named = covers.slice(0, MOST_NAMED);
  return (
    <ul>
      {named.map((each) => (
        <li key={`${each.layer}/${each.id}`}>
          <bdi>{each.name}</bdi>{" "}
          <small>
            <bdi>{page.state.peek().agencies.get(each.agency)?.name ?? each.agency}</bdi> ·{" "}
            {distance(each.distance_m)}
            {each.standing !== "counts" && <strong> · {standing(each.standing)}</strong>}
          </small>
        </li>
      ))}
      {count > named.length && (
        <li>
          <small>and {(count - named.length).toLocaleString("en-US")} more</small>
        </li>
      )}
    </ul>
  );
}
