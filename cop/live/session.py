"""One viewer's socket, as rules: what it follows, what it was told, what it is owed, what waits to be sent.

The hub ticks it and judges it by the policy; the shell in `cop/api/live.py` carries its messages. No I/O here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cop.live import wire
from cop.live.inbox import Debt, News, Rows
from cop.live.interest import EVERYTHING, Sight, sight_of
from cop.live.picture import LayerPicture
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
AHEAD_MS = 10_000
"""How long a cursor may be ahead of this process before it is taken for an error and answered by a reset."""
RESUME_MAX = 1_000
"""A resume that says more than this many features is a reset if that is shorter."""
FRAME_CHARACTERS = 1_000_000
"""What one frame may carry, give or take one feature; the rest follows in the next."""
MAX_NOTICES = 1_000
"""Messages besides frames that wait, nearly all of them `revoked`; a viewer who reads so little is cut off.

A subscription asks for at most 256 of them, so whoever comes back does not meet the bound again.
"""
NAME_CHARACTERS = 80
"""A layer's name has 65 at the most; nobody holds anything of a longer one."""
MAX_ERRORS = 8
"""Errors that wait for a viewer who does not read; further ones take the place of the oldest."""

CREDENTIAL_ENDED = (4401, "the credential has ended: enter again")
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


@dataclass(slots=True)
class Follow:
    """One viewer following one layer: up to where it was told, and what it is owed beyond that."""

    layer: LayerId
    name: LayerName
    since: Head | None = None
    """The cursor it came with, until it has been answered."""
    asked_ms: int = 0
    told: int = 0
    """The revision that the viewer holds, as it knows."""
    picture: LayerPicture | None = None
    """What `told` and `debt` are about; None: the viewer is to start."""
    reset: bool = False
    confirm: bool = False
    """Owed a frame even if nothing changed: the answer to a cursor."""
    debt: Debt = field(default_factory=Debt)
    name_text: str = field(init=False)

    def __post_init__(self) -> None:
        self.name_text = wire.text_of(self.name)

    def start(self, picture: LayerPicture, sight: Sight, now: int) -> None:
        """Begin: from the cursor where that can be done without a gap, or else from nothing."""
        since = self.since
        if since is not None and since.epoch == picture.epoch:
            if since.revision > picture.revision and now - self.asked_ms < AHEAD_MS:
                return  # It comes from a process that was faster: let this one catch up.
            if self._resume(picture, sight, since.revision):
                return
        self._begin(picture, told=0)
        self.reset = True
        if not picture.tiled:
            self.debt.owe_everything(picture, sight)

    def _begin(self, picture: LayerPicture, *, told: int) -> None:
        self.picture, self.told, self.since = picture, told, None
        self.reset, self.confirm, self.debt = False, False, Debt()

    def _resume(self, picture: LayerPicture, sight: Sight, revision: int) -> bool:
        missed = picture.missed(revision)
        if missed is None or (picture.tiled and revision != picture.revision):
            return False
        changed, gone = missed
        count = len(changed) + len(gone)
        if count > RESUME_MAX and count > sum(sight.sees(held.span) for held in picture.features.values()):
            return False
        self._begin(picture, told=revision)
        self.confirm = True
        self.debt.owe_since(changed, gone)
        return True

    def absorb(self, news: News | None, sight: Sight) -> None:
        """Take on a tick's news as a debt."""
        if news is not None and self.picture is not None:
            self.debt.owe(news.steps, sight)

    def part(self, news: News | None, sight: Sight, room: int) -> str | None:
        """This layer's part of the frame to be sent now, of about *room* characters; None: nothing to say."""
        picture = self.picture
        if picture is None:
            return None
        if picture.tiled:
            return self._tiled_part(picture)
        if not self.debt and not self.reset:
            text = news.text(sight) if news else ""
            if len(text) <= room:
                return self._told(picture, text) if text or self.confirm else None
        self.absorb(news, sight)
        rows = Rows()
        self.debt.pay(picture, sight, rows, characters=room)
        text = rows.text()
        return self._told(picture, text) if text or self.reset or self.confirm else None

    def cursor(self) -> str | None:
        """A part that only moves the viewer's cursor on; None when it is where it should be."""
        if self.picture is None or self.debt or self.told == self.picture.revision:
            return None
        return self._told(self.picture, "")

    def _told(self, picture: LayerPicture, text: str) -> str:
        # While something is still owed the cursor stays: who is cut off now comes back for the rest.
        to = self.told if self.debt else picture.revision
        part = wire.layer_part(self.name_text, picture.epoch_text, self.told, to, text, reset=self.reset)
        self.told, self.reset, self.confirm = to, False, False
        return part

    def _tiled_part(self, picture: LayerPicture) -> str | None:
        if not self.reset and self.told == picture.revision:
            return None
        self.told, self.reset, self.confirm = picture.revision, False, False
        return wire.layer_part(self.name_text, picture.epoch_text, self.told, self.told, "", reset=True)


class Session:
    """One viewer's socket, as rules: what it asked for, what it was told, what waits to be sent.

    What waits is bounded: one frame, the newest hello, one `revoked` a layer (`MAX_NOTICES` at the most), the
    last few errors, and the debts of its layers. The shell waits for `wake`, sends what `next_message` gives
    and calls `sent` after each; `interrupt` must make a send that is under way fail.
    """

    def __init__(self, hub: Hub, entry: Pass) -> None:
        self.hub = hub
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
        self._turned_to: Sight | None = None
        self._view_asked: int | None = None
        self._view_owed: int | None = None
        """The number of the view that holds once nothing is owed any more."""
        self._greeting = ""
        self._notices: dict[str, str] = {}
        self._errors = 0
        self._frame: str | None = None
        self._frame_layers: set[LayerId] = set()
        self._frame_number: int | None = None
        """The number of the view that the frame which waits or is under way settles."""
        self._sending_since: int | None = None
        self._sending_frame = False
        self._frame_at = 0

    def receive(self, text: str) -> None:
        """Take a message of the client. What it asks for is done in the next tick."""
        try:
            match wire.read_message(text):
                case wire.Subscribe() as wanted:
                    self._subscribe(wanted)
                case wire.Look(view, number):
                    self._look(sight_of(view), number)
                case wire.Unsubscribe():
                    self._wanted = self._asked = None
                    self._follows = {}
                case wire.Ping(sent):
                    self._notify("pong", wire.pong(sent, self.hub.clock()))
        except Invalid as fault:
            self._complain(fault)

    def next_message(self) -> str | None:
        """What to send now; None: wait for `wake`. Follow up with `sent` once the socket has taken it."""
        if self.closing is not None:
            return None
        if self._notices:
            text = self._notices.pop(next(iter(self._notices)))
        elif self._frame is not None:
            text, self._frame, self._sending_frame = self._frame, None, True
        else:
            return None
        self._sending_since = self.hub.clock()
        return text

    def sent(self) -> None:
        """The socket has taken the last message, or its sending was interrupted."""
        self._sending_since = None
        if self._sending_frame:
            self._sending_frame, self._frame_layers, self._frame_number = False, set(), None

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
            self._notify(f"revoked {name}", wire.revoked(name))
        for layer, name in allowed.items():
            self._follows.setdefault(layer, Follow(layer, name))
        self._followed_once |= allowed
        if not self._frame_layers <= seen:
            self._recall()
        if greeting != self._greeting:
            self._greeting = greeting
            self._notify("hello", wire.hello(greeting, self.hub.clock(), self.hub.tick_ms))

    def _recall(self) -> None:
        """Take back a frame that waits, or is under way to a viewer who does not read.

        What it said of layers that the viewer still follows is lost with it, so they start anew; so is the number
        of the view that it settled, which is owed again unless a newer one is.
        """
        for layer in self._frame_layers & self._follows.keys():
            self._follows[layer] = Follow(layer, self._follows[layer].name)
        if self._view_owed is None:
            self._view_owed = self._frame_number
        self._frame, self._frame_layers, self._frame_number = None, set(), None
        if self._sending_frame:
            self.interrupt()

    def tick(self, news: Mapping[LayerId, News], now: int, *, hurried: bool = False) -> None:
        """Take on *news* and what was asked since the last tick; make a frame if the last one is out.

        *hurried* puts off what costs more than the news: whole layers, and what is owed from before.
        """
        if self.expires_ms is not None and self.expires_ms <= now:
            self.close(*CREDENTIAL_ENDED)
        if self._sending_since is not None and now - self._sending_since > SEND_DEADLINE_MS:
            self.close(*TOO_SLOW)
        self._judge_claims()
        if self.closing is not None:
            return
        ready = self._frame is None and self._sending_since is None and not (hurried and self._is_behind())
        if not ready or self._turned_to is not None or self._asked is not None:
            for layer, follow in self._follows.items():
                follow.absorb(news.get(layer), self._sight)
            news = {}
            self._turn()
            self._refollow(now)
        started = set() if hurried else self._start(now)
        if started:
            news = {layer: each for layer, each in news.items() if layer not in started}
        if ready:
            self._compose(news, now)

    def _is_behind(self) -> bool:
        return any(
            follow.debt or follow.picture is not self.hub.picture.get(layer)
            for layer, follow in self._follows.items()
        )

    def _compose(self, news: Mapping[LayerId, News], now: int) -> None:
        room, parts = FRAME_CHARACTERS, {}
        for layer, follow in self._follows.items():
            part = follow.part(news.get(layer), self._sight, room)
            if part is not None:
                parts[layer] = part
                room = max(room - len(part), 0)
        number = self._view_settled()
        if number is None and not parts and now - self._frame_at >= SILENCE_MS and self._greeting:
            cursors = {layer: follow.cursor() for layer, follow in self._follows.items()}
            parts = {layer: part for layer, part in cursors.items() if part is not None}
        elif number is None and not parts:
            return
        self._frame = wire.frame(now, parts.values(), number=number)
        self._frame_layers, self._frame_number, self._frame_at = set(parts), number, now
        self.wake()

    def _view_settled(self) -> int | None:
        """The number of a new view, once the viewer is to hold all of it."""
        number = self._view_owed
        if number is None or any(follow.debt or follow.picture is None for follow in self._follows.values()):
            return None
        self._view_owed = None
        return number

    def _start(self, now: int) -> set[LayerId]:
        """Begin with the layers that are new to the viewer or were read anew; their news is in that."""
        started = set()
        for layer, follow in self._follows.items():
            picture = self.hub.picture.get(layer)
            if picture is not None and follow.picture is not picture:
                follow.start(picture, self._sight, now)
                started.add(layer)
        return started

    def _turn(self) -> None:
        turned_to, self._turned_to = self._turned_to, None
        if turned_to is None:
            return
        self._view_owed = self._view_asked
        if turned_to == self._sight:
            return
        for follow in self._follows.values():
            if follow.picture is not None:
                follow.debt.turn(follow.picture, self._sight, turned_to)
            elif follow.since is not None:
                follow.since = None  # The cursor was for the view before.
        self._sight = turned_to

    def _subscribe(self, wanted: wire.Subscribe) -> None:
        directory = self.hub.directory
        if directory is not None:
            self._name_unknown(directory, wanted)
        self._asked = wanted
        self._claimed |= {name for name in wanted.since if len(name) <= NAME_CHARACTERS}
        self._turned_to, self._view_asked = sight_of(wanted.view), wanted.number

    def _look(self, sight: Sight, number: int | None) -> None:
        if self._asked is not None and sight != self._turned_to:
            self._asked = replace(self._asked, since={})  # Its cursors were for the view it came with.
        self._turned_to, self._view_asked = sight, number

    def _judge_claims(self) -> None:
        """A client holds what it could see when it last was here; what it may not see now is taken back."""
        if not self._claimed or self.hub.directory is None:
            return
        claimed, self._claimed = self._claimed, set()
        seen = {layer.name: layer.id for layer in self.hub.visible_to(self.viewer)}
        for name in claimed - seen.keys():
            self._notify(f"revoked {name}", wire.revoked(name))
        self._followed_once |= {seen[name]: name for name in claimed & seen.keys()}

    def _refollow(self, now: int) -> None:
        wanted, directory = self._asked, self.hub.directory
        if wanted is None or directory is None:
            return
        self._wanted, self._asked = wanted, None
        before, self._follows = self._follows, {}
        allowed = self._followed(directory, wanted)
        self._followed_once |= allowed
        for layer, name in allowed.items():
            since, old = wanted.since.get(name), before.get(layer)
            if old is not None and since is not None and _goes_on(old, since):
                self._follows[layer] = old
            else:
                self._follows[layer] = Follow(layer, name, since, now)

    def _followed(self, directory: Directory, wanted: wire.Subscribe) -> dict[LayerId, LayerName]:
        layers = self.hub.visible_to(self.viewer)
        if wanted.operation is not None:
            drawn = _drawn(directory, wanted.operation)
            layers = [layer for layer in layers if layer.id in drawn]
        return {
            layer.id: layer.name for layer in layers if wanted.layers is None or layer.name in wanted.layers
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
