"""``experiments/contract_mutants/run.py`` as a module: other studies have a ``run.py`` too."""

from __future__ import annotations

import importlib.util
from pathlib import Path

_PATH = Path(__file__).resolve().parents[2] / "experiments" / "contract_mutants" / "run.py"
_SPEC = importlib.util.spec_from_file_location("contract_mutants_run", _PATH)
assert _SPEC is not None
assert _SPEC.loader is not None
suite = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(suite)
