// The help: every key, and what the symbols mean.

import { useEffect, useRef } from "preact/hooks";
import type { Page } from "../page.ts";
import { KEYS } from "./keys.ts";
import { Symbol } from "./symbol.tsx";

const MEANINGS: readonly (readonly [className: string, meaning: string])[] = [
  ["ring en-route", "yellow ring: dispatched, en route, transporting"],
  ["ring on-scene", "black ring: on scene"],
  ["ring distress", "thick red ring, blinking: distress"],
  ["ring", "no ring: available, returning, out of service (see the card)"],
  ["ring ageing", "paler: no news for a while"],
  ["ring stale", "hollow and dashed: stale, the position can't be relied on"],
];

export function Help({ page }: { page: Page }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const open = page.help.value;
  useEffect(() => {
    if (open) {
      dialog.current?.showModal();
      // it focuses its only button, at the end, and scrolls there
      dialog.current?.scrollTo(0, 0);
    } else dialog.current?.close();
  }, [open]);
  return (
    <dialog
      ref={dialog}
      class="panel help"
      aria-labelledby="help-title"
      onClose={() => (page.help.value = false)}
    >
      <h2 id="help-title">Keys</h2>
      <dl>
        {KEYS.map(([key, what]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <h2>Symbols</h2>
      <ul class="legend">
        <li>
          <Symbol kind="units" color="#0072b2" of={{ unit_type: "medic" }} /> circle: a unit, in its agency's
          colour; the nose shows its heading
        </li>
        <li>
          <Symbol kind="incidents" color="#b00020" of={{ incident_type: "fire" }} /> diamond: an incident
        </li>
        <li>
          <Symbol kind="assets" color="#2f4858" of={{ asset_type: "hospital" }} /> square: something that
          stands
        </li>
        {MEANINGS.map(([className, meaning]) => (
          <li key={className}>
            <span class={className} aria-hidden="true" /> {meaning}
          </li>
        ))}
        <li>
          <span class="hexagon" aria-hidden="true" /> hexagon: so many of a layer that it is summed; its
          number counts them, its edge says the worst status among them, dashed if the oldest report is stale;
          layers that share one part it in slices, which say which layer, not where in it; a click zooms in
        </li>
        <li>Units that stand at one spot are drawn in a ring around it; a click lists what else is there.</li>
      </ul>
      <h2>Coverage</h2>
      <ul class="legend">
        <li>
          <span class="key hatch" aria-hidden="true" /> gap: covered by fewer than asked for
        </li>
        <li>
          <span class="key dots" aria-hidden="true" /> overlap: covered by more than asked for
        </li>
        <li>
          <span class="key cross" aria-hidden="true" /> newly uncovered by the changes of a variant
        </li>
        <li>
          <span class="key plus" aria-hidden="true" /> newly covered by them
        </li>
      </ul>
      <p>
        Every setting is in the address: copy it and the other end sees what you see, as far as it is shared
        with them. <code>limit=500</code> in the address sums each layer with more than 500 features in sight
        (usually 20,000), for a slow device or line.
      </p>
      <button onClick={() => (page.help.value = false)}>Close</button>
    </dialog>
  );
}
