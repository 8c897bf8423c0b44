"""No text shows keys, wherever addresses stand in it and whoever wrote it."""

import logging

import pytest

from sits_engine import addresses
from sits_engine.addresses import guard_logs, hide, public
from sits_engine.errors import EngineError


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(addresses, "_hidden", addresses.OrderedDict())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("S2_2023.tif?sig=GEHEIM&se=2026: TIFFReadDirectory:Failed", "S2_2023.tif TIFFReadDirectory:Failed"),
        ("a.jp2?GEHEIM, band 1: IReadBlock failed", "a.jp2 band 1: IReadBlock failed"),
        ("image?X-Amz-Signature=GEHEIM, band 1", "image band 1"),
        ("Which? b=3 and C:/a?b", "Which? b=3 and C:/a?b"),
    ],
)  # fmt: skip
def test_queries_behind_bare_names(text, shown):
    assert public(text) == shown


@pytest.mark.parametrize("system", ["", "/vsicurl/"])
def test_what_was_opened_is_known(system):
    hide(f"{system}http://user7:hunter2@host/x.bin?GEHEIM123")
    said = public("x.bin?GEHEIM123 of user7:hunter2, that is hunter2: GEHEIM123")
    assert said == "x.bin?(hidden) of (hidden), that is (hidden): (hidden)"
    for number in range(3000):
        hide(f"http://host/x?number={number}")
    assert len(addresses._hidden) == 2000


def test_details_of_errors_are_clean_to_the_last():
    error = EngineError("NETWORK", "m", one=["http://h/a?k=1"], two={"w": "a.tif?k=1", "n": 3})
    assert error.details == {"one": ["http://h/a"], "two": {"w": "a.tif", "n": 3}}


def test_logs_of_others_are_clean(capsys):
    """Message, arguments and tracebacks with all causes, whoever formats them."""
    before = logging.getLogRecordFactory()
    handler, logger = logging.StreamHandler(), logging.getLogger("of.another")
    logger.addHandler(handler)
    try:
        guard_logs()
        guard_logs()
        try:
            try:
                raise OSError("S2.tif?sig=GEHEIM1: broken")
            except OSError as error:
                raise ValueError("/vsicurl/http://u:GEHEIM2@h/S2.tif?sig=GEHEIM3") from error
        except ValueError:
            logger.exception("at %s", "http://h/S2.tif?sig=GEHEIM4")
    finally:
        logging.setLogRecordFactory(before)
        logger.removeHandler(handler)
    said = capsys.readouterr().err
    assert "GEHEIM" not in said
    for part in ("at http://h/S2.tif", "OSError: S2.tif broken", "ValueError: /vsicurl/http://h/S2.tif"):
        assert part in said
