"""The words of `cop bench live`: its options, the table it prints, and its exit codes."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from cop.api.requests import parse_bbox
from cop.bench.judging import Lags
from cop.bench.plan import CITY, MOST_LIMIT, Address, Form, LoadFailed, Look, Plan
from cop.bench.run import Fetched, Outcome, run
from cop.bench.usage import Usage
from layers.errors import LayersError

app = typer.Typer(help="Measure a running service.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure a running service."""


@app.command()
def live(
    layer: Annotated[str, typer.Option(help="The layer, AGENCY.SLUG: of kind units, best of status test.")],
    key: Annotated[
        str,
        typer.Option(
            envvar="COP_KEY",
            help="A key with the scope publish, of the agency whose layer it is: it reads its own.",
        ),
    ],
    url: Annotated[str, typer.Option(envvar="COP_URL", help="The service.")] = "http://127.0.0.1:8600",
    viewers: Annotated[int, typer.Option(min=1, max=50_000, help="Live connections.")] = 100,
    units: Annotated[int, typer.Option(min=1, max=MOST_LIMIT, help="Units that drive.")] = 1_000,
    every: Annotated[float, typer.Option(min=0.05, help="Seconds between a unit's reports.")] = 1.0,
    seconds: Annotated[float, typer.Option(min=1, help="How long to measure.")] = 30.0,
    warm: Annotated[float, typer.Option(min=0, help="Seconds before that.")] = 5.0,
    protocol: Annotated[Form, typer.Option(help="Text frames, or frames with packed moves.")] = "json",
    processes: Annotated[int, typer.Option(min=1, max=64, help="Processes that hold the viewers.")] = 1,
    view: Annotated[
        Look, typer.Option(help="Zoom 11 to 13 of different places; the world; or a tenth of that.")
    ] = "city",
    bbox: Annotated[str, typer.Option(help="Where the units drive: west,south,east,north.")] = ",".join(
        map(str, CITY)
    ),
    seed: Annotated[int, typer.Option(min=0, help="Another seed drives other ways.")] = 1,
    reconnect: Annotated[
        bool, typer.Option("--reconnect", help="Then all viewers leave, and come back at once with cursors.")
    ] = False,
    away: Annotated[float, typer.Option(min=0, help="With --reconnect: for how many seconds.")] = 5.0,
    public: Annotated[
        bool, typer.Option("--public", help="The viewers come without the key: the layer is public.")
    ] = False,
    keep: Annotated[int, typer.Option(min=1, help="Megabytes of frames to keep for the check.")] = 1_000,
    pid: Annotated[
        int | None, typer.Option(help="The service's process here: its CPU and memory too.")
    ] = None,
    actual: Annotated[bool, typer.Option("--actual", help="Put up with a layer of status actual.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One line of JSON instead of the table.")] = False,
) -> None:
    """Let units report and viewers watch, and say how late, how large and how whole the stream is.

    Lag is from the moment the service locks the layer for a batch, just before it commits, until the frame is in a
    viewer's hands, by the clocks of the two machines. After the run every viewer must hold all units in its
    view as they last were, and nothing outdated beyond. The units expire ten minutes later.

    Exit code 0: nothing was lost; 1: something was, or a viewer was cut off; 2: it could not be done.
    """
    errors = Console(stderr=True, highlight=False)
    try:
        plan = Plan(
            Address.of(url),
            key,
            layer,
            viewers,
            units,
            every_s=every,
            seconds=seconds,
            warm_s=warm,
            form=protocol,
            look=view,
            bbox=_box(bbox),
            seed=seed,
            processes=min(processes, viewers),
            public=public,
            away_s=away if reconnect else None,
            keep_bytes=keep * 1_000_000,
        )
        outcome = asyncio.run(
            _checked(plan, errors, actual=actual, usage=None if pid is None else Usage(pid))
        )
    except (LoadFailed, LayersError) as error:
        errors.print(str(error), style="red", markup=False)
        raise typer.Exit(2) from None
    if json:
        typer.echo(orjson.dumps(figures(outcome)).decode())
    else:
        _table(outcome, Console(highlight=False))
    raise typer.Exit(0 if outcome.whole else 1)


async def _checked(plan: Plan, errors: Console, *, actual: bool, usage: Usage | None) -> Outcome:
    """Run, unless units that do not exist would be drawn among those that do."""
    known = await Fetched(plan).layer()
    if known.get("kind") != "units":
        raise LoadFailed(f"{plan.layer} is of kind {known.get('kind')}; units report to one of kind units.")
    if known.get("status") == "actual" and not actual:
        raise LoadFailed(
            f"{plan.layer} is an actual layer: those who look at it would see units that do not exist. Make one for "
            f"tests (cop layer add {plan.layer.partition('.')[0]}.load --kind units --status test), or say --actual."
        )
    return await run(plan, say=lambda text: errors.print(text, style="dim", markup=False), usage=usage)


def _box(text: str) -> tuple[float, float, float, float]:
    box = parse_bbox(text)
    if box is None or box[0] >= box[2] or box[1] >= box[3]:
        raise LoadFailed("--bbox: expected west,south,east,north with west < east and south < north.")
    return box


def lag_figures(lags: Lags) -> dict[str, float]:
    """p50, p95 and p99 in milliseconds."""
    return {f"lag_p{percent}_ms": round(lags.percentile(percent), 1) for percent in (50, 95, 99) if len(lags)}


def figures(outcome: Outcome) -> dict[str, Any]:
    """All that the table says, by name, for programs."""
    plan, verdict, counted = outcome.plan, outcome.verdict, outcome.counted
    found: dict[str, Any] = {
        "viewers": plan.viewers,
        "units": plan.units,
        "every_s": plan.every_s,
        "protocol": plan.form,
        "view": plan.look,
        "seconds": round(outcome.seconds, 2),
        "arrival_s": round(max(outcome.arrival_s), 2),
        "published_a_second": round(outcome.published / outcome.seconds, 1),
        "asked_a_second": round(plan.rate, 1),
        **lag_figures(verdict.lags),
        "lag_rows": len(verdict.lags),
        "frames_a_second": round(counted.frames / outcome.seconds, 1),
        "frame_bytes": round(counted.size / max(counted.frames, 1), 1),
        "row_bytes": round(verdict.row_bytes / max(verdict.rows, 1), 1),
        "megabytes_a_second": round(counted.size / outcome.seconds / 1e6, 2),
        "lost": verdict.lost,
        "gaps": verdict.gaps,
        "checked_viewers": verdict.checked,
        "summed_viewers": verdict.summed,
        "settled": outcome.settled,
        "closed": outcome.ends,
        "errors": verdict.complaints,
        "own_cpu_cores": round(outcome.own_cpu_s / outcome.seconds, 3),
    }
    if outcome.return_s:
        lags = Lags()
        lags.add(1000 * _array(outcome.return_s))
        found |= {f"caught_up_{name[4:]}": value for name, value in lag_figures(lags).items()}
        found |= {"caught_up_last_ms": round(max(outcome.return_s) * 1000, 1)}
        found |= {"with_cursor": outcome.returned_with_cursor}
    if len(outcome.measured) > 1:
        found |= {
            "service_cpu_cores": round(outcome.cores, 3),
            "service_rss_mb": [round(sample.rss_mb, 1) for sample in outcome.samples],
        }
    return found


def _array(values: list[float]) -> Any:
    import numpy as np

    return np.array(values)


def _table(outcome: Outcome, out: Console) -> None:
    plan, found = outcome.plan, figures(outcome)
    table = Table(show_header=False, box=None, pad_edge=False)
    rows = {
        "lag, p50 / p95 / p99": " / ".join(f"{found.get(f'lag_p{p}_ms', '–')}" for p in (50, 95, 99)) + " ms",
        "  measured on": f"{found['lag_rows']:,} rows",
        "published": f"{found['published_a_second']:,.0f} of {found['asked_a_second']:,.0f} observations a second",
        "frames": f"{found['frames_a_second']:,.0f} a second, {found['megabytes_a_second']:,.1f} MB/s",
        "a frame": f"{found['frame_bytes']:,.0f} bytes",
        "a unit in a frame": f"{found['row_bytes']:,.1f} bytes",
        "all viewers were there in": f"{found['arrival_s']:.1f} s",
        "lost": f"{found['lost']:,}",
        "gaps": f"{found['gaps']:,}",
        "checked": f"{found['checked_viewers']:,} of {plan.viewers:,} viewers",
        "load generator": f"{found['own_cpu_cores']:.2f} cores",
    }
    if "caught_up_last_ms" in found:
        rows["caught up, p50 / p99 / last"] = (
            f"{found['caught_up_p50_ms']:,.0f} / {found['caught_up_p99_ms']:,.0f} / "
            f"{found['caught_up_last_ms']:,.0f} ms, {found['with_cursor']:,} with a cursor"
        )
    if "service_cpu_cores" in found:
        cores, rss = found["service_cpu_cores"], found["service_rss_mb"]
        rows["service"] = f"{cores:.2f} cores, {rss[0]:,.0f} → {rss[-1]:,.0f} MB (most {max(rss):,.0f})"
    for name, value in rows.items():
        table.add_row(name, value)
    out.print(table)
    for remark in remarks(outcome):
        out.print(remark, markup=False)


def remarks(outcome: Outcome) -> list[str]:
    """What a reader of the figures must know beside them."""
    plan, verdict = outcome.plan, outcome.verdict
    said = []
    if verdict.checked < plan.viewers:
        said.append(
            f"Only {verdict.checked:,} viewers were checked: more came than --keep holds. "
            "What arrived was counted for all; lag and loss are those of the viewers checked."
        )
    if verdict.summed:
        said.append(f"{verdict.summed:,} viewers held sums instead of units; they are not compared.")
    if outcome.published < 0.95 * plan.rate * outcome.seconds:
        said.append(
            "The service took fewer observations than were to be sent: the lag is that of a full queue."
        )
    if not outcome.settled:
        said.append("Frames still came half a minute after the last report: the loss may be a delay.")
    if outcome.ends:
        codes = ", ".join(f"{count} with {code}" for code, count in outcome.ends.items())
        said.append(f"Viewers were cut off: {codes}.")
    said += [f"The service said: {complaint:.200}" for complaint in verdict.complaints]
    if not plan.address.near:
        said.append("The lag compares the clocks of two machines: it is as true as they agree.")
    return said
