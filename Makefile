# Every target does its own set-up: a fresh machine needs Python 3.11 or newer and make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo serve doctor test lint format bench constraints clean

help:            ## this list
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## ?/\t/' | expand -t 14

demo: $(VENV)/.runtime   ## simulated events to a delivered report
	$(BIN)/analytics-platform demo

serve: $(VENV)/.runtime  ## the Dagster UI and daemon on 127.0.0.1:3000
	$(BIN)/analytics-platform serve

doctor: $(VENV)/.runtime ## settings, connections, what is missing
	$(BIN)/analytics-platform doctor

test: $(VENV)/.test      ## all tests; absent servers are skipped with the package to install
	@# Tests start many processes, each of which would compile all that it imports if no bytecode were kept.
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: $(VENV)/.test      ## format, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test    ## format and sort imports
	$(BIN)/ruff check --fix --select I .
	$(BIN)/ruff format .

bench: $(VENV)/.test     ## speed and memory, as ratios measured side by side
	$(BIN)/python -m benchmarks $(ARGS)

constraints:     ## pin every package anew (needs uv)
	uv pip compile -q --upgrade pyproject.toml --extra test --no-header --no-annotate -o constraints.new
	(echo '# Every package that this project installs, by name and version. Made by `make constraints`.'; \
	  cat constraints.new) > constraints.txt && rm constraints.new

clean:           ## remove the virtual environment and caches, never data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info

$(VENV)/.runtime: pyproject.toml constraints.txt
	@$(call install,.)
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	@$(call install,.[test])
	@touch $@ $(VENV)/.runtime

# uv installs the same versions in a sixth of the time; it is used when it is there and never required.
define install
set -e; \
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12"; exit 1; }; \
echo "installing $(1) into $(VENV) ..."; \
if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then \
  test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV); \
  uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '$(1)'; \
else \
  test -x $(BIN)/python || $(PYTHON) -m venv $(VENV); \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '$(1)'; \
fi
endef
