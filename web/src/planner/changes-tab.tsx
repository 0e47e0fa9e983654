// What if: what is done to the selected unit or station, the list of changes of a variant, and A beside B in numbers.

import { km2 } from "../format.ts";
import type { Page } from "../page.ts";
import { type Parts, share, signedKm2, standing, type VariantAnswer } from "./answers.ts";
import { told } from "./changes.ts";
import type { VariantName } from "./plan.ts";
import { Amount } from "./amount.tsx";

const VARIANTS: readonly VariantName[] = ["a", "b"];

export function ChangesTab({ page }: { page: Page }) {
  const { variants } = page.planner;
  return (
    <>
      <div class="switch" role="group" aria-label="Variant that is changed and drawn">
        {VARIANTS.map((name) => (
          <button
            key={name}
            aria-pressed={variants.name.value === name}
            onClick={() => page.setPlan({ variant: name })}
          >
            Variant {name.toUpperCase()}
          </button>
        ))}
      </div>
      <div role="status" aria-label="What if">
        {variants.problem.value && <p class="mark">{variants.problem.value}</p>}
        <Compared page={page} />
      </div>
      <Selected page={page} />
      <Addition page={page} />
      <List page={page} />
      <div role="status" aria-label="What becomes of it">
        {variants.shown.value && <Became page={page} variant={variants.shown.value} />}
      </div>
    </>
  );
}

/** What can be done to what is selected. */
function Selected({ page }: { page: Page }) {
  const { selected } = page.settings.value;
  const { variants } = page.planner;
  const info = selected && page.catalogue.value.get(selected.layer);
  if (!selected || !info || !["units", "assets", "coverage"].includes(info.kind)) {
    return (
      <p class="note">
        Select a unit or a station on the map: then remove it, commit it, or drag it elsewhere.
      </p>
    );
  }
  const { layer, id } = selected;
  return (
    <div class="buttons" role="group" aria-label={`Change ${page.nameOf(selected)}`}>
      <strong>
        <bdi>{page.nameOf(selected)}</bdi>
      </strong>
      <button onClick={() => variants.add({ do: "remove", layer, id })}>Remove it</button>
      {info.kind === "units" && (
        <button onClick={() => variants.add({ do: "commit", layer, id })}>Commit it</button>
      )}
      <button
        onClick={() => variants.add({ do: "bring_back", layer, id })}
        title="Whatever keeps it from counting"
      >
        Let it count
      </button>
      <button onClick={() => variants.add({ do: "switch_off", layer })}>
        All of <bdi>{info.title || layer}</bdi> off
      </button>
      {variants.mayChange(selected) && (
        <p class="note">Drag its handle on the map, or move that with the arrow keys (Shift: farther).</p>
      )}
    </div>
  );
}

function Addition({ page }: { page: Page }) {
  const { planner } = page;
  const isAsked = planner.clicking.value === "addition";
  const reach = planner.newReachM.value;
  return (
    <div class="buttons" role="group" aria-label="Add a unit or station">
      <button aria-pressed={isAsked} onClick={() => (planner.clicking.value = isAsked ? null : "addition")}>
        Add one: click the map
      </button>
      <button onClick={() => planner.variants.addAt(page.map.center, reach)}>in the middle</button>
      <span class="together">
        reaching{" "}
        <Amount
          name="Reach of what is added, metres"
          unit="m"
          value={reach}
          most={100_000}
          onChange={(metres) => (planner.newReachM.value = metres)}
        />
      </span>
    </div>
  );
}

function List({ page }: { page: Page }) {
  const { variants } = page.planner;
  const changes = variants.changes.value;
  if (changes.length === 0) return <p class="note">Nothing is changed in this variant.</p>;
  const titleOf = (layer: string) => page.state.peek().catalogue.get(layer)?.title || layer;
  return (
    <>
      <ol class="changes" aria-label="Changes">
        {changes.map((change, i) => {
          const text = told(change, (ref) => page.nameOf(ref), titleOf);
          return (
            <li key={i}>
              <bdi>{text}</bdi>
              <button aria-label={`Take back: ${text}`} onClick={() => variants.takeBack(i)}>
                ×
              </button>
            </li>
          );
        })}
      </ol>
      <div class="buttons">
        <button onClick={() => variants.undo()}>Undo</button>
        <button onClick={() => variants.reset()}>Reset</button>
      </div>
    </>
  );
}

/** What is, A and B side by side, with what they differ by. */
function Compared({ page }: { page: Page }) {
  const answer = page.planner.variants.answer.value;
  if (!answer) return null;
  const { base, a, b } = answer;
  const shown = page.planner.variants.name.value;
  const columns: [string, Parts | undefined, VariantName | null][] = [
    ["Now", base, null],
    ["A", a, "a"],
    ["B", b, "b"],
  ];
  const rows: [string, (parts: Parts) => string, ((variant: VariantAnswer) => string) | null][] = [
    ["Gap", (parts) => km2(parts.gap_km2), (variant) => signedKm2(variant.difference.gap_km2)],
    ["Covered", (parts) => km2(parts.covered_km2), (variant) => signedKm2(variant.difference.covered_km2)],
    ["Share", (parts) => share(parts.covered_share), null],
    ["Overlap", (parts) => km2(parts.overlap_km2), (variant) => signedKm2(variant.difference.overlap_km2)],
    ...agenciesOf([base, a, b]).map((agency): (typeof rows)[number] => [
      page.state.peek().agencies.get(agency)?.name ?? agency,
      (parts) => km2(parts.agencies.find((each) => each.agency === agency)?.covers_km2 ?? 0),
      null,
    ]),
  ];
  const used = columns.filter(([, parts]) => parts !== undefined);
  return (
    <table class="compared">
      <thead>
        <tr>
          <th scope="col"></th>
          {used.map(([name, , variant]) => (
            <th key={name} scope="col" class={variant === shown ? "shown" : ""}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, told, differs]) => (
          <tr key={name} class={name === "Gap" ? "main" : ""}>
            <th scope="row">
              <bdi>{name}</bdi>
            </th>
            {used.map(([column, parts, variant]) => (
              <td key={column} class="number">
                {told(parts!)}
                {differs && variant && <small>{differs(parts as VariantAnswer)}</small>}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** All that cover any of it, those of the picture first: what is added may be of another one. */
function agenciesOf(all: (Parts | undefined)[]): string[] {
  return [...new Set(all.flatMap((parts) => parts?.agencies ?? []).map(({ agency }) => agency))];
}

/** The legend of what is drawn, and what became of each cover. */
function Became({ page, variant }: { page: Page; variant: VariantAnswer }) {
  const { newly_uncovered, newly_covered, changed } = variant;
  return (
    <>
      <p>
        <span class="key cross" aria-hidden="true" /> Newly uncovered: {km2(newly_uncovered.km2)}
      </p>
      <p>
        <span class="key plus" aria-hidden="true" /> Newly covered: {km2(newly_covered.km2)}
      </p>
      {changed.length > 0 && (
        <details>
          <summary>
            What became of{" "}
            {changed.length === 1 ? "one of them" : `${changed.length.toLocaleString("en-US")} of them`}
          </summary>
          <ul>
            {changed.slice(0, 50).map(({ layer, id, name, standing: now, was, agency }) => (
              <li key={`${layer}/${id}`}>
                <bdi>{name}</bdi>{" "}
                <small>
                  <bdi>{page.state.peek().agencies.get(agency)?.name ?? agency}</bdi> ·{" "}
                  {was === null ? "added" : was === now ? "moved" : `${standing(was)} → ${standing(now)}`}
                </small>
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}
