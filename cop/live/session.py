"""One viewer's socket, as rules: what it follows, what it was told, what it is owed, what waits to be sent.

The hub ticks it and judges it by the policy; the shell in `cop/api/live.py` carries its messages. No I/O here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cop.live import wire
from cop.live.follow import Follow
from cop.live.inbox import News
from cop.live.interest import EVERYTHING, sight_of
from layers.directory import Directory
from layers.errors import Invalid
from layers.log import Head
from layers.model import LayerId, LayerName, Viewer

if TYPE_CHECKING:
    from cop.live.hub import Hub

SILENCE_MS = 5_000
"""After so long without a frame an empty one shows that the link lives."""
SEND_DEADLINE_MS = 20_000
"""A frame that the network has not taken by then: the viewer is cut off, and comes back with its cursor."""
FRAME_BYTES = 1_000_000
"""What the rows of one frame may come to, give or take one feature; the rest follows in the next."""
MAX_NOTICES = 1_000
"""Messages besides frames that wait, nearly all of them `revoked`; a viewer who reads so little is cut off.

A subscription asks for at most 256 of them, so whoever comes back does not meet the bound again.
"""
NO_LAYERS: AbstractSet[LayerId] = frozenset()
NAME_CHARACTERS = 80
"""A layer's name has 65 at the most; nobody holds anything of a longer one."""
MAX_ERRORS = 8
"""Errors that wait for a viewer who does not read; further ones take the place of the oldest."""

CREDENTIAL_ENDED = (4401, "the credential has ended: enter again")
DRAINED = (1012, "this process is about to stop: come back with since")
TOO_SLOW = (1013, "too slow: come back with since")
OUR_FAULT = (1011, "internal error")


@dataclass(frozen=True, slots=True)
class Pass:
    """What a socket was opened with: a viewer, and the credential that vouches for it, if any."""

    viewer: Viewer
    credential: bytes | None = None
    """The SHA-256 of the secret; the secret itself is not kept."""
    expires_ms: int | None = None
    policy_revision: int = 0
    """The credential was found valid when the policy was at this revision."""


class Session:
    """One viewer's socket, as rules: what it asked for, what it was told, what waits to be sent.

    What waits is bounded: one frame, the newest hello, one `revoked` a layer (`MAX_NOTICES` at the most), the
    last few errors, and the debts of its layers. The shell waits for `wake`, sends what `take` gives, or what
    `next_message` gives and calls `sent` after each; `interrupt` must make a send that is under way fail.
    """

    def __init__(self, hub: Hub, entry: Pass, *, packing: bool = False) -> None:
        self.hub = hub
        self.packing = packing
        """Whether the viewer takes moves as records, in binary frames."""
        self.viewer = entry.viewer
        self.credential = entry.credential
        self.expires_ms = entry.expires_ms
        self.vouched = entry.policy_revision
        """The credential was valid when the policy was at this revision."""
        self.wake: Callable[[], None] = lambda: None
        self.interrupt: Callable[[], None] = lambda: None
        self.closing: tuple[int, str] | None = None
        """Close code and reason, once the socket is to be closed."""
        self._wanted: wire.Subscribe | None = None
        self._asked: wire.Subscribe | None = None
        """A subscription that takes the place of `_wanted` at the next tick."""
        self._follows: dict[LayerId, Follow] = {}
        self._followed_once: dict[LayerId, LayerName] = {}
        """What the client may still hold, even if it has turned to other layers since."""
        self._claimed: set[LayerName] = set()
        """What it came with cursors for since the last tick, even if its subscription was replaced since."""
        self._sight = EVERYTHING
        self._anchor: int | None = None
        """The number of the view that the sight was made out for."""
        self._looked: wire.Look | None = None
        """A view that takes the place of the one before at the next tick."""
        self._view_owed: int | None = None
        """The number of the view that holds once nothing is owed any more."""
        self._greeting = ""
        self._notices: dict[str, str] = {}
        self._errors = 0
        self._frame: wire.Frame | None = None
        self._frame_layers: AbstractSet[LayerId] = NO_LAYERS
        self._frame_number: int | None = None
        """The number of the view that the frame which waits or is under way settles."""
        self._sending_since: int | None = None
        self._sending_frame = False
        self._frame_at = 0
        self._whole_again = False
        """Owed the word that nothing is missing any more, after the frames that make it so."""
        self._leave_ms: int | None = None
        """When the socket is to be closed, if its viewer has not left by then."""

    def receive(self, text: str) -> None:
        """Take a message of the client. What it asks for is done in the next tick."""
        try:
            match wire.read_message(text):
                case wire.Subscribe() as wanted:
                    self._subscribe(wanted)
                case wire.Look() as looked:
                    self._looked = looked
                case wire.Unsubscribe():
                    self._wanted = self._asked = None
                    self._follows = {}
                case wire.Ping(sent):
                    self._notify("pong", wire.pong(sent, self.hub.clock()))
        except Invalid as fault:
            self._complain(fault)

    def take(self) -> wire.Message | None:
        """What to send now, by a transport that has room for it; None: wait for `wake`."""
        if self.closing is not None:
            return None
        if self._notices:
            return self._notices.pop(next(iter(self._notices)))
        message, self._frame = self._frame, None
        if message is not None:
            self._frame_layers, self._frame_number = NO_LAYERS, None
        return message

    def next_message(self) -> wire.Message | None:
        """`take`, by a transport that may have to wait for room: follow up with `sent` once it has taken it."""
        layers, number = self._frame_layers, self._frame_number
        message = self.take()
        if message is not None:
            self._sending_since = self.hub.clock()
        if isinstance(message, wire.Frame):
            self._sending_frame, self._frame_layers, self._frame_number = True, layers, number
        return message

    @property
    def has_more(self) -> bool:
        """Whether anything waits to be sent."""
        return bool(self._notices) or self._frame is not None

    def sent(self) -> None:
        """The socket has taken the last message, or its sending was interrupted."""
        self._sending_since = None
        if self._sending_frame:
            self._sending_frame, self._frame_layers, self._frame_number = False, NO_LAYERS, None

    def close(self, code: int, reason: str) -> None:
        """Ask the shell to close the socket; what waits is not sent any more."""
        if self.closing is None:
            self.closing = (code, reason)
            self.wake()
            self.interrupt()

    def judge(self, directory: Directory, greeting: str) -> None:
        """The policy is now *directory*'s: take back, at once, what this viewer may no longer see."""
        allowed = self._followed(directory, self._wanted) if self._wanted else {}
        seen = {layer.id for layer in self.hub.visible_to(self.viewer)}
        for layer in (self._follows.keys() - allowed.keys()) | (self._followed_once.keys() - seen):
            self._follows.pop(layer, None)
            name = self._followed_once.pop(layer)
            self._notices.pop(f"stale {name}", None)
            self._notify(f"revoked {name}", wire.revoked(name))
        if self._wanted is not None:
            for layer, name in allowed.items():
                if layer not in self._follows:
                    self._begin(self._wanted, layer, name)
        self._followed_once |= allowed
        if not self._frame_layers <= seen:
            self._recall()
        if greeting != self._greeting:
            self._greeting = greeting
            self._notify("hello", wire.hello(greeting, self.hub.clock(), self.hub.tick_ms))
            if self.hub.missing_since is not None:
                self.tell_missing(self.hub.missing_since)

    @property
    def follows(self) -> Collection[LayerId]:
        """The layers that the viewer follows now."""
        return self._follows.keys()

    def tell_silence(self, layer: LayerId, since_ms: int | None) -> None:
        """The layer's feed has been silent since then; None: it is heard again."""
        if layer in self._follows:
            name = self._follows[layer].name
            self._notify(f"stale {name}", wire.stale(name, since_ms))

    def tell_missing(self, since_ms: int | None) -> None:
        """What changed since then may be missing; None: the picture is whole, as the viewer is told once it has it."""
        self._whole_again = since_ms is None
        if since_ms is not None:
            self._notify("missing", wire.missing(since_ms))

    def dismiss(self, retry_ms: int, leave_ms: int) -> None:
        """Tell the viewer to come back after *retry_ms*; close the socket at *leave_ms* if it has not left."""
        self._notify("drain", wire.drain(retry_ms))
        self._leave_ms = leave_ms

    def _recall(self) -> None:
        """Take back a frame that waits, or is under way to a viewer who does not read.

        What it said of layers that the viewer still follows is lost with it, so they start anew; so is the number
        of the view that it settled, which is owed again unless a newer one is.
        """
        for layer in self._frame_layers & self._follows.keys():
            self._begin(self._wanted, layer, self._follows[layer].name)
        if self._view_owed is None:
            self._view_owed = self._frame_number
        self._frame, self._frame_layers, self._frame_number = None, NO_LAYERS, None
        if self._sending_frame:
            self.interrupt()

    def tick(self, news: Mapping[LayerId, News], now: int, *, hurried: bool = False) -> None:
        """Take on *news* and what was asked since the last tick; make a frame if the last one is out.

        *hurried* puts off what costs more than the news: whole layers, and what is owed from before.
        """
        self._end_in_time(now)
        if self._claimed:
            self._judge_claims()
        if self.closing is not None:
            return
        ready = self._frame is None and self._sending_since is None and not (hurried and self._is_behind())
        asked = (self._looked is not None or self._asked is not None) and not hurried
        if asked or not ready:
            for layer, follow in self._follows.items():
                follow.absorb(news.get(layer), self._sight, now)
            news = {}
        if asked and self.hub.directory is not None:
            self._take_orders(self.hub.directory, now)
        started = NO_LAYERS if hurried else self._start(now)
        if started:
            news = {layer: each for layer, each in news.items() if layer not in started}
        if ready:
            self._compose(news, now)
        if self._whole_again and self._frame is None and not self._is_behind():
            self._whole_again = False
            self._notify("missing", wire.missing(None))

    def _end_in_time(self, now: int) -> None:
        if self.expires_ms is not None and self.expires_ms <= now:
            self.close(*CREDENTIAL_ENDED)
        if self._sending_since is not None and now - self._sending_since > SEND_DEADLINE_MS:
            self.close(*TOO_SLOW)
        if self._leave_ms is not None and self._leave_ms <= now:
            self.close(*DRAINED)

    def _is_behind(self) -> bool:
        return any(
            follow.behind or follow.picture is not self.hub.picture.get(layer)
            for layer, follow in self._follows.items()
        )

    def _compose(self, news: Mapping[LayerId, News], now: int) -> None:
        room, parts = FRAME_BYTES, {}
        for layer, follow in self._follows.items():
            part = follow.part(news.get(layer), self._sight, now, room)
            if part is not None:
                parts[layer] = part
                _, body = part
                room = max(room - body.size, 0)
        number = self._view_settled()
        if number is None and not parts:
            if now - self._frame_at < SILENCE_MS or not self._greeting:
                return
            cursors = {layer: follow.cursor() for layer, follow in self._follows.items()}
            parts = {layer: part for layer, part in cursors.items() if part is not None}
        anchor = None if number is None or number == self._anchor else self._anchor
        self._frame = wire.frame(now, list(parts.values()), number=number, anchor=anchor)
        self._frame_layers, self._frame_number, self._frame_at = parts.keys(), number, now

    def _view_settled(self) -> int | None:
        """The number of a new view, once the viewer is to hold all of it."""
        number = self._view_owed
        if number is None or not all(follow.settled for follow in self._follows.values()):
            return None
        self._view_owed = None
        return number

    def _start(self, now: int) -> AbstractSet[LayerId]:
        """Begin with the layers that are new to the viewer or were read anew; their news is in that."""
        started = NO_LAYERS
        for layer, follow in self._follows.items():
            picture = self.hub.picture.get(layer)
            if picture is not None and follow.picture is not picture:
                follow.start(picture, self._sight, now)
                started = started | {layer}
        return started

    def _take_orders(self, directory: Directory, now: int) -> None:
        """Do what was asked since the last tick: follow other layers, look elsewhere."""
        wanted, looked = self._asked, self._looked
        self._asked = self._looked = None
        if wanted is not None:
            self._refollow(directory, wanted, now)
            looked = looked or wire.Look(wanted.view, wanted.number)
        if looked is not None:
            self._look(looked, now)

    def _look(self, looked: wire.Look, now: int) -> None:
        before, self._sight = self._sight, self._sight.turned_to(looked.view)
        if self._sight is not before:
            self._anchor = looked.number
            for follow in self._follows.values():
                follow.turn(before, self._sight, now)
        self._view_owed = looked.number

    def _refollow(self, directory: Directory, wanted: wire.Subscribe, now: int) -> None:
        """Follow what *wanted* names, in the sight that its cursors were told in."""
        self._name_unknown(directory, wanted)
        before, self._sight = self._sight, sight_of(wanted.held, wanted.where.statuses)
        self._anchor = wanted.number if wanted.held == wanted.view else None
        self._wanted, follows = wanted, self._follows
        self._follows = {}
        allowed = self._followed(directory, wanted)
        self._followed_once |= allowed
        for layer, name in allowed.items():
            since, old = wanted.since.get(name), follows.get(layer)
            if old is not None and since is not None and _goes_on(old, since):
                self._follows[layer] = old
                old.limit = wanted.limit
                if self._sight != before:
                    old.turn(before, self._sight, now)
            else:
                self._begin(wanted, layer, name, since, now)
        self._start(now)

    def _begin(
        self,
        wanted: wire.Subscribe | None,
        layer: LayerId,
        name: LayerName,
        since: Head | None = None,
        now: int = 0,
    ) -> None:
        limit = wire.DEFAULT_LIMIT if wanted is None else wanted.limit
        self._follows[layer] = Follow(layer, name, since, now, limit, self.packing)
        if layer in self.hub.silent:
            self.tell_silence(layer, self.hub.silent[layer])

    def _subscribe(self, wanted: wire.Subscribe) -> None:
        self._asked, self._looked = wanted, None
        self._claimed |= {name for name in wanted.since if len(name) <= NAME_CHARACTERS}

    def _judge_claims(self) -> None:
        """A client holds what it could see when it last was here; what it may not see now is taken back."""
        if self.hub.directory is None:
            return
        claimed, self._claimed = self._claimed, set()
        seen = {layer.name: layer.id for layer in self.hub.visible_to(self.viewer)}
        for name in claimed - seen.keys():
            self._notify(f"revoked {name}", wire.revoked(name))
        self._followed_once |= {seen[name]: name for name in claimed & seen.keys()}

    def _followed(self, directory: Directory, wanted: wire.Subscribe) -> dict[LayerId, LayerName]:
        layers = self.hub.visible_to(self.viewer)
        if wanted.operation is not None:
            drawn = _drawn(directory, wanted.operation)
            layers = [layer for layer in layers if layer.id in drawn]
        kinds, agencies = wanted.where.kinds, wanted.where.agencies
        return {
            layer.id: layer.name
            for layer in layers
            if (wanted.layers is None or layer.name in wanted.layers)
            and (kinds is None or layer.kind in kinds)
            and (agencies is None or directory.agencies[layer.agency].slug in agencies)
        }

    def _name_unknown(self, directory: Directory, wanted: wire.Subscribe) -> None:
        """Tell the client what it asked for in vain; the hidden and the missing sound the same."""
        operations = {operation.slug for operation in directory.operations_for(self.viewer)}
        if wanted.operation is not None and wanted.operation not in operations:
            detail = f"There is no operation “{wanted.operation:.80}” that you can see."
            self._complain(Invalid(detail, code="live.operation"))
        layers = {layer.name for layer in self.hub.visible_to(self.viewer)}
        for name in sorted((wanted.layers or frozenset()) - layers)[:MAX_ERRORS]:
            self._complain(Invalid(f"There is no layer “{name:.80}” that you can see.", code="live.layer"))

    def _complain(self, fault: Invalid) -> None:
        self._errors += 1
        self._notify(f"error {self._errors % MAX_ERRORS}", wire.error(fault))

    def _notify(self, key: str, text: str) -> None:
        self._notices.pop(key, None)
        if len(self._notices) >= MAX_NOTICES:
            self.close(*TOO_SLOW)
            return
        self._notices[key] = text
        self.wake()


def _goes_on(old: Follow, since: Head) -> bool:
    """Whether a cursor sent on an open socket is one that this socket has told, or is about to be overtaken.

    Frames may have been under way when the client sent it; we know better than it what it holds by then.
    """
    picture = old.picture
    return (
        picture is not None and not old.reset and since.epoch == picture.epoch and since.revision <= old.told
    )


def _drawn(directory: Directory, operation: str) -> frozenset[LayerId]:
    """The layers that the operation of that name draws; none if there is no such operation."""
    return frozenset(
        layer for each in directory.operations.values() if each.slug == operation for layer in each.layers
    )
