"""The report: one file of bounded texts that needs nothing else."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from evolve_llm.nouns.errors import UserError
from evolve_llm.view import report


def _data(file: Path) -> dict[str, Any]:
    found = re.search(r'id="data">([^<]*)<', file.read_text("utf-8"))
    assert found
    data: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return data


def test_texts_are_those_that_were_wanted(runs: Path, tmp_path: Path) -> None:
    for texts, count in (("none", 0), ("answers", 2), ("all", 32)):
        report.write([runs / "hostile"], tmp_path / "report.html", texts)
        data = _data(tmp_path / "report.html")
        assert sum(name.startswith("candidate?") for name in data) == count


def test_a_long_text_is_cut_and_says_so(runs: Path, tmp_path: Path) -> None:
    size = report.write([runs / "hostile"], tmp_path / "report.html", "all")
    assert size == (tmp_path / "report.html").stat().st_size < 1_000_000
    text = _data(tmp_path / "report.html")["candidate?run=hostile&place=0&uid=1.5"]["candidate"]["text"]
    assert text.endswith("[cut here: 980,000 more characters stand in the run directory]")


def test_no_model_text_stands_in_the_file_itself(runs: Path, tmp_path: Path) -> None:
    report.write([runs / "hostile"], tmp_path / "report.html", "all")
    assert "canary" not in (tmp_path / "report.html").read_text("utf-8")


@pytest.mark.parametrize(("given", "texts"), [([], "all"), (["none"], "all"), (["hostile"], "some")])
def test_a_wrong_wish_is_one_error(runs: Path, tmp_path: Path, given: list[str], texts: Any) -> None:
    with pytest.raises(UserError):
        report.write([runs / name for name in given], tmp_path / "report.html", texts)
    assert not (tmp_path / "report.html").exists()
