"""``python -m evolve_llm``: the program ``evolve-llm``, to be started with an interpreter of one's choice."""

import os
import sys

# Python puts the current folder first for -m, where a random.py of the user's would hide Python's own. The console
# script does not, so nothing else may be imported before it is taken away; module:name looks there all the same.
if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109 - os is loaded by now, pathlib is not
    del sys.path[0]

from evolve_llm.cli.main import main

sys.argv[0] = "evolve-llm"
main()
