"""What the door's checks cost: a body of 500 units, from its bytes to edits that are ready to be written."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import orjson

from layers.admission import admit, features_of
from layers.model import AgencyId, Layer, LayerId, LayerName, LayerRules, Status
from layers.strictjson import loads
from tests.bench import Figure, percentile

FEATURES = 500
NOW = datetime.now(UTC)
LAYER = Layer(
    LayerId(1),
    LayerName("cfd.units"),
    AgencyId(1),
    "units",
    Status.TEST,
    rules=LayerRules(expire_after_s=600),
)


def body() -> bytes:
    """A collection of units as an agency's feed sends them."""
    rng = random.Random(20261122)
    features = [
        {
            "type": "Feature",
            "id": f"E{number}",
            "geometry": {
                "type": "Point",
                "coordinates": [rng.uniform(-87.8, -87.6), rng.uniform(41.7, 42.0)],
            },
            "properties": {
                "callsign": f"Engine {number}",
                "unit_type": "engine",
                "status": rng.choice(["available", "en_route", "on_scene"]),
                "heading_deg": rng.randrange(360),
                "speed_mps": round(rng.uniform(0, 20), 1),
                "accuracy_m": 5,
                "observed_at": (NOW - timedelta(seconds=rng.uniform(0, 60))).isoformat(),
            },
        }
        for number in range(FEATURES)
    ]
    return orjson.dumps({"type": "FeatureCollection", "features": features})


def cpu_us(action: Callable[[], object], *, warmups: int = 5, repeats: int = 60) -> float:
    """Microseconds of this process's own time a feature, the median: what others do meanwhile does not count."""
    taken = []
    for _ in range(warmups + repeats):
        begun = time.process_time()
        action()
        taken.append((time.process_time() - begun) * 1e6 / FEATURES)
    return percentile(taken[warmups:], 50)


def bench_door() -> Iterator[Figure]:
    """CPU microseconds a feature, of reading the body alone and of all."""
    sent = body()

    def checked() -> list[object]:
        return [admit(feature, LAYER, NOW, pointer) for pointer, feature in features_of(loads(sent))]

    yield Figure("door_read", cpu_us(lambda: loads(sent)), "µs/feature", "lower")
    yield Figure("door_read_and_check", cpu_us(checked), "µs/feature", "lower", 20)
