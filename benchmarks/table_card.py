"""Lines of the table on a graphics card. This code has never run on one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from table_rows import NETWORKS, Row, Settings

CARD: Mapping[str, Callable[[Settings], list[Row]]] = {**NETWORKS}
