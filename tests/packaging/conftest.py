"""A fresh environment for each package that is built, outside of the checkout and without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from packaging_helpers import ROOT, Built, House, finished


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both distributions of this checkout, by the build backend that is installed here."""
    out = tmp_path_factory.mktemp("dist")
    finished(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    return Built(sdist, wheel)


def _house(folder: Path, package: Path) -> House:
    """Install a distribution alone; what it depends on is borrowed from the environment of this suite.

    Above it stands a git repository that is not ours, as above many an environment in a project's folder.
    """
    (folder / ".git").mkdir()
    house = House(folder / "venv")
    finished(sys.executable, "-m", "venv", "--without-pip", house.folder, cwd=folder)
    (site,) = house.folder.glob("lib/python3*/site-packages")
    # What is installed there stays as it is: --ignore-installed below never removes the package of this suite.
    borrowed = [one for one in sys.path if one.endswith("site-packages")]
    (site / "borrowed.pth").write_text("\n".join(borrowed) + "\n", "utf-8")
    finished(
        sys.executable, "-m", "pip", "--quiet", "--python", house.python, "install", "--no-deps", "--no-index",
        "--no-build-isolation", "--ignore-installed", package, cwd=folder,
    )  # fmt: skip
    return house


@pytest.fixture(scope="session")
def wheel_house(built: Built, tmp_path_factory: pytest.TempPathFactory) -> House:
    """An environment with the wheel."""
    return _house(tmp_path_factory.mktemp("wheel"), built.wheel)


@pytest.fixture(scope="session")
def sdist_house(built: Built, tmp_path_factory: pytest.TempPathFactory) -> House:
    """An environment with the source distribution."""
    return _house(tmp_path_factory.mktemp("sdist"), built.sdist)
