"""Units that drive on smooth circles: where each is at any moment, and the bodies in which they report. Pure.

Every place is a function of the seed and the time, so two runs drive the same ways, and nothing is remembered.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from layers.model import BBox

MAX_BATCH = 500
"""Features in one request."""
REQUESTS_A_SECOND = 10
"""At least, however few the units: agencies do not all report in the same moment."""
M_PER_DEGREE = 111_195.0
Floats = npt.NDArray[np.float64]

_UNIT = (
    b'{"type":"Feature","id":"%b","geometry":{"type":"Point","coordinates":[%.6f,%.6f]},'
    b'"properties":{"callsign":"%b","unit_type":"engine","status":"en_route","heading_deg":%.1f,'
    b'"speed_mps":%.1f,"observed_at":"%b","expires_at":"%b"}}'
)


def unit_id(number: int) -> str:
    """The id of a unit: the same in every run, so that a second run moves the units of the first."""
    return f"load-{number:05d}"


def batch_count(units: int, every_s: float) -> int:
    """In how many requests the fleet reports once: of at most 500 units, and some ten a second if there are as many."""
    return max(-(-units // MAX_BATCH), min(units, int(every_s * REQUESTS_A_SECOND)), 1)


class Fleet:
    """*units* units within *bbox*; batch n of *batches* is every unit whose number leaves the remainder n.

    Each report holds for *lifetime_s*, so that some time after the last one nothing is left to be tidied up.
    """

    def __init__(
        self, units: int, bbox: BBox, *, batches: int, lifetime_s: float = 600.0, seed: int = 1
    ) -> None:
        self.units = units
        self.batches = batches
        random_ = np.random.default_rng(seed)
        west, south, east, north = bbox
        self._narrow = np.cos(np.radians((south + north) / 2))
        widest_m = min((east - west) * self._narrow, north - south) * M_PER_DEGREE / 2
        radius_m = np.minimum(random_.uniform(300.0, 3_000.0, units), widest_m)
        self._radius = radius_m / M_PER_DEGREE
        self._speed = random_.uniform(3.0, 20.0, units)
        self._turn = self._speed / radius_m * random_.choice((-1.0, 1.0), units)
        self._phase = random_.uniform(0.0, 2 * np.pi, units)
        inset = self._radius / self._narrow
        self._lng = random_.uniform(west + inset, np.maximum(east - inset, west + inset))
        self._lat = random_.uniform(
            south + self._radius, np.maximum(north - self._radius, south + self._radius)
        )
        self._ids = [unit_id(number).encode() for number in range(units)]
        self._lifetime_ms = lifetime_s * 1000

    def places(self, at_s: float, part: slice = slice(None)) -> tuple[Floats, Floats, Floats]:
        """Longitudes, latitudes and headings (degrees) of the units of *part* at the time *at_s*."""
        angle = self._phase[part] + self._turn[part] * at_s
        lng = self._lng[part] + self._radius[part] * np.cos(angle) / self._narrow
        lat = self._lat[part] + self._radius[part] * np.sin(angle)
        # The way ahead is the derivative: (-sin, cos) of the angle, or the opposite for those who turn right.
        ahead = np.sign(self._turn[part])
        heading = np.degrees(np.arctan2(-np.sin(angle) * ahead, np.cos(angle) * ahead)) % 360.0
        return lng, lat, heading

    def body(self, batch: int, observed_ms: int) -> bytes:
        """The FeatureCollection of one batch, observed at *observed_ms*; one or two microseconds a unit."""
        part = slice(batch, None, self.batches)
        lng, lat, heading = self.places(observed_ms / 1000, part)
        observed, expires = _rfc3339(observed_ms), _rfc3339(observed_ms + self._lifetime_ms)
        ids = self._ids[part]
        rows = zip(ids, lng.tolist(), lat.tolist(), heading.tolist(), self._speed[part].tolist(), strict=True)
        features = b",".join(
            _UNIT % (id, x, y, id, min(ahead, 359.9), speed, observed, expires)
            for id, x, y, ahead, speed in rows
        )
        return b'{"type":"FeatureCollection","features":[%b]}' % features

    def size(self, batch: int) -> int:
        """How many units report in that batch."""
        return len(range(batch, self.units, self.batches))


def _rfc3339(at_ms: float) -> bytes:
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    return moment.replace("+00:00", "Z").encode()
