"""One run of evolve-llm for ``peers.py``: ``python ours.py JOB.json``. Prints the seconds it took as JSON."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    import openai  # noqa: F401 - imports are not what is measured

    from evolve_llm import Problem, evolve
    from evolve_llm.engine import evolution

    # a simulated engine's time is not ours; more looks than twenty a second would cost more than they tell
    evolution.INTERVAL = max(0.05, evolution.INTERVAL / job["speed_up"])
    problems = [Problem(f"p{i}", question, "locks") for i, question in enumerate(job["questions"])]
    engine = {"base_url": job["base_url"], **({"capacity": job["tuned"]} if job["tuned"] else {})}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        evolve(
            problems,
            "rsa",
            f"openai:{job['model']}",
            out=Path(folder) / "run",
            engine=engine,
            seed=job["seed"],
            population=job["N"],
            parents=job["K"],
            generations=job["T"],
            sampling={"max_tokens": job["max_tokens"]},
        )
        print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
