// Alerts, right below distress: what rule is broken and since when; each is one click from the map.

import type { Alert } from "../alerts.ts";
import { age, words } from "../format.ts";
import type { Page } from "../page.ts";

const MOST_SHOWN = 6;

export function AlertList({ page }: { page: Page }) {
  const alerts = page.alerts.value;
  const active = alerts.filter(({ isActive }) => isActive).length;
  // the region is there before the first alert: screen readers tell only of what changes in one that they know
  return (
    <div role="status" aria-label="Alerts">
      {alerts.length > 0 && (
        <section class={`panel alerts ${active > 0 ? "active" : ""}`} aria-labelledby="alerts-title">
          <h2 id="alerts-title">{active > 0 ? `⚠ Alerts (${active})` : "No alert is active"}</h2>
          <ul>
            {alerts.slice(0, MOST_SHOWN).map((alert) => (
              <li key={`${alert.ref.layer}/${alert.ref.id}`}>
                <One page={page} alert={alert} />
              </li>
            ))}
          </ul>
          {alerts.length > MOST_SHOWN && <p>and {alerts.length - MOST_SHOWN} more</p>}
        </section>
      )}
    </div>
  );
}

function One({ page, alert }: { page: Page; alert: Alert }) {
  const { box, isActive, since, severity } = alert;
  const seconds = (page.now.value - since) / 1000;
  return (
    <button class={isActive ? "" : "cleared"} disabled={!box} onClick={() => box && page.map.fit(box)}>
      <strong>
        {!isActive && "Cleared: "}
        <bdi>{alert.title}</bdi>
      </strong>
      <span>
        <bdi>{alert.rule}</bdi>
      </span>
      {/* ages change every second: nobody is to hear each of them */}
      <small aria-live="off">
        <bdi>{alert.agency}</bdi> {isActive && severity && `· ${words(severity)} `}·{" "}
        {isActive ? `for ${age(seconds)}` : `cleared ${age(seconds)} ago`}
      </small>
    </button>
  );
}
