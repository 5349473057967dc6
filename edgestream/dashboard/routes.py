"""The addresses of the page. What is read needs nothing; what changes something needs the token."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from edgestream.dashboard import comparison
from edgestream.dashboard.door import Door
from edgestream.dashboard.events import events
from edgestream.dashboard.file_reading import sites_of
from edgestream.dashboard.letters import letter
from edgestream.dashboard.operator import Hold, Operator, Promotion, Requeue, RollBack, dead_letters
from edgestream.dashboard.picture import window
from edgestream.dashboard.places import Places
from edgestream.dashboard.watches import Watches
from stream.messages import check_run_name
from stream.result_file.reader import RunFile
from stream.sources.measured import read_measured
from xas.errors import EdgestreamError, Reject, Retry

STATIC = Path(__file__).parent / "static"
MOST_BYTES = 4 << 20  # of a measured spectrum
MOST_VIEWERS = 200
TOKEN = "x-operator-token"  # noqa: S105 - the name of the header
_T = TypeVar("_T")


def application(places: Places, operator: Operator, names: Iterable[str], watches: Watches) -> Any:
    """The page; ``names``: hosts that it answers to beside localhost and addresses."""
    page = _Page(places, operator, watches)
    return Starlette(
        routes=[
            Route("/", page.index),
            Route("/api/events", page.events),
            Route("/api/references", page.references),
            Route("/api/runs/{run}/window", page.window),
            Route("/api/runs/{run}/frames/{frame:int}", page.frame),
            Route("/api/runs/{run}/comparison", page.compare, methods=["GET"]),
            Route("/api/runs/{run}/comparison", page.compare_measured, methods=["POST"]),
            Route("/api/runs/{run}/dead-letters", page.dead_letters),
            Route("/api/operator", page.greet, methods=["POST"]),
            Route("/api/operator/promote", page.promote, methods=["POST"]),
            Route("/api/operator/rollback", page.roll_back, methods=["POST"]),
            Route("/api/operator/requeue", page.requeue, methods=["POST"]),
            Route("/api/operator/hold", page.hold, methods=["POST"]),
            Mount("/static", StaticFiles(directory=STATIC)),
        ],
        middleware=[Middleware(Door, names=tuple(names))],
        exception_handlers={EdgestreamError: _refused, HTTPException: _failed},
        max_body_size=MOST_BYTES,
    )


class _Page:
    """One method an address; all that touches a disk or a server runs in a thread."""

    def __init__(self, places: Places, operator: Operator, watches: Watches) -> None:
        self._places, self._operator, self._watches = places, operator, watches
        self._viewers = 0

    async def index(self, request: Request) -> Response:
        del request
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": "no-cache"})

    # -- what is pushed --------------------------------------------------------------------------

    async def events(self, request: Request) -> Response:
        if self._watches.closed or self._viewers >= MOST_VIEWERS:
            raise HTTPException(503, "too many viewers, or the page is about to end")
        run = request.query_params.get("run")
        watches = [await run_in_threadpool(self._watches.service)]
        if run:
            check_run_name(run)
            watches.append(await run_in_threadpool(self._watches.run, run))

        async def counted() -> Any:
            self._viewers += 1
            try:
                async for event in events(watches):
                    yield event
            finally:
                self._viewers -= 1

        return StreamingResponse(
            counted(), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    # -- what is asked for -----------------------------------------------------------------------

    async def references(self, request: Request) -> Response:
        del request

        def look() -> dict[str, Any]:
            return {"measured": self._places.measured(), "operator": self._operator.is_there}

        return await _answer(look)

    async def window(self, request: Request) -> Response:
        first, end = (_number(request, name) for name in ("first", "end"))
        return await self._of_file(request, lambda file: window(file, first, end))

    async def frame(self, request: Request) -> Response:
        frame = int(request.path_params["frame"])
        return await self._of_file(request, lambda file: sites_of(file, frame))

    async def compare(self, request: Request) -> Response:
        kind, _, name = request.query_params.get("with", "").partition(":")

        def look(file: RunFile) -> comparison.Comparison:
            if kind == "run":
                with RunFile(self._places.require_file(name)) as other:
                    return comparison.with_run(file, other)
            if kind == "model":
                if "/" in name:
                    raise Reject("a model of the store is needed: NAME, NAME@VERSION, NAME@ALIAS")
                return comparison.with_model(file, name, self._places.models)
            path = self._places.measured_file(name) if kind == "measured" else None
            if path is None:
                raise Reject(f"nothing to compare with: {kind}:{name}"[:200])
            return comparison.with_measured(file, read_measured(path))

        return await self._of_file(request, look)

    async def compare_measured(self, request: Request) -> Response:
        name = request.query_params.get("name", "measured")[:80]
        content = await request.body()

        def look(file: RunFile) -> comparison.Comparison:
            return comparison.with_measured(file, comparison.measured_from(name, content))

        return await self._of_file(request, look)

    async def dead_letters(self, request: Request) -> Response:
        run = request.path_params["run"]
        return await _answer(lambda: dead_letters(self._places, run))

    async def _of_file(self, request: Request, look: Callable[[RunFile], Any]) -> Response:
        run = request.path_params["run"]

        def read() -> Any:
            with RunFile(self._places.require_file(run)) as file:
                return look(file)

        return await _answer(read)

    # -- what changes something ------------------------------------------------------------------

    async def greet(self, request: Request) -> Response:
        self._require_token(request)
        return Response(status_code=204)

    async def promote(self, request: Request) -> Response:
        return await self._change(request, Promotion, self._operator.promote)

    async def roll_back(self, request: Request) -> Response:
        return await self._change(request, RollBack, self._operator.roll_back)

    async def requeue(self, request: Request) -> Response:
        return await self._change(request, Requeue, lambda asked, _: self._operator.requeue(asked))

    async def hold(self, request: Request) -> Response:
        return await self._change(request, Hold, lambda asked, _: self._operator.hold(asked))

    async def _change(
        self, request: Request, kind: type[_T], act: Callable[[_T, str], Any]
    ) -> Response:
        self._require_token(request)
        try:
            asked = msgspec.json.decode(await request.body(), type=kind)
        except msgspec.DecodeError as error:
            raise Reject(f"not what this address takes: {error}") from None
        who = f"page@{request.client.host if request.client else 'unknown'}"
        return await _answer(lambda: act(asked, who))

    def _require_token(self, request: Request) -> None:
        if not self._operator.is_there:
            raise HTTPException(403, "read-only: start the page with --operator-token-file FILE")
        if not self._operator.accepts(request.headers.get(TOKEN, "")):
            raise HTTPException(401, "that is not the operator's token")


async def _answer(look: Callable[[], Any]) -> Response:
    return _json(await run_in_threadpool(look))


def _json(value: Any, status: int = 200) -> Response:
    return Response(
        letter(value), status, {"Cache-Control": "no-store"}, media_type="application/json"
    )


def _number(request: Request, name: str) -> int:
    try:
        return int(request.query_params[name])
    except (KeyError, ValueError):
        raise Reject(f"{name}: a frame's number is needed") from None


async def _refused(request: Request, error: Exception) -> Response:
    del request
    return _json({"error": str(error)}, 503 if isinstance(error, Retry) else 400)


async def _failed(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    return _json({"error": error.detail}, error.status_code)
