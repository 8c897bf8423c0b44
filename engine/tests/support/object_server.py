"""A server of files on the loopback interface that understands ranges, and misbehaves when told to."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: What the server can do instead of answering: a status, or "reset" (before any byte), "cut" (half of the
#: body), "stall" (silence), "whole" (no ranges), "damage" (wrong bytes).
Fault = int | str


@dataclass(frozen=True)
class Seen:
    """A request as it came: path without query, the query, range in bytes and what was answered."""

    method: str
    path: str
    query: str
    range: str
    headers: dict[str, str]
    status: int
    sent: int


@dataclass
class ObjectServer:
    """Files of a folder over HTTP.

    Attributes:
        once: faults of a path's coming requests, used up one by one.
        always: the fault of every request for a path.
        seen: all requests; kept in the order in which their answers began.
        stall: seconds that a stalled answer takes.
    """

    folder: Path
    url: str = ""
    once: dict[str, list[Fault]] = field(default_factory=dict)
    always: dict[str, Fault] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    stall: float = 30.0
    retry_after: str = "0"
    stopped: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def fault(self, path: str) -> Fault | None:
        """The fault of a request, if one is wanted."""
        with self.lock:
            for name, waiting in self.once.items():
                if path.endswith(name) and waiting:
                    return waiting.pop(0)
            return next((fault for name, fault in self.always.items() if path.endswith(name)), None)

    def tries(self, name: str) -> int:
        """Requests for a path so far."""
        return sum(request.path.endswith(name) for request in self.seen)

    @property
    def sent(self) -> int:
        """Bytes of all bodies."""
        return sum(request.sent for request in self.seen)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    objects: ObjectServer

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        objects = self.objects
        parts = urlsplit(self.path)
        path = unquote(parts.path)
        fault = objects.fault(path)
        file = objects.folder / path.lstrip("/")
        wanted = self.headers.get("Range", "")
        status, content, total = 404, b"", 0
        if file.is_file():
            content = file.read_bytes()
            total, status = len(content), 200
            if wanted and fault != "whole":
                first, last = (int(end) if end else None for end in wanted.removeprefix("bytes=").split("-"))
                assert first is not None
                last = min(total - 1, total - 1 if last is None else last)
                status, content = (206, content[first : last + 1]) if first <= last else (416, b"")
        if isinstance(fault, int):
            status, content = fault, b""
        sent = len(content) if body else 0
        with objects.lock:
            objects.seen.append(
                Seen(self.command, path, parts.query, wanted, dict(self.headers.items()), status, sent)
            )
        if fault == "reset":
            self._reset()
            return
        if fault == "stall":
            objects.stopped.wait(objects.stall)
            self.close_connection = True
            return
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{last}/{total}")
        if fault != "whole":
            self.send_header("Accept-Ranges", "bytes")
        if status == 429:
            self.send_header("Retry-After", objects.retry_after)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Sat, 01 Jun 2019 00:00:00 GMT")
        self.end_headers()
        if not body:
            return
        if fault == "damage" and len(content) > 64:
            content = bytes(byte ^ 0x5A for byte in content)
        if fault == "cut":
            self.wfile.write(content[: len(content) // 2])
            self.wfile.flush()
            time.sleep(0.05)
            self._reset()
            return
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(content)

    def _reset(self) -> None:
        """Close with an RST, as a server that dies."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        with suppress(OSError):
            self.connection.close()


@contextmanager
def serving(folder: Path, *, certificate: tuple[Path, Path] | None = None) -> Iterator[ObjectServer]:
    """A running server of `folder`; with a certificate and its key it speaks https."""
    objects = ObjectServer(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"objects": objects}))
    server.daemon_threads = True
    server.handle_error = lambda *args: None  # type: ignore[method-assign]  # clients that hang up are wanted
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*map(str, certificate))
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    objects.url = f"{scheme}://127.0.0.1:{server.server_port}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield objects
    finally:
        objects.stopped.set()
        server.shutdown()
        server.server_close()
