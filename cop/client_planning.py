"""What planners ask with `Client`: gaps, what-ifs, placements, timelines and jurisdictions, each in one call.

A question is a mapping as the API has it: `area`, `layers`, `at_least`, `resolution`, `where`, `agencies`,
`capabilities`, `count_stale`, `reach`, `at`, `weights`; or `{"run": …}` for one that was asked before.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import orjson

from layers.model import JsonObject

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

Progress = Callable[[float], None]
"""Told the share that is done, 0 to 1."""

POLL_S = 0.3
COLUMNS = ("role", "km2", "reasons", "nearest", "nearest_m")
"""Of what `gaps` returns, even where there are none."""


class Planning(ABC):
    """The questions; `Client` brings the connection. Each raises `ProblemError` for what the service refuses."""

    @abstractmethod
    def _request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response: ...

    def gaps(
        self,
        area: JsonObject,
        layers: Sequence[str] | None = None,
        *,
        at_least: int = 1,
        resolution: int = 9,
        where: Mapping[str, Sequence[Any]] | None = None,
        roles: Collection[str] = ("gap",),
        progress: Progress | None = None,
        **question: Any,
    ) -> GeoDataFrame:
        """Where fewer than *at_least* features of *layers* reach within *area*: a row for each separate gap.

        *area* is a GeoJSON geometry or `{"layer": …, "id": …}`; *question* may hold whatever else a question has.
        The rows are polygons in WGS 84 with `role` and `km2`, those of gaps, the largest first, also with `reasons` in
        words and the `nearest` cover, `nearest_m` away; *roles* may also ask for `overlap` and `covered`. The rest of
        the answer (run, totals, cells, notes, what each agency alone covers) lies in `frame.attrs`. With *progress* it
        is asked as a job, and may take minutes.
        """
        from geopandas import GeoDataFrame  # heavy, and a feed never needs it

        question |= {"area": area, "at_least": at_least, "resolution": resolution}
        if layers is not None:
            question["layers"] = list(layers)
        if where is not None:
            question["where"] = {name: list(values) for name, values in where.items()}
        answer = orjson.loads(self.ask("/coverage/analysis", question, form="geojson", progress=progress))
        found = [piece for piece in answer.pop("features") if piece["properties"]["role"] in roles]
        frame = (
            GeoDataFrame.from_features(found, crs="OGC:CRS84")
            if found
            else GeoDataFrame(dict.fromkeys(COLUMNS, ()), geometry=[], crs="OGC:CRS84")
        )
        frame.attrs.update(answer)
        return frame

    def what_if(
        self, question: JsonObject, changes: Sequence[JsonObject], *, b: Sequence[JsonObject] | None = None
    ) -> JsonObject:
        """What becomes of the coverage with *changes*; with *b*, a second variant beside it."""
        body = question | {"changes": list(changes)} | ({} if b is None else {"b": list(b)})
        return self._answer("/coverage/what-if", body)

    def placement(
        self, question: JsonObject, place: JsonObject, *, progress: Progress | None = None
    ) -> JsonObject:
        """Where to put the next units or stations, or which to move: *place* has `goal`, `n`, `candidates` …"""
        return self._answer("/coverage/placement", question | {"place": place}, progress)

    def timeline(
        self, question: JsonObject, window: JsonObject, *, progress: Progress | None = None
    ) -> JsonObject:
        """The coverage over a *window*: `from`, `to`, `step_minutes`."""
        return self._answer("/coverage/timeline", question | {"window": window}, progress)

    def jurisdictions(
        self, question: JsonObject, zones: str | JsonObject, *, progress: Progress | None = None
    ) -> JsonObject:
        """A row for each zone of *zones*, a layer's name or a FeatureCollection."""
        return self._answer("/coverage/jurisdictions", question | {"zones": zones}, progress)

    def run(self, id: UUID | str) -> JsonObject:
        """An earlier answer's question and inputs."""
        answer: JsonObject = self._request("GET", f"/coverage/runs/{id}").json()
        return answer

    def ask(
        self,
        path: str,
        question: JsonObject,
        *,
        form: str | None = None,
        progress: Progress | None = None,
        **params: str,
    ) -> bytes:
        """The answer to *question* at *path*, in one of the forms that the API has (`?f=`), as bytes.

        With *progress* it is asked as a job: no deadline of a request cuts it off. *params* go into the address.
        """
        headers = {"Content-Type": "application/json"}
        if form is not None:
            params["f"] = form
        body = orjson.dumps(question)
        if progress is None:
            return self._request("POST", path, content=body, headers=headers, params=params).content
        headers["Prefer"] = "respond-async"
        job = self._request("POST", path, content=body, headers=headers, params=params).json()
        return self._result(job, progress)

    def _result(self, job: JsonObject, progress: Progress) -> bytes:
        path = f"/jobs/{job['id']}"
        try:
            while job["state"] in ("waiting", "running"):
                progress(job["progress"])
                time.sleep(POLL_S)
                job = self._request("GET", path).json()
        except BaseException:  # Ctrl-C too: whoever no longer waits wants no processor spent on it.
            self._request("DELETE", path)
            raise
        answer = self._request("GET", f"{path}/result").content
        progress(1.0)
        return answer

    def _answer(self, path: str, body: JsonObject, progress: Progress | None = None) -> JsonObject:
        answer: JsonObject = orjson.loads(self.ask(path, body, progress=progress))
        return answer
