"""The Python client of a common operating picture: agencies push with it, planners ask for gaps with it.

It speaks the public HTTP API and nothing else, so whatever it does, any other program can do too.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace as replaced
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import orjson

from cop.client_planning import Planning
from layers.model import BBox, JsonObject, LayerName, Receipt, Rejection

if TYPE_CHECKING:
    from cop.watch import Watch

MAX_FEATURES = 1_000
"""Features in one request: the service's own limit."""
MAX_BYTES = 5_000_000
"""Bytes of one request's body: the service's own limit."""
AGAIN = frozenset({429, 502, 503, 504})
"""Statuses that say: not now. They come before anything was stored, or a repeat of the push is recognised."""
LONGEST_PAUSE_S = 15.0

_PREFIX = b'{"type":"FeatureCollection","features":['
_SUFFIX = b"]}"


class ProblemError(Exception):
    """The service refused: `application/problem+json` as an exception.

    `code` is stable and made for programs; `pointer` and those in `rejected` lead to the spot in what was
    handed to the client. `receipt` tells what earlier batches of the same call did, if there were any.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        pointer: str = "",
        request_id: str = "",
        rejected: Sequence[Rejection] = (),
        receipt: Receipt | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}" + (f" (request {request_id})" if request_id else ""))
        self.status = status
        self.code = code
        self.detail = detail
        self.pointer = pointer
        self.request_id = request_id
        self.rejected = tuple(rejected)
        self.receipt = receipt


class Client(Planning):
    """One agency's connection to the service at *url*, with its *key*; use it as a context manager.

    Calls block, and one client must not be shared between threads. What failed for want of a connection, or
    because the service said “not now” (429, 502, 503, 504), is tried again with growing, jittered pauses
    until *patience_s* have passed; a `Retry-After` is honoured, and *on_wait* is told why, and for how long.
    A push carries one idempotency key through all its attempts, so it cannot count twice.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = 30.0,
        patience_s: float = 60.0,
        on_wait: Callable[[str, float], None] = lambda _why, _seconds: None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.patience_s = patience_s
        self._on_wait = on_wait
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._http = httpx.Client(
            base_url=self.url, headers=headers, timeout=timeout_s, transport=transport, trust_env=False
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Nothing is pending: every call has been answered when it returns."""
        self._http.close()

    # Agencies: what a feed does.

    def push(
        self,
        layer: str,
        features: Iterable[JsonObject],
        *,
        lenient: bool = False,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Add or update *features* by id, and return what became of them once they are committed.

        More than 1,000 features or 5 MB go as several requests, each all-or-nothing by itself (or, if
        *lenient*, each taking what is good); the receipts are added up. Pointers count from the first
        feature given. With the same *idempotency_key*, a repeat of the same push changes nothing.
        """
        return self._send("POST", layer, features, lenient, idempotency_key)

    def patch(
        self,
        layer: str,
        features: Iterable[JsonObject],
        *,
        lenient: bool = False,
        idempotency_key: str | None = None,
    ) -> Receipt:
        """Merge partial *features* into known ones by id (RFC 7396: null takes a property away)."""
        return self._send("PATCH", layer, features, lenient, idempotency_key)

    def replace(
        self, layer: str, features: Sequence[JsonObject], *, lenient: bool = False, allow_empty: bool = False
    ) -> Receipt:
        """Make *features* all that the layer holds; what is not among them is gone.

        One request, so at most 1,000 features and 5 MB. An empty set is refused unless *allow_empty*,
        so that an empty poll is never taken for a delete.
        """
        bodies = list(split(features))
        if len(bodies) > 1:
            raise ValueError(
                f"a set of {len(features)} features does not fit one request "
                f"({MAX_FEATURES} features, {MAX_BYTES} bytes): push it, and remove what is gone"
            )
        body = bodies[0][0] if bodies else _PREFIX + _SUFFIX
        answer = self._request(
            "PUT",
            f"/collections/{_part(layer)}/items",
            content=body,
            headers=_push_headers(lenient, str(uuid4())),
            params={"allow_empty": "true"} if allow_empty else None,
        )
        return _receipt(answer.json())

    def remove(self, layer: str, ids: Iterable[str]) -> Receipt | None:
        """Take features away by id; those unknown to the layer are passed over. None if *ids* is empty."""
        total: Receipt | None = None
        for feature_id in ids:
            try:
                answer = self._request(
                    "DELETE",
                    f"/collections/{_part(layer)}/items/{_part(feature_id)}",
                    headers={"Idempotency-Key": str(uuid4())},
                )
            except ProblemError as problem:
                if problem.code != "feature.not_found":
                    raise
                continue
            total = _sum(total, _receipt(answer.json())) if answer.content else total
        return total

    # Readers: dispatchers' tools and planners.

    def items(
        self, layer: str, *, bbox: BBox | None = None, datetime: str | None = None, limit: int = 1_000
    ) -> Iterator[JsonObject]:
        """Every feature of *layer* (within *bbox*, west south east north), page after page of *limit*."""
        params: dict[str, str] = {"limit": str(limit)}
        if bbox is not None:
            params["bbox"] = ",".join(repr(float(edge)) for edge in bbox)
        if datetime is not None:
            params["datetime"] = datetime
        page = self._request("GET", f"/collections/{_part(layer)}/items", params=params).json()
        while True:
            yield from page["features"]
            if (address := _next(page)) is None:
                return
            page = self._request("GET", self._ours(address)).json()

    def item(self, layer: str, feature_id: str) -> JsonObject:
        """One feature as it stands."""
        return self._json("GET", f"/collections/{_part(layer)}/items/{_part(feature_id)}")

    def track(self, layer: str, feature_id: str, *, limit: int | None = None) -> JsonObject:
        """Where a feature has been: a Feature whose line runs from oldest to newest, with `times`."""
        path = f"/collections/{_part(layer)}/items/{_part(feature_id)}/track"
        return self._json("GET", path, params={"limit": str(limit)} if limit else None)

    def watch(
        self,
        *layers: str,
        view: BBox | None = None,
        where: Mapping[str, Sequence[Any]] | None = None,
        operation: str | None = None,
    ) -> Watch:
        """Follow *layers* as they change: `async for change in client.watch("cfd.units"): …`, without end.

        Without *layers*, all of *operation*, or all that this client may see; only what is in *view* (west
        south east north) and a little around it, and where *where* holds (`kind`, `agency`, `status`: lists of
        what is let through).
        First comes what is there, then a `current` change, then each change as it happens. A lost connection is
        a change, too: `lost`, then `back`, exactly what was missed, and `current`. See `cop.watching.changes`
        for what a change says.
        """
        from cop.watch import Watch  # a feed needs no websocket
        from cop.watching.fold import Wanted

        return Watch(
            self.url,
            self._http.headers.get("Authorization"),
            Wanted(layers, operation, view, where or {}),
            patience_s=self.patience_s,
            on_wait=self._on_wait,
        )

    def session(self) -> JsonObject:
        """Who the service takes this client for, and its clock."""
        return self._json("GET", "/session")

    def layers(self) -> list[JsonObject]:
        """The layers that this client may see."""
        return list(self._json("GET", "/collections")["collections"])

    def feeds(self) -> list[JsonObject]:
        """How the feeds do that this client may see: last heard, rate, lag; of its own, what was refused."""
        return list(self._json("GET", "/feeds")["feeds"])

    def ready(self) -> bool:
        """Whether the service answers and has all it needs; never raises, never retries."""
        try:
            return self._http.get("/readyz", timeout=2.0).status_code == 200
        except httpx.TransportError:
            return False

    # Administration: setting up agencies, layers, operations, keys.

    def agencies(self) -> list[JsonObject]:
        """The agencies of this deployment."""
        return list(self._json("GET", "/agencies")["agencies"])

    def add_agency(self, slug: str, *, name: str, color: str) -> JsonObject:
        """Add an agency; `agency.exists` if there is one of that slug. For the host's administrators."""
        return self._json("POST", "/agencies", json={"id": slug, "name": name, "color": color})

    def add_layer(self, name: str, *, kind: str, status: str, title: str = "", **rules: Any) -> JsonObject:
        """Add the layer *name* (`agency.slug`) with its *rules*: `reach_m`, `stale_after_s`, `stream` …"""
        body = {"id": name, "kind": kind, "status": status, "title": title, **rules}
        return self._json("POST", "/collections", json=body)

    def share(self, layer: str, with_: str, *, generalized: bool = False) -> None:
        """Share *layer* with an agency, with `all` agencies, or with the `public`; *generalized*: for analyses only."""
        grade = "?grade=generalized" if generalized else ""
        self._request("PUT", f"/collections/{_part(layer)}/shares/{_part(with_)}{grade}")

    def unshare(self, layer: str, with_: str) -> None:
        """Take a share back; those who lose sight of the layer are told at once."""
        self._request("DELETE", f"/collections/{_part(layer)}/shares/{_part(with_)}")

    def operations(self) -> list[JsonObject]:
        """The operations that this client may see."""
        return list(self._json("GET", "/operations")["operations"])

    def add_operation(self, slug: str, *, agency: str, title: str, status: str) -> JsonObject:
        """Add an operation, a named picture, run by *agency*; its status is for life."""
        body = {"id": slug, "agency": agency, "title": title, "status": status}
        return self._json("POST", "/operations", json=body)

    def draw(self, operation: str, layer: str) -> None:
        """Draw *layer* on *operation*; doing so twice is the same as once."""
        self._request("PUT", f"/operations/{_part(operation)}/layers/{_part(layer)}")

    def create_key(self, agency: str, scopes: Sequence[str], *, expires_at: datetime | None = None) -> str:
        """A new key of *agency*; the service keeps only its hash and shows it this once."""
        body: JsonObject = {"agency": agency, "scopes": list(scopes)}
        if expires_at is not None:
            body["expires_at"] = expires_at.isoformat()
        return str(self._json("POST", "/keys", json=body)["key"])

    def revoke_key(self, prefix: str) -> None:
        """Revoke the key that begins with *prefix*."""
        self._request("DELETE", f"/keys/{_part(prefix)}")

    def ticket(self, *, scopes: Sequence[str] = ("view",), name: str = "") -> str:
        """An address that opens the page once, with no more than this client's *scopes*, for whom *name* says.

        Hand it to a person, not to a log.
        """
        return str(self._json("POST", "/tickets", json={"scopes": list(scopes), "name": name})["url"])

    # Below: one request, with patience.

    def _send(
        self,
        method: str,
        layer: str,
        features: Iterable[JsonObject],
        lenient: bool,
        idempotency_key: str | None,
    ) -> Receipt:
        key = idempotency_key or str(uuid4())
        path = f"/collections/{_part(layer)}/items"
        total: Receipt | None = None
        sent = 0
        for number, (body, count) in enumerate(split(features)):
            headers = _push_headers(lenient, key if number == 0 else f"{key}.{number}")
            try:
                receipt = _receipt(self._request(method, path, content=body, headers=headers).json(), sent)
            except ProblemError as problem:
                problem.rejected = tuple(_shifted(rejection, sent) for rejection in problem.rejected)
                problem.pointer = _shift(problem.pointer, sent)
                problem.receipt = total
                raise
            total = _sum(total, receipt)
            sent += count
        if total is None:
            raise ValueError("there is nothing to push: no features were given")
        return total

    def _ours(self, address: str) -> str:
        """What follows the host in *address*, for a request of ours: whatever host a link names, the key
        goes to the one it is for. (A service behind a proxy may know itself by another name.)"""
        base = httpx.URL(self.url)
        path = base.join(address).raw_path.decode()
        return path.removeprefix(base.raw_path.decode().rstrip("/"))

    def _json(
        self,
        method: str,
        path: str,
        *,
        json: JsonObject | None = None,
        params: dict[str, str] | None = None,
    ) -> JsonObject:
        content = None if json is None else orjson.dumps(json)
        headers = None if json is None else {"Content-Type": "application/json"}
        answer: JsonObject = self._request(
            method, path, content=content, headers=headers, params=params
        ).json()
        return answer

    def _request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send, again and again while it makes sense; return a 2xx answer or raise `ProblemError`."""
        asked = {} if headers is None else headers
        # A question may be asked twice; what is begun, a push or a job, only with a key that tells the two apart.
        question = path.startswith("/coverage/") and "Prefer" not in asked
        repeatable = method != "POST" or "Idempotency-Key" in asked or question
        deadline = time.monotonic() + self.patience_s
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._http.request(method, path, content=content, headers=headers, params=params)
            except httpx.TransportError as error:
                unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                wait_s = pause_s(attempt)
                why = f"{self.url} does not answer: {str(error) or type(error).__name__}"
                if not (repeatable or unsent) or time.monotonic() + wait_s > deadline:
                    raise ProblemError(0, "client.no_answer", why) from error
            else:
                if answer.is_success:
                    return answer
                wait_s = max(pause_s(attempt), retry_after_s(answer))
                if answer.status_code not in AGAIN or time.monotonic() + wait_s > deadline:
                    raise problem_of(answer)
                why = f"{self.url} answers {answer.status_code}"
            self._on_wait(why, wait_s)
            time.sleep(wait_s)


def split(features: Iterable[JsonObject]) -> Iterator[tuple[bytes, int]]:
    """Bodies of FeatureCollections, each within 1,000 features and 5 MB, with the count of each; in order.

    A single feature beyond 5 MB goes alone, so that it is the service that refuses it.
    """
    parts: list[bytes] = []
    size = len(_PREFIX) + len(_SUFFIX)
    for feature in features:
        part = orjson.dumps(feature, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)
        if parts and (len(parts) == MAX_FEATURES or size + len(part) + 1 > MAX_BYTES):
            yield _PREFIX + b",".join(parts) + _SUFFIX, len(parts)
            parts, size = [], len(_PREFIX) + len(_SUFFIX)
        parts.append(part)
        size += len(part) + 1
    if parts:
        yield _PREFIX + b",".join(parts) + _SUFFIX, len(parts)


def _push_headers(lenient: bool, key: str) -> dict[str, str]:
    headers = {"Content-Type": "application/geo+json", "Idempotency-Key": key}
    if lenient:
        headers["Prefer"] = "handling=lenient"
    return headers


def _part(name: str) -> str:
    """A name as one segment of a path. A lone `.` or `..` would be resolved away, so dots are escaped then."""
    return name.replace(".", "%2E") if name in {".", ".."} else quote(str(name), safe="")


def _next(page: JsonObject) -> str | None:
    for link in page.get("links", ()):
        if link.get("rel") == "next":
            return str(link["href"])
    return None


def pause_s(attempt: int) -> float:
    """Full jitter over a doubling pause: many feeds cut off at once do not come back at once."""
    return random.uniform(0.05, min(LONGEST_PAUSE_S, 0.25 * 2 ** min(attempt, 10)))  # noqa: S311 - no secret


def retry_after_s(answer: httpx.Response) -> float:
    """Seconds that `Retry-After` asks for, given as a number or as a date (RFC 9110 §10.2.3); else 0."""
    text = answer.headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def problem_of(answer: httpx.Response) -> ProblemError:
    """What the service said in refusing."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        detail = f"the answer is no problem document but {answer.headers.get('Content-Type', 'untyped')}"
        return ProblemError(answer.status_code, "client.not_a_problem", detail)
    return ProblemError(
        answer.status_code,
        str(body.get("code", "unknown")),
        str(body.get("detail") or body.get("title") or answer.reason_phrase),
        pointer=str(body.get("pointer") or ""),
        request_id=str(body.get("request_id") or ""),
        rejected=[_rejection(entry) for entry in body.get("errors") or ()],
    )


def _rejection(entry: JsonObject) -> Rejection:
    return Rejection(
        pointer=str(entry.get("pointer") or ""),
        code=str(entry.get("code") or "unknown"),
        detail=str(entry.get("detail") or ""),
        id=entry.get("id"),
    )


def _receipt(body: JsonObject, sent_before: int = 0) -> Receipt:
    return Receipt(
        layer=LayerName(body["layer"]),
        epoch=UUID(body["epoch"]),
        first_revision=body.get("first_revision"),
        last_revision=body.get("last_revision"),
        accepted=body.get("accepted", 0),
        created=body.get("created", 0),
        unchanged=body.get("unchanged", 0),
        late=body.get("late", 0),
        gone=body.get("gone", 0),
        rejected=tuple(_shifted(_rejection(entry), sent_before) for entry in body.get("rejected") or ()),
    )


def _shifted(rejection: Rejection, by: int) -> Rejection:
    return replaced(rejection, pointer=_shift(rejection.pointer, by)) if by else rejection


def _shift(pointer: str, by: int) -> str:
    """`/features/3/id` of a later batch, counted from the first feature of the call."""
    match pointer.split("/"):
        case ["", "features", number, *rest] if number.isdigit():
            return "/".join(["", "features", str(int(number) + by), *rest])
        case _:
            return pointer


def _sum(total: Receipt | None, receipt: Receipt) -> Receipt:
    if total is None:
        return receipt
    firsts = [r.first_revision for r in (total, receipt) if r.first_revision is not None]
    lasts = [r.last_revision for r in (total, receipt) if r.last_revision is not None]
    return Receipt(
        layer=receipt.layer,
        epoch=receipt.epoch,
        first_revision=min(firsts, default=None),
        last_revision=max(lasts, default=None),
        accepted=total.accepted + receipt.accepted,
        created=total.created + receipt.created,
        unchanged=total.unchanged + receipt.unchanged,
        late=total.late + receipt.late,
        gone=total.gone + receipt.gone,
        rejected=total.rejected + receipt.rejected,
    )
