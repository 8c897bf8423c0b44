"""A model hub on the loopback interface: as much of Hugging Face's HTTP interface as a download needs."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class ModelHub:
    """One model, the files of a folder, at one commit that the branch 'main' points to.

    Attributes:
        requests: (method, path, headers) as received.
        damage: name of a file that is sent with a changed byte.
        hold: event that large files wait for after their first half; None sends at once.
        gated: answers are those of a model with terms to agree to.
        claimed: commit that is stated whatever was asked for; None: the true one.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.damage = ""
        self.hold: threading.Event | None = None
        self.gated = False
        self.claimed: str | None = None
        self.url = ""

    def info(self) -> dict[str, object]:
        siblings = []
        for path in sorted(self.folder.iterdir()):
            content = path.read_bytes()
            one: dict[str, object] = {"rfilename": path.name, "size": len(content), "blobId": "0" * 40}
            if path.suffix in (".safetensors", ".bin"):
                sha256 = hashlib.sha256(content).hexdigest()
                one["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(one)
        return {"id": self.name, "modelId": self.name, "sha": self.claimed or COMMIT, "siblings": siblings}

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        self.requests.append((handler.command, path, dict(handler.headers.items())))
        if self.gated:
            return send(handler, 403, b"{}", {"X-Error-Code": "GatedRepo"})
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        named = api or file
        if named is None or named[1] != self.name:
            return send(handler, 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if named[2] not in ("main", COMMIT):
            return send(handler, 404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        if api:
            return send(handler, 200, json.dumps(self.info()).encode(), {"Content-Type": "application/json"})
        content = (self.folder / named[3]).read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if named[3] == self.damage:
            content = content[:-1] + bytes([content[-1] ^ 1])
        hold = self.hold if len(content) > 50_000 else None
        return send(handler, 200, content, headers, hold)


def send(
    handler: BaseHTTPRequestHandler,
    status: int,
    content: bytes,
    headers: dict[str, str],
    hold: threading.Event | None = None,
) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    if handler.command == "HEAD":
        return
    half = len(content) // 2
    handler.wfile.write(content[:half])
    if hold is not None:
        handler.wfile.flush()
        hold.wait(20)
    handler.wfile.write(content[half:])


@contextmanager
def model_hub(name: str, folder: Path) -> Iterator[ModelHub]:
    """Serve the files of `folder` as the model `name`."""
    hub = ModelHub(name, folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):  # the other side gave up
                hub.answer(self)

        do_HEAD = do_GET

        def log_message(self, *_arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        if hub.hold is not None:
            hub.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
