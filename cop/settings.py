"""Every setting of the service, read once from `COP_*` variables; the defaults are safe in production."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from layers.errors import Unavailable

PREFIX = "COP_"
TICK_MS = 200
"""At 250 ms a change that just misses a tick came, under the load that the service is to bear, after half a second."""


def _origin(value: str) -> str:
    if value and not value.startswith(("http://", "https://")):
        raise ValueError("expected http://… or https://…")
    return value.rstrip("/")


class Settings(BaseModel):
    """The settings; a field `x` is the variable `COP_X`. Lists are separated by commas."""

    model_config = ConfigDict(frozen=True)

    database_url: str = ""
    """PostgreSQL with PostGIS (`postgresql://…`). Empty: a private cluster in `data_dir`."""
    data_dir: Path = Path(".cop")
    """Where the private cluster and the demo's caches live."""
    host: str = "127.0.0.1"
    """Address to listen on; loopback until you say otherwise."""
    port: Annotated[int, Field(ge=0, le=65535)] = 8600
    """Port to listen on."""
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    """Processes that serve; each streams everything."""
    public_url: Annotated[str, AfterValidator(_origin)] = ""
    """Where browsers reach the service, if not at `host:port`: for links and tickets. https makes cookies Secure."""
    allowed_origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    """Origins besides the service's own that may use a session's cookie and open /live."""
    max_body_bytes: Annotated[int, Field(ge=1_000, le=100_000_000)] = 5_000_000
    """A larger body, or a larger line of a stream, is refused."""
    max_stream_bytes: Annotated[int, Field(ge=1_000)] = 4_000_000_000
    """A longer NDJSON stream is refused."""
    body_timeout_s: Annotated[float, Field(gt=0)] = 30.0
    """A body that has not come by then, or a stream that pauses for so long, is given up."""
    tick_ms: Annotated[int, Field(ge=20, le=10_000)] = TICK_MS
    """How often a viewer gets a frame."""
    history_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Days of the log that are kept: tracks, replay, and resuming a stream."""
    sweep_s: Annotated[float, Field(gt=0)] = 1.0
    """How often expired features are looked for."""
    drain_s: Annotated[float, Field(ge=0, le=600)] = 5.0
    """Over how long a process that is told to stop sends its viewers elsewhere, one by one."""
    log_level: str = "info"
    """debug, info, warning or error."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **given: Any) -> Self:
        """The settings that *environment* holds, under those *given*. Raises `Unavailable` naming a bad one."""
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for name in cls.model_fields:
            if value := environment.get(PREFIX + name.upper()):
                values[name] = (
                    [part.strip() for part in value.split(",")] if name == "allowed_origins" else value
                )
        values |= {name: value for name, value in given.items() if value is not None}
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = PREFIX + str(first["loc"][0]).upper()
            raise Unavailable(
                f"{name} is {first['input']!r}: {first['msg'].lower()}.", code="settings"
            ) from None

    @property
    def origin(self) -> str:
        """Where browsers reach the service, without a closing slash."""
        return self.public_url or f"http://{self.host}:{self.port}"
