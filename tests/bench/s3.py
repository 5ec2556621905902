"""A bucket on this machine that counts what it is asked, and can take as long to answer as a real one.

moto is the server. Between it and the network stands a function that names each request by what it costs at a real
store: a listing is a GET to HTTP, and a conditional PUT is not a plain one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

BUCKET = "bench"


class CountingApplication:
    """A WSGI application in front of another. Changes of one key take turns, which moto itself does not see to."""

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self.counts: Counter[str] = Counter()
        self.bytes_up = 0
        self.delay_s = 0.0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with self._guard:
            self.counts[kind(environ)] += 1
            # Bodies that are sent in chunks say their length in a header of S3's own.
            length = environ.get("HTTP_X_AMZ_DECODED_CONTENT_LENGTH") or environ.get("CONTENT_LENGTH") or 0
            self.bytes_up += int(length)
            lock = self._locks.setdefault(environ["PATH_INFO"], threading.Lock())
        if self.delay_s:
            time.sleep(self.delay_s)
        if environ["REQUEST_METHOD"] in {"GET", "HEAD"}:
            return self._application(environ, start_response)
        with lock:
            return list(self._application(environ, start_response))

    def reset(self, *, delay_s: float) -> None:
        """Count from zero and answer so much later from now on."""
        with self._guard:
            self.counts.clear()
            self.bytes_up = 0
            self.delay_s = delay_s


def kind(environ: WSGIEnvironment) -> str:
    """What a request is, in the terms of a bill."""
    method, query = environ["REQUEST_METHOD"], parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    if method == "GET" and ("list-type" in query or "prefix" in query):
        return "LIST"
    if "uploads" in query or "uploadId" in query:
        return {"POST": "multipart begin or end", "PUT": "multipart part"}.get(method, method)
    if method == "PUT" and ("HTTP_IF_NONE_MATCH" in environ or "HTTP_IF_MATCH" in environ):
        return "conditional PUT"
    if method == "POST" and "delete" in query:
        return "DELETE"
    return method


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # clients keep their connections, as they do with a real store

    def log(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def counting_bucket() -> Iterator[tuple[CountingApplication, dict[str, str]]]:
    """A bucket while the block runs, with what a client has to know to reach it."""
    application = CountingApplication(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    access = {
        "endpoint": f"http://127.0.0.1:{server.server_port}",
        "key": "bench",
        "secret": "bench-secret",
        "region": "us-east-1",
    }
    try:
        client = boto3.client(
            "s3",
            endpoint_url=access["endpoint"],
            aws_access_key_id=access["key"],
            aws_secret_access_key=access["secret"],
            region_name=access["region"],
        )
        client.create_bucket(Bucket=BUCKET)
        yield application, access
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
