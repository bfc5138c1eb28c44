"""A file is there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from evolve_llm.basics.whole_file import whole_file, write_whole
from evolve_llm.nouns.errors import StoreError


def test_a_text_is_written_under_its_name_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    write_whole(target, "é\n")
    write_whole(target, "new\n")
    assert target.read_text("utf-8") == "new\n"
    assert list(tmp_path.iterdir()) == [target]


def test_what_fails_on_the_way_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def half() -> None:
        with whole_file(target) as part:
            part.write_text("half")
            assert target.read_text() == "old"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot write .*nowhere.a: No such file"):
        write_whole(tmp_path / "nowhere" / "a", "text")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreError, match="directory"):
        write_whole(tmp_path / "folder", "text")
    assert [one.name for one in tmp_path.iterdir()] == ["folder"]
