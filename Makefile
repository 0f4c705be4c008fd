# `make run` starts Earthshine; `make test` runs every check. Both set up what they need.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
UV := .tools/bin/uv
VENV := .venv
BIN := $(VENV)/bin
UI := src/earthshine/control/ui/dist/index.html
UI_SOURCES := $(shell find web -path web/node_modules -prune -o -type f -not -name '*.gen.ts' -not -name openapi.json -print)
export PATH := $(CURDIR)/$(BIN):$(PATH)
export UV_NO_PROGRESS := 1

.PHONY: help run test coverage bench bench-desktop bench-moonlight wheel lock ui lint types clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: .packages-run $(VENV)/.run $(UI) ## Start the control plane and a runner on this machine
	@exec $(BIN)/earthshine up $(ARGS)

test: .packages-test $(VENV)/.dev $(UI) ## Run every check and every test
	@scripts/test

coverage: .packages-test $(VENV)/.dev $(UI) ## Run the tests that share the machine, and say what they reach
	@$(BIN)/pytest -q -n 4 -m "not serial and not pair and not browser" --cov --cov-report=term:skip-covered

bench: .packages-test $(VENV)/.dev $(UI) ## Measure, beside peers and the machine's limits
	@$(BIN)/python -m benchmarks $(ARGS)

bench-desktop: .packages-test $(VENV)/.dev $(UI) ## Measure desktops in a browser, beside noVNC, Selkies and guacd
	@scripts/desktop-clients && scripts/desktop-peers && scripts/guacd >/dev/null
	@$(BIN)/python -m benchmarks desktop $(ARGS)

bench-moonlight: .packages-test $(VENV)/.dev ## Measure the GameStream host, library and client
	@$(BIN)/python -m benchmarks moonlight_library moonlight moonlight_desktop $(ARGS)

wheel: .packages-run $(VENV)/.run $(UI) ## Build dist/earthshine-*.whl, with the UI in it, for other machines
	@$(BIN)/python -m hatchling build -t wheel

lint: $(VENV)/.dev ## Format, lint and check the direction of imports
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/lint-imports --no-cache

types: $(VENV)/.dev ## Check types
	$(BIN)/mypy

ui: $(UI) ## Build the web UI into the package

lock: $(UV) ## Resolve the dependencies again
	$(UV) pip compile -q --upgrade --universal --generate-hashes --no-header --no-emit-index-url --no-annotate pyproject.toml --extra desktop --extra discovery --group build -o requirements/run.lock
	$(UV) pip compile -q --upgrade --universal --generate-hashes --no-header --no-emit-index-url --no-annotate pyproject.toml --extra desktop --extra discovery --group dev -o requirements/dev.lock

clean: ## Remove environments and build output
	rm -rf .tools $(VENV) web/node_modules dist build src/earthshine/control/ui/dist

.PHONY: .packages-run .packages-test
.packages-run:
	@scripts/debian-packages python3-venv git
.packages-test: .packages-run
	@scripts/debian-packages $$(cat requirements/debian-test.txt)

$(UV): requirements/uv.lock
	@echo "earthshine: preparing uv"
	@$(PYTHON) -m venv .tools
	@.tools/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@touch $@

$(VENV)/bin/python: | $(UV)
	@$(UV) venv -q --python $(PYTHON) $(VENV)

# A development environment already contains what running needs.
$(VENV)/.run: requirements/run.lock pyproject.toml | $(VENV)/bin/python
	@echo "earthshine: installing Python packages"
	@if [ -e $(VENV)/.dev ]; then $(MAKE) -s $(VENV)/.dev; else \
	  $(UV) pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/run.lock && \
	  $(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .; fi
	@scripts/link-node $(VENV)
	@touch $@

$(VENV)/.dev: requirements/dev.lock pyproject.toml | $(VENV)/bin/python
	@echo "earthshine: installing Python packages for development"
	@$(UV) pip install -q --compile-bytecode --python $(BIN)/python --require-hashes -r requirements/dev.lock
	@$(UV) pip install -q --python $(BIN)/python --no-deps --no-build-isolation -e .
	@scripts/link-node $(VENV)
	@touch $@ $(VENV)/.run

web/node_modules/.ready: web/package.json web/package-lock.json | $(VENV)/.run
	@echo "earthshine: installing the UI's packages"
	@cd web && npm ci --silent --no-fund --no-audit
	@touch $@

$(UI): $(UI_SOURCES) web/node_modules/.ready
	@echo "earthshine: building the UI"
	@$(BIN)/earthshine openapi > web/openapi.json
	@cd web && npm run --silent build
