"""What every report must be: one file, no network, valid ids, escaped texts."""

from html.parser import HTMLParser
from pathlib import Path

import pytest

LOADING = {"src", "srcset", "data", "poster", "background", "action", "formaction"}


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.ids, self.references, self.loads, self.tags, self.text = [], set(), [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        for name, value in attrs:
            value = value or ""
            if name == "id":
                self.ids.append(value)
            elif name in ("href", "xlink:href"):
                if value.startswith("#"):
                    self.references.add(value[1:])
                elif not value.startswith("data:image/png;base64,"):
                    self.loads.append(value)
            elif name in LOADING:
                self.loads.append(value)
            self.loads += [name] if name.startswith("on") else []
            if "url(" in value:
                inner = value.split("url(")[1].split(")")[0]
                self.loads += [] if inner.startswith("#") else [inner]
                self.references.add(inner.lstrip("#"))

    handle_startendtag = handle_starttag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def check_page():
    """Parse a report, check the promises, return its text."""

    def check(path: Path) -> str:
        html = path.read_text(encoding="utf-8")
        page = _Page()
        page.feed(html)
        assert page.loads == []
        assert not {"script", "link", "iframe", "object", "embed", "b", "i"} & set(page.tags)
        assert "@import" not in html
        assert len(page.ids) == len(set(page.ids))
        assert page.references <= set(page.ids)
        return " ".join(" ".join(page.text).split())

    return check
