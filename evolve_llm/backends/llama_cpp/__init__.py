"""llama.cpp embedded in this process, with weights from a file, a package or the hub."""
