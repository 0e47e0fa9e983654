"""`cop push`: a file of observations goes to a layer, all at once or played in its own time order.

It reads through `layers.exchange`, sends through `cop.client`, and keeps a journal so that a run which was
cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cop.client import Client, ProblemError
from layers.errors import LayersError
from layers.exchange import Columns, parsed_time, read_features
from layers.model import JsonObject, Receipt

LONGEST_BATCH_WAIT_S = 0.25
"""While playing, what falls due within this time goes in one request."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be pushed where, and how. `speed` None: all at once, in the order of the file."""

    file: Path
    layer: str
    url: str
    columns: Columns
    speed: float | None = None
    retime: bool = False
    batch: int = 500
    lenient: bool = False

    def signature(self) -> str:
        """The same for the same file, target and options: what a journal belongs to."""
        state = self.file.stat()
        facts = (str(self.file.resolve()), state.st_size, state.st_mtime_ns, repr(self))
        return sha256(repr(facts).encode()).hexdigest()[:32]


@dataclass(slots=True)
class Totals:
    """What has become of the features so far."""

    sent: int = 0
    accepted: int = 0
    created: int = 0
    unchanged: int = 0
    late: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    """By code."""

    def add(self, count: int, receipt: Receipt) -> None:
        """Count a batch of *count* features that was answered with *receipt*."""
        self.sent += count
        self.accepted += receipt.accepted
        self.created += receipt.created
        self.unchanged += receipt.unchanged
        self.late += receipt.late
        self.rejected.update(rejection.code for rejection in receipt.rejected)


class Journal:
    """How far a job has got, in a small file that is replaced whole after every acknowledged batch.

    A batch whose answer was lost with the process is sent again under the same idempotency key, so it does
    not count twice. What is played falls into other batches the next time, so it goes under a new key: there
    a repeated observation is `unchanged` or `late`, and does no harm either.
    """

    def __init__(self, path: Path, signature: str) -> None:
        self.path = path
        self.signature = signature
        self.run = str(uuid4())
        self.totals = Totals()

    @classmethod
    def open(cls, path: Path, signature: str) -> Journal:
        """The journal at *path* if it belongs to the job of that *signature*, else a new one."""
        journal = cls(path, signature)
        try:
            written = json.loads(path.read_text())
        except (OSError, ValueError):
            return journal
        if isinstance(written, dict) and written.get("signature") == signature:
            totals = written["totals"]
            journal.run = written["run"]
            journal.totals = Totals(**totals | {"rejected": Counter(totals["rejected"])})
        return journal

    def save(self) -> None:
        """Write it, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        new = self.path.with_suffix(".new")
        totals = {each.name: getattr(self.totals, each.name) for each in fields(Totals)}
        new.write_text(json.dumps({"signature": self.signature, "run": self.run, "totals": totals}))
        new.replace(self.path)

    def close(self) -> None:
        """The job is done: the next run starts from the beginning."""
        self.path.unlink(missing_ok=True)


def deliver(
    client: Client,
    job: Job,
    journal: Journal,
    *,
    on_batch: Callable[[Totals], None] = lambda totals: None,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Totals:
    """Push what the journal does not count as sent, and return the totals of the whole job.

    Raises `ProblemError` when the service refuses a batch (all of it, unless the job is lenient); the
    journal then stays, as it does when the process dies.
    """
    features = read_features(job.file, job.columns)
    if job.speed is None:
        batches: Iterable[list[JsonObject]] = _batches(_skip(features, journal.totals.sent), job.batch)
    else:
        rest = in_time_order(features)[journal.totals.sent :]
        batches = play(rest, job.speed, retime=job.retime, batch=job.batch, clock=clock, sleep=sleep)
    journal.save()
    for batch in batches:
        key = f"{journal.run}.{journal.totals.sent}" if job.speed is None else str(uuid4())
        try:
            receipt = client.push(job.layer, batch, lenient=job.lenient, idempotency_key=key)
        except ProblemError as problem:
            journal.totals.rejected.update(rejection.code for rejection in problem.rejected)
            raise
        journal.totals.add(len(batch), receipt)
        journal.save()
        on_batch(journal.totals)
    journal.close()
    return journal.totals


def in_time_order(features: Iterable[JsonObject]) -> list[JsonObject]:
    """*features* by `observed_at`; equal times keep their order, and those without a time go first."""
    return sorted(features, key=lambda feature: _time_of(feature) or datetime.min.replace(tzinfo=UTC))


def play(
    features: list[JsonObject],
    speed: float,
    *,
    retime: bool,
    batch: int,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[list[JsonObject]]:
    """Batches of *features* (in time order) as they fall due, *speed* times as fast as they were observed.

    With *retime* the first is observed now and every other when it falls due. So the times are pressed
    together as the playing is: none lies in the future, and the ages on the map are true.
    """
    times = [time for feature in features if (time := _time_of(feature)) is not None]
    start_s = clock()

    def due_s(feature: JsonObject) -> float:
        time = _time_of(feature)
        return 0.0 if time is None else (time - times[0]).total_seconds() / speed

    position = 0
    while position < len(features):
        wait_s = due_s(features[position]) - (clock() - start_s)
        if wait_s > 0.0:
            sleep(max(wait_s, LONGEST_BATCH_WAIT_S))
        passed_s = clock() - start_s
        due: list[JsonObject] = []
        while position < len(features) and len(due) < batch and due_s(features[position]) <= passed_s:
            feature = features[position]
            due.append(_retimed(feature, start_s + due_s(feature)) if retime else feature)
            position += 1
        if due:
            yield due


def _retimed(feature: JsonObject, at_s: float) -> JsonObject:
    if _time_of(feature) is None:
        return feature
    moment = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")
    return {**feature, "properties": {**feature["properties"], "observed_at": moment}}


def _time_of(feature: JsonObject) -> datetime | None:
    properties = feature.get("properties")
    return parsed_time(properties.get("observed_at")) if isinstance(properties, dict) else None


def _skip(features: Iterator[JsonObject], count: int) -> Iterator[JsonObject]:
    for number, feature in enumerate(features):
        if number >= count:
            yield feature


def _batches(features: Iterable[JsonObject], size: int) -> Iterator[list[JsonObject]]:
    batch: list[JsonObject] = []
    for feature in features:
        batch.append(feature)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


# The command.


def push(
    file: Annotated[
        Path, typer.Argument(help="CSV (also .gz), GeoJSON, NDJSON, GeoPackage, GeoParquet, Shapefile.")
    ],
    layer: Annotated[str, typer.Option(help="The layer: AGENCY.SLUG.")],
    key: Annotated[str, typer.Option(envvar="COP_KEY", help="A key with the scope publish.")],
    url: Annotated[str, typer.Option(envvar="COP_URL", help="The service.")] = "http://127.0.0.1:8600",
    id_column: Annotated[str | None, typer.Option(help="The column that tells features apart.")] = None,
    time_column: Annotated[str | None, typer.Option(help="When it was so; becomes observed_at.")] = None,
    lng_column: Annotated[str | None, typer.Option(help="Longitude, degrees.")] = None,
    lat_column: Annotated[str | None, typer.Option(help="Latitude, degrees.")] = None,
    property: Annotated[
        list[str] | None, typer.Option(help="COLUMN=PROPERTY: a column under another name. Repeatable.")
    ] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Zone of times that name none, such as America/Chicago.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Play in time order, this many times as fast as it was.")
    ] = None,
    at_once: Annotated[
        bool, typer.Option("--at-once", help="Push all, in the file's order (default).")
    ] = False,
    retime: Annotated[
        bool, typer.Option("--retime", help="With --speed: as if the first had been observed now.")
    ] = False,
    batch: Annotated[int, typer.Option(min=1, max=1_000, help="Features in one request.")] = 500,
    lenient: Annotated[
        bool, typer.Option("--lenient", help="Take what is good of each batch, and go on.")
    ] = False,
    journal: Annotated[
        Path | None, typer.Option(help="Where to note how far it got, if not in the state folder.")
    ] = None,
) -> None:
    """Push a file to a layer: once, or played as it happened. Run again after a crash, it goes on.

    Exit code 0: all was taken, or --lenient; 1: something was refused; 2: it could not be done.
    """
    if at_once and speed is not None:
        raise typer.BadParameter("--at-once and --speed exclude each other.")
    if retime and speed is None:
        raise typer.BadParameter(
            "--retime needs --speed: pushed at once, the later times would lie in the future."
        )
    columns = Columns(
        id=id_column,
        time=time_column,
        lng=lng_column,
        lat=lat_column,
        rename=_renaming(property or []),
        zone=zone_named(time_zone),
    )
    job = Job(file, layer, url, columns, speed, retime, batch, lenient)
    errors = Console(stderr=True)
    try:
        code = _run(job, key, journal, errors)
    except LayersError as error:
        errors.print(f"{error.code}: {error.detail}", style="red", markup=False)
        code = 2
    raise typer.Exit(code)


def _run(job: Job, key: str, path: Path | None, errors: Console) -> int:
    """Push with a progress bar and print the summary; the exit code."""
    total = sum(
        1 for _ in read_features(job.file, job.columns)
    )  # also finds a damaged line before any is sent
    signature = job.signature()
    journal = Journal.open(path or _state_folder() / f"push-{signature}.json", signature)
    if journal.totals.sent:
        errors.print(f"Going on after {journal.totals.sent:,} features that were pushed before.")
    before, started_s = journal.totals.sent, time.monotonic()
    refusal: ProblemError | None = None
    with _progress(errors) as progress, Client(job.url, key, on_wait=_teller(progress.console)) as client:
        bar = progress.add_task(job.layer, total=total, completed=before)
        try:
            deliver(client, job, journal, on_batch=lambda totals: progress.update(bar, completed=totals.sent))
        except ProblemError as problem:
            refusal = problem
    if refusal is not None:
        errors.print(f"{refusal.code}: {refusal.detail}", style="red", markup=False)
        for rejection in refusal.rejected[:10]:
            where = f"{rejection.pointer} {rejection.id or ''}"
            errors.print(f"  {where} {rejection.code}: {rejection.detail}", markup=False)
    _summarise(journal.totals, before, time.monotonic() - started_s, Console())
    if refusal is None:
        return 0
    return 1 if refusal.rejected or refusal.status in {413, 422} else 2


def _teller(console: Console) -> Callable[[str, float], None]:
    """Says that a push waits: once for each reason, or a service that is away would fill the screen."""
    told: set[str] = set()

    def tell(why: str, _seconds: float) -> None:
        if why not in told:
            told.add(why)
            console.print(f"{why}; trying again …", markup=False, highlight=False)

    return tell


def _summarise(totals: Totals, before: int, seconds: float, out: Console) -> None:
    sent = totals.sent - before
    rate = f", {sent / seconds:,.0f} a second" if seconds > 0 else ""
    rows: dict[str, Any] = {
        "sent": totals.sent,
        "accepted": totals.accepted,
        "of them new": totals.created,
        "unchanged": totals.unchanged,
        "late": totals.late,
        "rejected": sum(totals.rejected.values()),
    } | {f"  {code}": count for code, count in sorted(totals.rejected.items())}
    for name, count in rows.items():
        out.print(f"{name:<24}{count:>12,}", highlight=False, markup=False)
    out.print(f"{seconds:.1f} s{rate}", highlight=False)
    if totals.late:
        out.print("late: older than what the layer knows, or past its expiry already; logged, not on the map")


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _renaming(pairs: list[str]) -> dict[str, str]:
    renaming = {}
    for pair in pairs:
        column, equals, name = pair.partition("=")
        if not (column and equals and name):
            raise typer.BadParameter(f"--property {pair}: expected COLUMN=PROPERTY.")
        renaming[column] = name
    return renaming


def zone_named(name: str | None) -> ZoneInfo | None:
    """The time zone that an option names; `BadParameter` for one that there is none of."""
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise typer.BadParameter(f"--time-zone {name}: there is no such zone.") from error


def _state_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "cop"
