"""One run of RSAHarness for ``peers.py``: ``python rsaharness.py JOB.json``. Prints the seconds it took as JSON.

What runs is the checkout's own ``RSAEngine`` with its ``OpenAIAdapter`` at its defaults (50 threads). Its prompt
builder is replaced, so that the model reads what evolve-llm has it read.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path


def prompt(question: str, candidates: list[str] | None = None, task: str = "") -> str:  # noqa: ARG001
    return "<" + "".join(f"{one}|" for one in candidates or []) + question + ">"


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    sys.path.insert(0, job["path"])
    import openai  # noqa: F401 - imports are not what is measured
    import rsa.engine
    from rsa.adapters.openai_adapter import OpenAIAdapter

    rsa.engine.build_prompt = prompt
    began = time.perf_counter()
    adapter = OpenAIAdapter(
        model=job["model"],
        max_tokens=job["max_tokens"],
        base_url=job["base_url"],
        api_key="none",
        **({"max_workers": job["tuned"]} if job["tuned"] else {}),
    )
    engine = rsa.engine.RSAEngine(
        adapter, population=job["N"], k=job["K"], loops=job["T"], seed=job["seed"], verbose=False
    )
    engine.run(job["questions"])
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
