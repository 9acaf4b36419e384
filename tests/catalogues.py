"""Catalogues made by hand, and servers on 127.0.0.1 that serve them well or badly."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Server", "catalogue", "op", "release", "serve"]


def op(name: str, version: str = "1", namespace: str = "", fields: Iterable[list[object]] = ()) -> dict[str, Any]:
    """Make an op as a catalogue lists it."""
    return {
        "name": name,
        "version": version,
        "namespace": namespace,
        "inputs": [1, 1],
        "outputs": [1, 1],
        "fields": [*fields],
    }


def release(project: str = "trtplugin-foo", version: str = "1.0", ops: object = ("Foo",), **changes: object) -> Any:
    """Make a release that fits every machine; `ops` are names or items, `changes` replace keys."""
    file = f"{project.replace('-', '_')}-{version}-py3-none-any.whl"
    return {
        "project": project,
        "version": version,
        "summary": f"The plugin {project}",
        "file": file,
        "url": f"files/{project}/{file}",
        "sha256": "0" * 64,
        "size": 123,
        "uploaded": "2026-11-21T03:00:00Z",
        "requires_python": ">=3.10",
        "requires": [],
        "yanked": False,
        "status": "active",
        "tensorrt": {"full": "", "lean": "", "rtx": ""},
        "machine": "x86_64",
        "glibc": None,
        "cuda": None,
        "sms": [],
        "ptx": [],
        "ops": [op(each) if isinstance(each, str) else each for each in ops],  # type: ignore[attr-defined]
        **changes,
    }


def catalogue(*releases: object) -> bytes:
    """Make the text of a catalogue.json, one release a line."""
    lines = ",\n".join(json.dumps(each, separators=(",", ":")) for each in releases)
    return f'{{"schema": 1, "releases": [\n{lines}{chr(10) if lines else ""}]}}\n'.encode()


class Server:
    """What a server answers, by path: bytes, or a function of the handler; `log` holds (path, headers) of requests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.routes: dict[str, bytes | Callable[[Any], None]] = {}
        self.log: list[tuple[str, dict[str, str]]] = []
        self.statuses: list[int] = []

    @property
    def site(self) -> str:
        """The root of an index."""
        return f"{self.url}/site/"

    def publish(self, *releases: object) -> None:
        """Put a catalogue there."""
        self.routes["/site/catalogue.json"] = catalogue(*releases)

    def answer(self, reply: bytes | Callable[[Any], None]) -> None:
        """Answer this where the catalogue should be."""
        self.routes["/site/catalogue.json"] = reply


@contextmanager
def serve(context: ssl.SSLContext | None = None) -> Iterator[Server]:
    """Run a server in a thread; with ETag and 304, as any server of static files has them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            state.log.append((self.path, dict(self.headers)))
            reply = state.routes.get(self.path)
            if reply is None:
                self.send_error(404)
            elif callable(reply):
                self.close_connection = True
                reply(self)
            else:
                etag = f'"{hash(reply):x}"'
                fresh = self.headers.get("If-None-Match") == etag
                self.send_response(304 if fresh else 200)
                self.send_header("ETag", etag)
                self.send_header("Content-Length", "0" if fresh else str(len(reply)))
                self.end_headers()
                self.wfile.write(b"" if fresh else reply)

        def send_response(self, code: int, message: str | None = None) -> None:
            state.statuses.append(code)
            super().send_response(code, message)

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Clients that give up are what many tests are about."""

    server = Quiet(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    state = Server(f"http{'s' if context else ''}://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
