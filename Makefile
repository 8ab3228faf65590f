# Two commands are all a newcomer needs: `make run` and `make test`.
#   make run [ARGS=--tour]           everything on this machine, on loopback, with a demo country
#   make test [ARGS='-k spool'] [JOBS=1]  installs what the tests need (as root) and runs them all, two files at a time
#   make check                       style, types, layers, texts, rules
#   make bench ARGS='relay|sensor|pipeline [--quick]'
#   make soak [ARGS=…]               the long runs
SHELL := /bin/bash
# The interpreter: that of the environment that is there, else the system's, which distributions build with profiles (it
# costs the relay some 7 % less CPU than a plain build), else what PATH has.
PYTHON ?= $(shell readlink -e .venv/bin/python || { /usr/bin/python3 -c "$(FIT)" 2>/dev/null && echo /usr/bin/python3; } || echo python3)
FIT := import ensurepip, sys; sys.exit(sys.version_info < (3, 11))
VENV := .venv
JOBS ?= 2
UV_VERSION := 0.13.9
export UV_PROJECT_ENVIRONMENT := $(VENV)
export UV_PYTHON_DOWNLOADS := never
export PYTHONUTF8 := 1

.PHONY: run test check format bench soak clean setup setup-dev

run: setup
	@$(VENV)/bin/hudhud up $(ARGS)

test: setup-dev
	@bash tests/install.sh
	@$(VENV)/bin/pytest -n $(JOBS) --dist loadgroup $(ARGS)

check: setup-dev
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache
	@$(VENV)/bin/hudhud rules check
	@$(VENV)/bin/pytest -q tests/hudhud/test_i18n.py

format: setup-dev
	@$(VENV)/bin/ruff check --fix .
	@$(VENV)/bin/ruff format .

bench: setup-dev
	@$(VENV)/bin/hudhud bench $(ARGS)

soak: setup-dev
	@$(VENV)/bin/hudhud soak $(ARGS)

clean:
	rm -rf $(VENV) .bootstrap .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

# The locked environment. uv is taken from the machine, or from the package index into .bootstrap.
setup: $(VENV)/.run
setup-dev: $(VENV)/.dev

$(VENV)/.run: pyproject.toml uv.lock
	@$(call sync,--no-dev --inexact)
	@touch $@

$(VENV)/.dev: pyproject.toml uv.lock
	@$(call sync,)
	@touch $@ $(VENV)/.run

define sync
command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: apt install python3 python3-venv" >&2; exit 3; }; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; set PYTHON=python3.11" >&2; exit 3; }; \
uv=$$(command -v uv || true); \
if [ -z "$$uv" ]; then \
  [ -x .bootstrap/bin/uv ] || { $(PYTHON) -m venv .bootstrap || { echo "a virtual environment cannot be made: apt install python3-venv" >&2; exit 3; }; \
    .bootstrap/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION); } || exit 3; \
  uv=.bootstrap/bin/uv; \
fi; \
"$$uv" sync --frozen --quiet --python $(PYTHON) $(1)
endef
