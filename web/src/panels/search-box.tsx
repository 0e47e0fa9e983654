// The search: a text field and its list of hits, worked by keyboard as a combobox.

import { useEffect, useRef, useState } from "preact/hooks";
import { Asking } from "../asking.ts";
import { coordinates, parseCoordinates } from "../format.ts";
import { getKnown } from "../http.ts";
import type { Page } from "../page.ts";
import { type Hit, type Known, search } from "../search.ts";
import { Symbol } from "./symbol.tsx";

/** How long the typing rests before the server is asked for what is not held here. */
const REST_MS = 250;

export function SearchBox({ page }: { page: Page }) {
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [open, setOpen] = useState(false);
  /** Which hit was chosen by keyboard, and stays so while others come in; null: the best. */
  const [chosen, setChosen] = useState<string | null>(null);
  /** Enter was pressed before the server had answered: the best hit is taken once it has. */
  const [isAwaited, setAwaited] = useState(false);
  const elsewhere = useRef(new Asking<Known[]>()).current;
  /** What the server was last asked for. */
  const askedFor = useRef("");
  const isAsked = page.isPartial.value && /[\p{L}\p{N}]/u.test(text) && !parseCoordinates(text);
  const operation = page.operation.value?.id ?? null;
  // at once, not with the next render: whoever types fast has the next letter under way already
  useEffect(() => void (page.focusSearch = () => input.current?.focus()), []);
  if (open) page.now.value; // what was looked for may come into the picture meanwhile
  const asked = elsewhere.state.value;
  const hits = open ? search(page.state.peek(), text, elsewhere.peek() ?? []) : [];
  const at = Math.max(
    hits.findIndex((hit) => keyOf(hit) === chosen),
    0,
  );

  const look = (typed: string) => {
    setText(typed);
    setChosen(null);
    setAwaited(false);
  };
  const close = () => {
    setOpen(false);
    look("");
    input.current?.blur();
  };
  const take = (hit: Hit) => {
    if (hit.kind === "place") page.map.goTo(hit.lng, hit.lat);
    else page.show(hit.ref, hit.at);
    close();
  };
  const choose = (to: number) => hits[to] && setChosen(keyOf(hits[to]));

  useEffect(() => {
    elsewhere.reset();
    askedFor.current = text;
    if (!isAsked) return;
    const ask = (signal: AbortSignal) => getKnown(text, operation, signal);
    const resting = setTimeout(() => void elsewhere.ask(ask), REST_MS);
    return () => clearTimeout(resting);
  }, [text, isAsked, operation]);
  const isAnswered =
    !isAsked || (askedFor.current === text && (asked.phase === "done" || asked.phase === "failed"));
  useEffect(() => {
    if (!isAwaited || !isAnswered) return;
    setAwaited(false);
    if (hits[at]) take(hits[at]);
  });

  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") choose(at + 1);
    else if (event.key === "ArrowUp") choose(at - 1);
    else if (event.key === "Enter") {
      if (chosen !== null && hits[at]) take(hits[at]);
      else setAwaited(true);
    } else if (event.key === "Escape") {
      event.stopPropagation();
      close();
      return;
    } else return;
    event.preventDefault();
  };

  return (
    <search>
      <input
        ref={input}
        type="search"
        role="combobox"
        list={undefined}
        aria-label="Search unit, incident or coordinates"
        aria-expanded={hits.length > 0}
        aria-controls="hits"
        aria-activedescendant={hits.length > 0 ? `hit-${at}` : undefined}
        placeholder="Search unit, incident, 41.88, -87.63   ( / )"
        autocomplete="off"
        spellcheck={false}
        value={text}
        onInput={(event) => {
          look(event.currentTarget.value);
          setOpen(true);
        }}
        onBlur={() => {
          setAwaited(false);
          setTimeout(() => setOpen(false), 150);
        }}
        onKeyDown={onKeyDown}
      />
      {open && text.trim() !== "" && (
        <ul id="hits" role="listbox" aria-label="Found">
          {hits.map((hit, i) => (
            <li
              key={i}
              id={`hit-${i}`}
              role="option"
              aria-selected={i === at}
              onMouseDown={(event) => {
                event.preventDefault();
                take(hit);
              }}
            >
              <HitLine page={page} hit={hit} />
            </li>
          ))}
          {hits.length === 0 && (
            <li class="none">
              {asked.phase === "failed"
                ? `Nothing of that name around here. Elsewhere could not be looked: ${asked.detail}`
                : isAnswered
                  ? "Nothing of that name in this picture"
                  : "Nothing of that name around here, looking everywhere …"}
            </li>
          )}
        </ul>
      )}
    </search>
  );
}

function keyOf(hit: Hit): string {
  return hit.kind === "place" ? "place" : `${hit.ref.layer} ${hit.ref.id}`;
}

function HitLine({ page, hit }: { page: Page; hit: Hit }) {
  if (hit.kind === "place") return <>Go to {coordinates(hit.lng, hit.lat)}</>;
  const state = page.state.peek();
  const agency = state.catalogue.get(hit.ref.layer)?.agency ?? "";
  return (
    <>
      <Symbol kind={hit.of} color={state.agencies.get(agency)?.color ?? "#4d4d4d"} of={hit.properties} />
      <bdi>{hit.name}</bdi> <small>{hit.detail}</small>
    </>
  );
}
