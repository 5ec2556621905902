"""moto as an S3 server whose conditional writes are atomic, and which can be told to misbehave.

moto looks whether a key exists and writes afterwards, without a lock and from many threads: now and then two writers of
one key are both told that they won. `OneWriterPerKey` closes that gap by letting one request at a time change a key.

`Misbehaviour` sits in front of it and does, to the next matching requests, what servers and networks do.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.s3.server import S3Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


class OneWriterPerKey:
    """A WSGI application in front of another: requests that change one path take turns."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return self._application(environ, start_response)
        with self._guard:
            lock = self._locks.setdefault(environ["PATH_INFO"], threading.Lock())
        with lock:
            return list(self._application(environ, start_response))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trick:
    """What happens to a request.

    `refuse`: the answer is `status` and `code`, and nothing is done. `refuse_after`: the same, but it was done.
    `hang_up` and `hang_up_after`: no answer, the connection breaks. `cut`: half of the answer's body, then it breaks.
    `drop`: the named headers (as WSGI writes them) and query parameters never arrive, as on a server that ignores them.
    """

    do: Literal["refuse", "refuse_after", "hang_up", "hang_up_after", "cut", "drop"]
    status: str = "500 Internal Server Error"
    code: str = "InternalError"
    names: tuple[str, ...] = ()


class Misbehaviour:
    """A WSGI application in front of another that plays tricks on chosen requests and counts all of them."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._planned: list[tuple[str, str, Trick]] = []
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()

    def plan(self, method: str, key_ends: str, *tricks: Trick) -> None:
        """Play `tricks`, one each, on the next requests of this method and a path that ends so."""
        with self._lock:
            self._planned += [(method, key_ends, trick) for trick in tricks]

    def reset(self) -> None:
        """Forget plans and counts."""
        with self._lock:
            self._planned.clear()
            self.requests.clear()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        trick = self._next(environ["REQUEST_METHOD"], environ["PATH_INFO"])
        if trick is None:
            return self._application(environ, start_response)
        if trick.do == "drop":
            _drop(environ, trick.names)
            return self._application(environ, start_response)
        if trick.do == "cut":
            return _cut(environ, b"".join(self._application(environ, start_response)))
        if trick.do in {"refuse", "hang_up"}:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        else:
            list(self._application(environ, _ignore))
        if trick.do in {"refuse", "refuse_after"}:
            return _refuse(trick, start_response)
        start_response("500 Nobody Will See This", [])
        return _hang_up(environ)

    def _next(self, method: str, path: str) -> Trick | None:
        with self._lock:
            self.requests[method] += 1
            for number, (planned_method, key_ends, trick) in enumerate(self._planned):
                if planned_method == method and path.endswith(key_ends):
                    del self._planned[number]
                    return trick
        return None


def _ignore(*_: object) -> Callable[[bytes], object]:
    """Take a status and headers that nobody will see."""
    return len


def _refuse(trick: Trick, start_response: StartResponse) -> Iterable[bytes]:
    body = f"<?xml version='1.0'?><Error><Code>{trick.code}</Code><Message>as told</Message></Error>".encode()
    start_response(trick.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def _hang_up(environ: WSGIEnvironment) -> Iterable[bytes]:
    connection: Any = environ["werkzeug.socket"]
    connection.shutdown(socket.SHUT_RDWR)
    return []


def _cut(environ: WSGIEnvironment, body: bytes) -> Iterator[bytes]:
    yield body[: len(body) // 2]
    yield from _hang_up(environ)


def _drop(environ: WSGIEnvironment, names: tuple[str, ...]) -> None:
    for name in names:
        environ.pop(name, None)
    kept = [each for each in environ["QUERY_STRING"].split("&") if each.split("=")[0] not in names]
    environ["QUERY_STRING"] = "&".join(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class MotoServer:
    """A running server and the way to make it misbehave."""

    server: S3Server
    misbehaviour: Misbehaviour


@contextmanager
def moto_server() -> Iterator[MotoServer]:
    """Run moto in a thread of this process while the block runs, with a bucket `test`."""
    misbehaviour = Misbehaviour(OneWriterPerKey(DomainDispatcherApplication(create_backend_app)))
    http = make_server("127.0.0.1", 0, misbehaviour, threaded=True, request_handler=_QuietHandler)
    thread = threading.Thread(target=http.serve_forever, name="moto", daemon=True)
    thread.start()
    try:
        server = S3Server(endpoint_url=f"http://127.0.0.1:{http.server_port}")
        server.make_bucket("test")
        yield MotoServer(server=server, misbehaviour=misbehaviour)
    finally:
        http.shutdown()
        http.server_close()
        thread.join(10)


class _QuietHandler(MotoRequestHandler):
    """Says nothing about requests, nor about connections that broke on purpose."""

    def log(self, *_: object) -> None:
        """Say nothing."""

    def connection_dropped(self, *_: object) -> None:
        """Say nothing."""
