"""What a job uses to talk."""

from sits_engine.context import counted


def test_one_is_not_many():
    assert [counted(n, "tile") for n in (0, 1, 2)] == ["0 tiles", "1 tile", "2 tiles"]
