// The search: a text field and its list of hits, worked by keyboard as a combobox.

import { useEffect, useRef, useState } from "preact/hooks";
import { coordinates } from "../format.ts";
import type { Page } from "../page.ts";
import { type Hit, search } from "../search.ts";
import { featureById } from "../state.ts";
import { Symbol } from "./symbol.tsx";

/** By how many zooms a search that found nothing looks further: over eight times as much in either direction. */
const FURTHER = 3;

export function SearchBox({ page }: { page: Page }) {
  const input = useRef<HTMLInputElement>(null);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const [open, setOpen] = useState(false);
  // at once, not with the next render: whoever types fast has the next letter under way already
  useEffect(() => void (page.focusSearch = () => input.current?.focus()), []);
  if (open) page.now.value; // what was looked for may come into the picture meanwhile
  const hits = open ? search(page.state.peek(), text) : [];

  const close = () => {
    setOpen(false);
    setText("");
    input.current?.blur();
  };
  const take = (hit: Hit | undefined) => {
    if (!hit) return;
    if (hit.kind === "place") page.map.goTo(hit.lng, hit.lat);
    else page.show(hit.ref);
    close();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setAt(Math.min(at + 1, hits.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(at - 1, 0));
    else if (event.key === "Enter") take(search(page.state.peek(), input.current?.value ?? "")[at]);
    else if (event.key === "Escape") {
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
          setText(event.currentTarget.value);
          setAt(0);
          setOpen(true);
        }}
        onBlur={() => setTimeout(() => setOpen(false), 150)}
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
              Nothing of that name {page.byView.peek() ? "around here" : "in this picture"}
              {page.summed.peek().length > 0 && ", as far as it is not summed: zoom in to search all of it"}
              {page.byView.peek() && page.summed.peek().length === 0 && (
                <button
                  onMouseDown={(event) => {
                    event.preventDefault();
                    page.map.map.zoomTo(page.map.map.getZoom() - FURTHER);
                  }}
                >
                  Zoom out to look further
                </button>
              )}
            </li>
          )}
        </ul>
      )}
    </search>
  );
}

function HitLine({ page, hit }: { page: Page; hit: Hit }) {
  if (hit.kind === "place") return <>Go to {coordinates(hit.lng, hit.lat)}</>;
  const state = page.state.peek();
  const agency = state.catalogue.get(hit.ref.layer)?.agency ?? "";
  const properties = featureById(state, hit.ref.layer, hit.ref.id)?.properties ?? {};
  return (
    <>
      <Symbol kind={hit.of} color={state.agencies.get(agency)?.color ?? "#4d4d4d"} of={properties} />
      <bdi>{hit.name}</bdi> <small>{hit.detail}</small>
    </>
  );
}
