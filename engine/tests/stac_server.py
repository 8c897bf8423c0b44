"""A small STAC API on the loopback interface: it filters, pages, can want a key, and serves files."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/item-search#query",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
]


class StacServer:
    """Items in memory, files of a folder.

    Attributes:
        page: largest number of items an answer holds.
        key: value that the header Authorization must have, if any.
        requests: (method, path, body, headers) as received.
    """

    def __init__(self, items: list[dict[str, Any]], folder: Path, page: int, key: str | None) -> None:
        self.items, self.folder, self.page, self.key = items, folder, page, key
        self.requests: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        self.next_host: str | None = None
        self.url = ""

    def landing(self) -> dict[str, Any]:
        links = [
            {"rel": "self", "href": self.url, "type": "application/json"},
            {"rel": "root", "href": self.url, "type": "application/json"},
            {"rel": "data", "href": f"{self.url}collections", "type": "application/json"},
            {"rel": "search", "href": f"{self.url}search", "type": "application/geo+json", "method": "GET"},
            {"rel": "search", "href": f"{self.url}search", "type": "application/geo+json", "method": "POST"},
        ]
        return {
            "type": "Catalog",
            "stac_version": "1.0.0",
            "id": "test",
            "description": "test",
            "conformsTo": CONFORMS,
            "links": links,
        }

    def collection(self, name: str) -> dict[str, Any]:
        return {
            "type": "Collection",
            "stac_version": "1.0.0",
            "id": name,
            "description": name,
            "license": "other",
            "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}},
            "links": [
                {"rel": "self", "href": f"{self.url}collections/{name}"},
                {"rel": "root", "href": self.url},
                {"rel": "items", "href": f"{self.url}collections/{name}/items"},
            ],
        }

    def search(self, ask: dict[str, Any], path: str) -> dict[str, Any]:
        """One page of the items that fit, with a link to the next one."""
        found = [item for item in self.items if fits(item, ask)]
        start = int(ask.get("token", 0))
        stop = start + min(self.page, int(ask.get("limit", 10)))
        links = []
        if stop < len(found):
            more = {**ask, "token": stop}
            host = self.next_host or self.url
            if path.endswith("/search") and ask.get("_method") == "POST":
                links.append(
                    {"rel": "next", "href": f"{host}search", "method": "POST", "body": more, "merge": False}
                )
            else:
                plain = {
                    k: v if isinstance(v, (str, int)) else ",".join(map(str, v)) for k, v in more.items()
                }
                links.append({"rel": "next", "href": f"{host.rstrip('/')}{path}?{urlencode(plain)}"})
        return {"type": "FeatureCollection", "features": found[start:stop], "links": links}

    @property
    def pages(self) -> int:
        """Answers with items so far."""
        return sum("search" in path or path.endswith("/items") for _, path, _, _ in self.requests)


def fits(item: dict[str, Any], ask: dict[str, Any]) -> bool:
    """True where an item fits bbox, datetime, collections and the cloud limit of a search."""
    if ask.get("collections") and item["collection"] not in ask["collections"]:
        return False
    if ask.get("bbox"):
        west, south, east, north = (float(v) for v in ask["bbox"])
        w, s, e, n = item["bbox"]
        if w > east or e < west or s > north or n < south:
            return False
    if ask.get("datetime"):
        first, last = ask["datetime"].split("/")
        when = datetime.datetime.fromisoformat(item["properties"]["datetime"].replace("Z", "+00:00"))
        if first != ".." and when < datetime.datetime.fromisoformat(first.replace("Z", "+00:00")):
            return False
        if last != ".." and when > datetime.datetime.fromisoformat(last.replace("Z", "+00:00")):
            return False
    limit = (ask.get("query") or {}).get("eo:cloud_cover", {}).get("lte")
    return limit is None or item["properties"]["eo:cloud_cover"] <= limit


class _Handler(BaseHTTPRequestHandler):
    server_version = "TestStac"
    protocol_version = "HTTP/1.1"

    @property
    def stac(self) -> StacServer:
        return self.server.stac  # type: ignore[attr-defined]

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.answer({})

    def do_HEAD(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: dict[str, Any]) -> None:
        parts = urlsplit(self.path)
        self.stac.requests.append((self.command, parts.path, body, dict(self.headers)))
        if parts.path.startswith("/files/"):
            return self.send_file(self.stac.folder / parts.path.removeprefix("/files/"))
        if self.stac.key is not None and self.headers.get("Authorization") != self.stac.key:
            return self.send_json({"code": "Unauthorized"}, 401)
        ask: dict[str, Any] = {k: v[0] for k, v in parse_qs(parts.query).items()} | body
        for name in ("bbox", "collections"):
            if isinstance(ask.get(name), str):
                ask[name] = ask[name].split(",")
        ask["_method"] = self.command
        names = parts.path.strip("/").split("/")
        if parts.path == "/":
            return self.send_json(self.stac.landing())
        if names[-1] == "search":
            return self.send_json(self.stac.search(ask, parts.path))
        known = sorted({item["collection"] for item in self.stac.items})
        if names == ["collections"]:
            return self.send_json({"collections": [self.stac.collection(n) for n in known], "links": []})
        if names[0] == "collections" and names[1] in known:
            if len(names) == 2:
                return self.send_json(self.stac.collection(names[1]))
            return self.send_json(self.stac.search({**ask, "collections": [names[1]]}, parts.path))
        return self.send_json({"code": "NotFound"}, 404)

    def send_json(self, plain: dict[str, Any], status: int = 200) -> None:
        self.send_bytes(json.dumps(plain).encode(), status, "application/json")

    def send_file(self, path: Path) -> None:
        if not path.is_file():
            return self.send_json({}, 404)
        data = path.read_bytes()
        wanted = self.headers.get("Range")
        if wanted is None:
            return self.send_bytes(data, 200, "image/tiff")
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, stop = int(first), min(len(data), int(last or len(data) - 1) + 1)
        return self.send_bytes(data[start:stop], 206, "image/tiff", f"bytes {start}-{stop - 1}/{len(data)}")

    def send_bytes(self, data: bytes, status: int, kind: str, content_range: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Accept-Ranges", "bytes")
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def serve(
    items: list[dict[str, Any]], folder: Path, *, page: int = 2, key: str | None = None
) -> Iterator[StacServer]:
    """Run a server on a free port of 127.0.0.1 while the block lasts."""
    stac = StacServer(items, folder, page, key)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.stac = stac  # type: ignore[attr-defined]
    stac.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield stac
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def main(folder: str) -> None:
    """Serve the files of a folder until standard input ends; the address is printed first."""
    import sys

    with serve([], Path(folder)) as server:
        print(server.url, flush=True)
        sys.stdin.read()
