"""One viewer following one layer: up to where it was told, what it is owed beyond that, and in which form.

A layer is told feature by feature, or, when that would be too many, as sums by cell; a tiled layer only says
that its tiles are to be fetched again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cop.live import wire
from cop.live.inbox import Debt, News, Rows
from cop.live.interest import Cell, Sight
from cop.live.picture import Chunk, LayerPicture
from cop.live.summary import GOOD_MS, no_more, resolution_of
from layers.log import Head
from layers.model import LayerId, LayerName

AHEAD_MS = 10_000
"""How long a cursor may be ahead of this process before it is taken for an error and answered by a reset."""
RESUME_MAX = 1_000
"""A resume that says more than this many features is a reset if that is shorter."""
KEEP_WHOLE_MS = 2_000
"""Who has not taken in the whole layer by then is owed the rest one by one, so that its rows are not kept for it."""
SPLIT_AT = 0.8
"""A layer that is told as sums is told by features again below this part of the limit, so that it does not flicker."""


@dataclass(slots=True)
class Follow:
    """One viewer following one layer."""

    layer: LayerId
    name: LayerName
    since: Head | None = None
    """The cursor it came with, until it has been answered."""
    asked_ms: int = 0
    limit: int = wire.DEFAULT_LIMIT
    packing: bool = False
    """Whether the viewer takes moves as records."""
    told: int = 0
    """The revision that the viewer holds, as it knows."""
    picture: LayerPicture | None = None
    """What `told` and `debt` are about; None: the viewer is to start."""
    reset: bool = False
    confirm: bool = False
    """Owed a frame even if nothing changed: the answer to a cursor."""
    debt: Debt = field(default_factory=Debt)
    owes_all: bool = False
    """The viewer holds nothing of the layer, and is owed all; `debt` then has nothing in it."""
    whole: deque[Chunk] = field(default_factory=deque)
    """What is still to be told of all that there was at `whole_ms`; `debt` is about those who hold it already."""
    whole_ms: int = 0
    sums: dict[Cell, str] | None = None
    """The rows of the cells that the viewer holds; None: it holds features."""
    weighed_ms: int = 0
    """When it was last decided whether features or sums are told."""
    name_text: str = field(init=False)

    def __post_init__(self) -> None:
        self.name_text = wire.text_of(self.name)

    @property
    def settled(self) -> bool:
        """Whether the viewer has been told everything of what it sees."""
        return self.picture is not None and not self.behind and not (self.sums is not None and self.reset)

    @property
    def behind(self) -> bool:
        """Whether features are owed from before."""
        return self.owes_all or bool(self.whole) or bool(self.debt.held)

    def start(self, picture: LayerPicture, sight: Sight, now: int) -> None:
        """Begin: from the cursor where that can be done without a gap, or else from nothing."""
        since = self.since
        # Revision 0 of a layer that has had changes: the viewer holds none of it, a part, or sums.
        if since is not None and since.epoch == picture.epoch and (since.revision or not picture.revision):
            if since.revision > picture.revision and now - self.asked_ms < AHEAD_MS:
                return  # It comes from a process that was faster: let this one catch up.
            if self._resume(picture, sight, since.revision):
                return
        self._begin(picture, told=0)
        self._begin_anew(picture, sight, now)

    def _begin(self, picture: LayerPicture, *, told: int) -> None:
        self.picture, self.told, self.since = picture, told, None
        self.reset, self.confirm, self.sums = False, False, None
        self._forgive()

    def _forgive(self) -> None:
        """Owe nothing."""
        self.debt, self.owes_all = Debt(), False
        self.whole.clear()

    def _begin_anew(self, picture: LayerPicture, sight: Sight, now: int) -> None:
        """The viewer is to drop what it has of the layer, and is owed all of it, in the form that fits."""
        self.reset, self.confirm, self.told, self.weighed_ms = True, False, 0, now
        self.sums = None
        self._forgive()
        if picture.tiled:
            return
        if self._too_many(picture, sight):
            self.sums = {}
        else:
            self.owes_all = True

    def _too_many(self, picture: LayerPicture, sight: Sight, *, part: float = 1.0) -> bool:
        most = self.limit * part
        return picture.summable and len(picture.features) > most and picture.count_in(sight) > most

    def _resume(self, picture: LayerPicture, sight: Sight, revision: int) -> bool:
        missed = picture.missed(revision)
        if missed is None or (picture.tiled and revision != picture.revision):
            return False
        changed, gone = missed
        count = len(changed) + len(gone)
        if (count > RESUME_MAX and count > picture.count_in(sight)) or self._too_many(picture, sight):
            return False
        self._begin(picture, told=revision)
        self.confirm = True
        self.debt.owe_since(changed, gone)
        return True

    def turn(self, before: Sight, after: Sight, now: int) -> None:
        """The viewer saw *before* and now sees *after*."""
        picture = self.picture
        if picture is None:
            self.since = None  # The cursor was for the view before.
        elif self.sums is not None:
            if before.resolution != after.resolution or before.statuses != after.statuses:
                self._begin_anew(picture, after, now)
            else:
                self.weighed_ms = 0
        elif self._too_many(picture, after):
            self._begin_anew(picture, after, now)
        elif not self.owes_all:
            self._owe_one_by_one()
            self.debt.turn(picture, before, after)

    def _weigh(self, picture: LayerPicture, sight: Sight, now: int) -> bool:
        """See whether the layer has grown beyond what is told by features, or shrunk below."""
        self.weighed_ms = now
        summed = self.sums is not None
        if self._too_many(picture, sight, part=SPLIT_AT if summed else 1.0) == summed:
            return False
        self._begin_anew(picture, sight, now)
        return True

    def _owe_one_by_one(self) -> None:
        """Let go of what is still to be told in whole: of those features the viewer holds nothing."""
        for chunk in self.whole:
            self.debt.owe_whole(chunk.ids)
        self.whole.clear()

    def absorb(self, news: News | None, sight: Sight, now: int) -> None:
        """Take on a tick's news as a debt."""
        if self.whole and now - self.whole_ms > KEEP_WHOLE_MS:
            self._owe_one_by_one()
        if news is not None and self.picture is not None and self.sums is None and not self.owes_all:
            self.debt.owe(news.steps, sight, passing=not self.picture.summable)

    def part(self, news: News | None, sight: Sight, now: int, room: int) -> wire.Part | None:
        """This layer's part of the frame to be sent now, of about *room* bytes; None: nothing to say."""
        picture = self.picture
        if picture is None:
            return None
        if picture.tiled:
            return self._tiled_part(picture)
        if picture.summable and now - self.weighed_ms >= GOOD_MS and self._weigh(picture, sight, now):
            news = None  # It is in what the viewer is told now.
        if self.sums is not None:
            return self._sums_part(picture, self.sums, sight, now)
        if self.owes_all:
            self.owes_all, self.whole, self.whole_ms = False, deque(picture.whole(sight)), now
            return self._told(picture, self._next_of_whole(room))
        if self.whole:
            self.absorb(news, sight, now)
            if self.whole:
                return self._told(picture, self._next_of_whole(room))
            news = None
        return self._news_or_debt(picture, news, sight, now, room)

    def _news_or_debt(
        self, picture: LayerPicture, news: News | None, sight: Sight, now: int, room: int
    ) -> wire.Part | None:
        if not self.debt.held and not self.reset:
            if news is None:
                return self._told(picture, wire.Body()) if self.confirm else None
            body = news.body(sight, packing=self.packing)
            if body.size <= room:
                return self._told(picture, body) if body.size or self.confirm else None
        self.absorb(news, sight, now)
        rows = Rows(picture, now)
        self.debt.pay(picture, sight, rows, room=room)
        # References are unambiguous among the features of the picture: only who holds just those can follow them.
        body = rows.body(packing=self.packing and not self.debt.held)
        return self._told(picture, body) if body.size or self.reset or self.confirm else None

    def _next_of_whole(self, room: int) -> wire.Body:
        puts, size = [], 0
        while self.whole and size < room:
            chunk = self.whole.popleft()
            puts.append(chunk.rows)
            size += len(chunk.rows)
        return wire.body(puts)

    def cursor(self) -> wire.Part | None:
        """A part that only moves the viewer's cursor on; None when it is where it should be."""
        if self.picture is None or not self.settled or self.sums is not None:
            return None
        return self._told(self.picture, wire.Body()) if self.told != self.picture.revision else None

    def _told(self, picture: LayerPicture, body: wire.Body) -> wire.Part:
        # While something is still owed the cursor stays: who is cut off now comes back for the rest.
        to = self.told if self.behind else picture.revision
        part = wire.layer_part(self.name_text, picture.epoch_text, self.told, to, body, reset=self.reset)
        self.told, self.reset, self.confirm = to, False, False
        return part

    def _tiled_part(self, picture: LayerPicture) -> wire.Part | None:
        if not self.reset and self.told == picture.revision:
            return None
        told = self.told = picture.revision
        self.reset, self.confirm = False, False
        return wire.layer_part(self.name_text, picture.epoch_text, told, told, wire.Body(), reset=True)

    def _sums_part(
        self, picture: LayerPicture, sums: dict[Cell, str], sight: Sight, now: int
    ) -> wire.Part | None:
        rows = picture.summary(resolution_of(sight), sight.statuses, now).rows_for(sight)
        if rows == sums and not self.reset:
            return None
        changed = [row.encode() for cell, row in rows.items() if sums.get(cell) != row]
        changed += [no_more(cell).encode() for cell in sums.keys() - rows.keys()]
        self.sums, reset, self.reset = rows, self.reset, False
        body = wire.body(cells=[wire.led(changed)] if changed else ())
        return wire.layer_part(self.name_text, picture.epoch_text, 0, 0, body, reset=reset)
