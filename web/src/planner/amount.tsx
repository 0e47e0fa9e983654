// Fields for whole numbers of at least 1. What is no such number is not taken, and that is said: an answer to another
// question than the one typed would mislead.

import { useState } from "preact/hooks";
import { wholeOf } from "./plan.ts";

/** A field alone, with what was refused last. */
export function Whole(props: {
  name?: string;
  value: number;
  most: number;
  onChange: (value: number) => void;
}) {
  const { name, value, most, onChange } = props;
  const [refused, setRefused] = useState<string | null>(null);
  const take = (input: HTMLInputElement) => {
    const typed = input.value;
    const whole = wholeOf(typed, most);
    setRefused(whole === null ? typed || "Nothing" : null);
    if (whole !== null) onChange(whole);
    else input.value = String(value);
  };
  return (
    <>
      <input
        type="number"
        aria-label={name}
        min={1}
        max={most}
        value={value}
        onChange={(event) => take(event.currentTarget)}
      />
      {refused !== null && (
        <span class="mark refused" role="alert">
          {refused} is not taken, only a whole number from 1 to {most.toLocaleString("en-US")}: it stays{" "}
          {value}.
        </span>
      )}
    </>
  );
}

/** A field with its unit. */
export function Amount({ unit, ...field }: Parameters<typeof Whole>[0] & { name: string; unit: string }) {
  return (
    <label>
      <Whole {...field} />
      {unit}
    </label>
  );
}
