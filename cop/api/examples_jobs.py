"""What the OpenAPI document says of jobs, with examples."""

from __future__ import annotations

from typing import Any

_JOB: dict[str, Any] = {
    "id": "0f4c7a52-6a55-4b0c-9d6c-6f0f1c0f2f11",
    "path": "/coverage/placement",
    "state": "running",
    "progress": 0.4,
    "asked_at": "2026-11-22T14:02:11.2Z",
    "asked_by": "cfd key",
    "finished_at": None,
    "links": [
        {
            "href": "http://127.0.0.1:8600/jobs/0f4c7a52-6a55-4b0c-9d6c-6f0f1c0f2f11",
            "rel": "self",
            "type": "application/json",
        }
    ],
}


def _json(description: str, example: object) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
    }


ACCEPTED = _json("With `Prefer: respond-async`: the job that works it out; `Location` is its address.", _JOB)
LIST: dict[int | str, dict[str, Any]] = {200: _json("The jobs.", {"jobs": [_JOB]})}
JOB: dict[int | str, dict[str, Any]] = {
    200: _json("The job.", _JOB),
    404: {"description": "No such job of your agency."},
}
RESULT: dict[int | str, dict[str, Any]] = {
    200: {"description": "The answer, in the form that was asked for."},
    404: {"description": "No such job of your agency."},
    409: {"description": "No result: it waits (`job.waiting`), runs (`job.running`) or was cancelled."},
}
DISMISSED: dict[int | str, dict[str, Any]] = {
    200: _json("Cancelled.", _JOB | {"state": "cancelled", "finished_at": "2026-11-22T14:02:15Z"}),
    204: {"description": "Deleted: it had ended."},
    404: {"description": "No such job of your agency."},
}
