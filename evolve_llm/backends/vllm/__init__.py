"""vLLM in this process: the engine, its child process, LoRA, reasoning parsers."""
