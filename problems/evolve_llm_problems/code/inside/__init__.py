"""The files that run inside a program's sandbox: standard library alone, and no right output ever in memory."""
