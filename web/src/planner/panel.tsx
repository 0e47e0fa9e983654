// The planner's panel: the question above, and below it the answer, what if, over time and where next.

import type { JSX } from "preact";
import type { Page } from "../page.ts";
import { AnswerTab } from "./answer-tab.tsx";
import { ChangesTab } from "./changes-tab.tsx";
import { NextTab } from "./next-tab.tsx";
import { inWords, type Tab, TABS } from "./plan.ts";
import { AreaButtons, QuestionForm } from "./question-form.tsx";
import { TimeTab } from "./time-tab.tsx";

const TITLES: Record<Tab, string> = {
  answer: "Answer",
  changes: "What if",
  time: "Over time",
  next: "Where next",
};
const CONTENT: Record<Tab, (props: { page: Page }) => JSX.Element | null> = {
  answer: AnswerTab,
  changes: ChangesTab,
  time: TimeTab,
  next: NextTab,
};

export function PlannerPanel({ page }: { page: Page }) {
  const { gap: open, plan } = page.settings.value;
  if (!open) return null;
  const { planner } = page;
  const scopes = page.state.value.viewer?.scopes ?? [];
  const mayPlan = scopes.includes("plan") || scopes.includes("admin");
  return (
    <section class="panel planner" aria-labelledby="planner-title">
      <div class="title">
        <h2 id="planner-title">Coverage</h2>
        <button onClick={() => page.toggle("gap")} title="Close (g)">
          Close
        </button>
      </div>
      {!mayPlan && <p class="mark">You are not signed in as a planner; the server may refuse to answer.</p>}
      <details
        class="question"
        open={planner.isQuestionOpen.value}
        onToggle={(event) => (planner.isQuestionOpen.value = event.currentTarget.open)}
      >
        <summary>
          <strong>Question</strong> <span class="note">{inWords(plan)}</span>
        </summary>
        <QuestionForm page={page} />
      </details>
      <AreaButtons page={page} />
      <State page={page} />
      {(planner.analysis.answer || planner.timeline.answer) && <Tabs page={page} />}
    </section>
  );
}

/** What is under way, or why there is no answer. */
function State({ page }: { page: Page }) {
  const { analysis, clicking, isOutdated } = page.planner;
  const state = analysis.state.value;
  return (
    <div role="status">
      {clicking.value === "corners" && (
        <p>Click the corners on the map. Enter or a click on the first corner ends; Esc gives up.</p>
      )}
      {state.phase === "working" && <p>Working it out…</p>}
      {state.phase === "failed" && <p class="mark">{state.detail}</p>}
      {isOutdated.value && <p class="caution">The question was changed since: ask again.</p>}
    </div>
  );
}

function Tabs({ page }: { page: Page }) {
  const { tab } = page.settings.value.plan;
  // a timeline stands without an answer while one of its moments cannot be had
  const Content = page.planner.analysis.answer || tab === "time" ? CONTENT[tab] : null;
  const onKey = (event: KeyboardEvent) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = TABS[(TABS.indexOf(tab) + step + TABS.length) % TABS.length]!;
    page.setPlan({ tab: next });
    document.getElementById(`tab-${next}`)?.focus();
  };
  return (
    <>
      <div class="tabs" role="tablist" aria-label="Coverage" onKeyDown={onKey}>
        {TABS.map((each) => (
          <button
            key={each}
            id={`tab-${each}`}
            role="tab"
            aria-selected={each === tab}
            aria-controls="planner-content"
            tabIndex={each === tab ? 0 : -1}
            onClick={() => page.setPlan({ tab: each })}
          >
            {TITLES[each]}
          </button>
        ))}
      </div>
      <div id="planner-content" role="tabpanel" aria-labelledby={`tab-${tab}`}>
        {Content && <Content page={page} />}
      </div>
    </>
  );
}
