"""One run of Squeeze-Evolve for ``peers.py``: ``python squeeze.py JOB.json``. Prints the seconds it took as JSON.

What runs is the checkout's own ``RoutingOrchestrator`` with one model at the defaults of its configuration
(batches of 32, one after another). Its fitness is ``diversity``, which asks the model nothing: ``confidence``, the
default, would add a scoring request for each candidate. Evaluation is off, and the prompt is ours.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any


def prompt(query: str, candidates: list[str], **_: Any) -> str:
    return "<" + "".join(f"{one}|" for one in candidates) + query + ">"


def main() -> None:
    job = json.loads(Path(sys.argv[1]).read_text())
    sys.path.insert(0, str(Path(job["path"]) / "src"))
    from squeeze_evolve.algorithm.operators import evaluation, recombination
    from squeeze_evolve.algorithm.orchestrator import RoutingOrchestrator
    from squeeze_evolve.core.config import ModelConfig, RoutingConfig, RunConfig

    recombination.register("locks")(prompt)
    evaluation.register("off")(lambda *_, **__: {})
    tuned = job["tuned"]
    routing = RoutingConfig(
        k=job["K"],
        population=job["N"],
        loops=job["T"],
        fitness="diversity",
        recombination="locks",
        evaluation="off",
        seed=job["seed"],
        **({"generation_batch_size": tuned} if tuned else {}),
    )
    model = ModelConfig(
        name=job["model"],
        base_url=job["base_url"],
        max_tokens=job["max_tokens"],
        **({"max_concurrency": tuned} if tuned else {}),
    )
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        config = RunConfig(
            run_name="study",
            routing=routing,
            models=[model],
            checkpoint_dir=f"{folder}/checkpoints",
            metrics_path=f"{folder}/metrics.json",
        )
        problems = [{"orig_prompt": question} for question in job["questions"]]
        asyncio.run(RoutingOrchestrator(config).run(problems))
        print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
