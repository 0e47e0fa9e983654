// What must not be overlooked: that this is an exercise, that the picture is not live, that nothing may be seen.

import { clockTime, sinceTime } from "../format.ts";
import type { Page } from "../page.ts";

export function ExerciseBanner({ page }: { page: Page }) {
  const status = page.status.value;
  if (status === "actual") return null;
  const word = status.toUpperCase();
  return (
    <div class="exercise" role="note" aria-label={`${word}. Not a real event.`}>
      <strong>
        {word} {word} {word}
      </strong>
      <span>not a real event</span>
    </div>
  );
}

export function LinkBanner({ page }: { page: Page }) {
  const { state, heardAt, retryAt, blocked } = page.link.value;
  const inS =
    retryAt === null
      ? null
      : Math.max(0, Math.ceil((retryAt - (page.now.value - page.link.value.offset)) / 1000));
  if (
    state === "live" ||
    state === "moving" ||
    (state === "connecting" && retryAt === null && heardAt === null)
  )
    return null;
  return (
    <div class="lost" role="alert">
      <span aria-hidden="true">⚠</span>
      <strong>
        {heardAt === null ? "No connection to the server yet" : `Not live since ${clockTime(heardAt)}`}
      </strong>
      {heardAt !== null && <span>positions are ageing, and whatever has happened since is missing here</span>}
      {blocked && (
        <span>
          This network blocks websockets, or the server takes no more viewers: it answers, but no live stream
          opens
        </span>
      )}
      <span aria-live="off">{inS === null ? "Connecting…" : `Next try in ${inS} s`}</span>
      <button onClick={() => page.retryNow()}>Try now</button>
    </div>
  );
}

/** The link lives, and still the picture is not whole: the server itself is cut off from what is reported. */
export function MissingBanner({ page }: { page: Page }) {
  const since = page.missingSince.value;
  if (since === null || !page.live.value) return null;
  return (
    <div class="lost" role="alert">
      <span aria-hidden="true">⚠</span>
      <strong>Missing since {sinceTime(since, page.now.value)}: the server cannot read the log</strong>
      <span>whatever has happened since comes when it can</span>
    </div>
  );
}

export function Notice({ page }: { page: Page }) {
  if (page.notice.value === null) return null;
  return (
    <div class="notice" role="status">
      <span>
        The server says: <bdi>{page.notice.value}</bdi>
      </span>
      <button onClick={() => (page.notice.value = null)}>Dismiss</button>
    </div>
  );
}

export function NoAccess({ page }: { page: Page }) {
  const { viewer, catalogue } = page.state.value;
  if (viewer === null || catalogue.size > 0) return null;
  return (
    <section class="panel no-access" aria-labelledby="no-access">
      {viewer.agency === null ? (
        <>
          <h2 id="no-access">You are not signed in</h2>
          <p>No layer of this deployment is public, so there is nothing to show.</p>
          <p>
            Open the one-time link that the operator of this deployment gives you. It works once, and then
            this browser stays signed in. (<code>make demo</code> prints such a link when it starts.)
          </p>
          <button onClick={() => location.reload()}>I have opened it: reload</button>
        </>
      ) : (
        <>
          <h2 id="no-access">Nothing is shared with you yet</h2>
          <p>
            You are signed in as <bdi>{viewer.name}</bdi>. Layers appear here by themselves once your agency
            owns some, or another one shares some with it.
          </p>
        </>
      )}
    </section>
  );
}
