"""The sessions of one process and what each is to be sent: the policy judged, the tick handed out.

It has no task and does no I/O. The pump calls `judge` and `ticking`, and does not do both at once; the sockets call
`join`, `leave` and the methods of their `Session` at any time; all on one event loop, so nothing here needs a lock.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator

from cop.live import wire
from cop.live.inbox import News
from cop.live.picture import Picture
from cop.live.session import CREDENTIAL_ENDED, OUR_FAULT, Pass, Session
from cop.settings import TICK_MS
from layers.directory import Directory
from layers.errors import Unavailable
from layers.model import AgencyId, JsonObject, Layer, LayerId, Viewer

log = logging.getLogger("cop.live")

MAX_SESSIONS = 4_000
"""Sockets of one process; the next one is told to come back (503). The public gets half of them at the most."""

TURN_MS = 10
"""For so long frames are made at a time; then whatever else waits in this process has its turn."""


def now_ms() -> int:
    """Milliseconds since 1970, by this machine's clock."""
    return time.time_ns() // 1_000_000


class Hub:
    """All sessions of one process. `clock` gives milliseconds since 1970."""

    def __init__(self, *, tick_ms: int = TICK_MS, clock: Callable[[], int] = now_ms) -> None:
        self.tick_ms = tick_ms
        self.clock = clock
        self.picture: Picture = {}
        self.directory: Directory | None = None
        """The policy; None until it has been read for the first time."""
        self.newest_policy = 0
        """The newest revision of the policy that is known of, whether or not it is in force here already."""
        self.policy_asked_s = -math.inf
        """When (`time.monotonic`) that was last asked for."""
        self.sessions: set[Session] = set()
        self._public = 0
        """How many of them are the public's."""
        self._vouched = 0
        """No session's credential was last found valid under a policy older than this revision."""
        self._put_off: list[Session] = []
        """For whom there was little time in the last tick; they are first in the next."""
        self._visible: dict[Viewer, list[Layer]] = {}
        self._greetings: dict[Viewer, str] = {}
        self.silent: dict[LayerId, int] = {}
        """The layers whose feed is silent for longer than they allow, and since when (ms)."""
        self.missing_since: int | None = None
        """When the log could last be read, if it cannot be read now."""
        self.draining = False
        """Whether this process is about to stop; it then takes no new sessions."""

    @property
    def policy_revision(self) -> int | None:
        """The revision of the policy that sessions are judged by."""
        return None if self.directory is None else self.directory.policy_revision

    def join(self, entry: Pass, *, packing: bool = False) -> Session:
        """A session for whoever comes with *entry*; *packing*: it takes moves as records.

        Raises `Unavailable` when all places are taken, or this process is about to stop.
        """
        if self.draining:
            raise Unavailable("This process is about to stop; try again.", code="live.draining")
        public = entry.viewer.agency is None
        if len(self.sessions) >= MAX_SESSIONS or (public and self._public >= MAX_SESSIONS // 2):
            raise Unavailable("All live connections of this process are taken; try again.", code="live.full")
        if len(self._greetings) > MAX_SESSIONS:  # Most of those viewers have left.
            self._visible, self._greetings = {}, {}
        session = Session(self, entry, packing=packing)
        if session.credential is not None:
            self._vouched = min(self._vouched, session.vouched)
        self.sessions.add(session)
        self._public += public
        if self.directory is not None:
            session.judge(self.directory, self.greeting(session.viewer))
        return session

    def leave(self, session: Session) -> None:
        """Forget a session."""
        if session in self.sessions:
            self.sessions.remove(session)
            self._public -= session.viewer.agency is None

    def hear_of_policy(self, revision: int, asked_s: float) -> None:
        """The policy is at *revision*, as the database was asked at *asked_s* (`time.monotonic`).

        Whoever joins from now on has a credential that was found valid under no older one.
        """
        self.newest_policy = max(self.newest_policy, revision)
        self.policy_asked_s = max(self.policy_asked_s, asked_s)

    def credentials(self, *, vouched_before: int) -> set[bytes]:
        """The credentials of sessions that were last found valid under a policy older than this revision."""
        if vouched_before <= self._vouched:
            return set()
        older = {
            session.credential
            for session in self.sessions
            if session.credential is not None and session.vouched < vouched_before
        }
        if not older:
            self._vouched = vouched_before
        return older

    def vouch(self, policy_revision: int, asked: set[bytes], valid: set[bytes]) -> None:
        """Of the credentials *asked* about at this revision of the policy, only those are *valid*."""
        for session in self.sessions:
            if session.credential in valid:
                session.vouched = policy_revision
            elif session.credential in asked:
                session.close(*CREDENTIAL_ENDED)

    def judge(self, directory: Directory) -> None:
        """Put *directory* in force: every session is judged anew before anything more is sent."""
        self.directory = directory
        self._visible, self._greetings = {}, {}
        for session in list(self.sessions):
            try:
                session.judge(directory, self.greeting(session.viewer))
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are not to suffer
                self._give_up(session, error)

    def tick(self) -> None:
        """Hand out what changed since the last tick. One session's trouble never reaches another."""
        for _ in self.ticking():
            pass

    def ticking(self) -> Iterator[None]:
        """`tick` in turns of some `TURN_MS`, so that a thousand viewers do not hold up whoever reports meanwhile.

        Until it has ended nobody may touch the picture or the policy; sessions may come, ask and go.
        """
        if not self.sessions:
            for picture in self.picture.values():
                picture.forget()
            return
        now = self.clock()
        news = {
            layer: News(picture, steps, now)
            for layer, picture in self.picture.items()
            if (steps := picture.take())
        }
        first = [session for session in self._put_off if session in self.sessions]
        self._put_off = []
        turn_until = now + TURN_MS
        hurry_from = now + self.tick_ms // 2
        ready: list[Session] = []
        for session in [*first, *self.sessions.difference(first)]:
            time_ms = self.clock()
            if time_ms >= turn_until:
                self._send(ready)
                yield
                time_ms = self.clock()
                turn_until = time_ms + TURN_MS
            if session not in self.sessions:
                continue  # It has left meanwhile.
            # When a thousand come at once, those who keep up are not to wait until all the others are served.
            hurried = time_ms > hurry_from
            if hurried:
                self._put_off.append(session)
            try:
                session.tick(news, now, hurried=hurried)
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are not to suffer
                self._give_up(session, error)
            if session.has_more:
                ready.append(session)
        self._send(ready)
        for picture in self.picture.values():
            picture.end_tick()

    def _send(self, ready: list[Session]) -> None:
        """Let go what was made for these; making and sending are each faster while they are all that goes on."""
        for session in ready:
            try:
                session.wake()
            except Exception as error:  # noqa: BLE001 - whatever it is, the others are not to suffer
                self._give_up(session, error)
        ready.clear()

    def hear(self, silent: dict[LayerId, int]) -> None:
        """These feeds are silent, and since when; whoever follows one is told of every change of that."""
        changed = {
            layer: silent.get(layer)
            for layer in silent.keys() | self.silent.keys()
            if silent.get(layer) != self.silent.get(layer)
        }
        self.silent = silent
        for session in list(self.sessions) if changed else ():
            for layer in changed.keys() & session.follows:
                session.tell_silence(layer, changed[layer])

    def miss(self, since_ms: int | None) -> None:
        """The log cannot be read since then, or (None) can be read again and the picture is whole."""
        if (self.missing_since is None) != (since_ms is None):
            self.missing_since = since_ms
            for session in list(self.sessions):
                session.tell_missing(since_ms)

    def drain(self, window_ms: int) -> None:
        """This process is about to stop: every viewer is told to come back, and closed within *window_ms*."""
        self.draining = True
        now = self.clock()
        for session in list(self.sessions):
            # They come back spread over the window, wherever they go, and not one after all the others.
            retry_ms = random.randint(0, max(window_ms, 1_000))  # noqa: S311
            session.dismiss(retry_ms, now + random.randint(window_ms // 2, max(window_ms, 1)))  # noqa: S311

    def subscribers(self) -> dict[LayerId, Counter[AgencyId | None]]:
        """How many viewers follow each layer now, by their agency; None: the public."""
        count: defaultdict[LayerId, Counter[AgencyId | None]] = defaultdict(Counter)
        for session in self.sessions:
            for layer in session.follows:
                count[layer][session.viewer.agency] += 1
        return dict(count)

    def visible_to(self, viewer: Viewer) -> list[Layer]:
        """The layers that the policy in force shows to *viewer*."""
        if viewer not in self._visible:
            self._visible[viewer] = self.directory.visible(viewer) if self.directory else []
        return self._visible[viewer]

    def greeting(self, viewer: Viewer) -> str:
        """The body of *viewer*'s hello under the policy in force; "" before there is one."""
        if viewer not in self._greetings and self.directory is not None:
            self._greetings[viewer] = wire.text_of(hello_body(self.directory, viewer, self.picture))
        return self._greetings.get(viewer, "")

    def _give_up(self, session: Session, error: Exception) -> None:
        log.error("A live session failed; it is closed and may come back.", exc_info=error)
        session.close(*OUR_FAULT)


def hello_body(directory: Directory, viewer: Viewer, picture: Picture) -> JsonObject:
    """What *viewer* is told of agencies, layers and operations: its own and what it sees of the others'."""
    agencies, layers = directory.agencies, directory.visible(viewer)
    names = {layer.id: layer.name for layer in layers}
    known = {layer.agency for layer in layers} | {viewer.agency}
    own = agencies.get(viewer.agency) if viewer.agency is not None else None
    return {
        "viewer": {
            "agency": own and own.slug,
            "name": viewer.name,
            "scopes": sorted(viewer.scopes),
        },
        "agencies": [
            {"id": agency.slug, "name": agency.name, "color": agency.color}
            for agency in agencies.values()
            if agency.id in known
        ],
        "layers": [
            {
                "id": layer.name,
                "title": layer.title,
                "agency": agencies[layer.agency].slug,
                "kind": layer.kind,
                "status": layer.status,
                "stream": layer.stream,
                "stale_after_s": layer.rules.stale_after_s,
                "epoch": picture[layer.id].epoch_text if layer.id in picture else None,
            }
            for layer in layers
        ],
        "operations": [
            {
                "id": operation.slug,
                "title": operation.title,
                "status": operation.status,
                "layers": [names[layer] for layer in operation.layers],
            }
            for operation in directory.operations_for(viewer)
        ],
    }
