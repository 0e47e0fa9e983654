// The whole of the page's layout: map below, panels above, banners on top, and the spoken announcements.

import { useEffect, useRef } from "preact/hooks";
import type { Page } from "../page.ts";
import { HoverHex } from "../planner/hex-card.tsx";
import { PlannerPanel } from "../planner/panel.tsx";
import { AlertList } from "./alerts.tsx";
import { ExerciseBanner, LinkBanner, MissingBanner, NoAccess, Notice } from "./banners.tsx";
import { Card, HoverName } from "./card.tsx";
import { DistressList } from "./distress.tsx";
import { Help } from "./help.tsx";
import { onKey } from "./keys.ts";
import { LayerPanel } from "./layer-panel.tsx";
import { SilenceList } from "./silence.tsx";
import { UnitTable } from "./table.tsx";
import { TopBar } from "./top-bar.tsx";

export function App({ page }: { page: Page }) {
  const map = useRef<HTMLDivElement>(null);
  useEffect(() => {
    page.start(map.current!);
    const listen = (event: KeyboardEvent) => onKey(page, event);
    addEventListener("keydown", listen);
    return () => removeEventListener("keydown", listen);
  }, []);
  return (
    <div
      class={`page status-${page.status.value} ${page.settings.value.table ? "with-table" : ""}`}
      data-link={page.link.value.state}
      data-protocol={page.link.value.protocol}
      data-missing={page.missingSince.value !== null}
    >
      <header>
        <ExerciseBanner page={page} />
        <TopBar page={page} />
        <LinkBanner page={page} />
        <MissingBanner page={page} />
        <Notice page={page} />
      </header>
      <main>
        <div class="map" ref={map} />
        <div class="left">
          <LayerPanel page={page} />
        </div>
        <div class={`right ${page.settings.value.gap ? "planning" : ""}`}>
          <DistressList page={page} />
          <AlertList page={page} />
          <SilenceList page={page} />
          <Card page={page} />
          <PlannerPanel page={page} />
        </div>
        <UnitTable page={page} />
        <NoAccess page={page} />
        <HoverName page={page} />
        <HoverHex page={page} />
      </main>
      <Help page={page} />
      <div class="spoken" aria-live="assertive" role="status">
        {page.announcement}
      </div>
    </div>
  );
}
