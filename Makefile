# SITS for QGIS. `make demo` makes a crop map on a fresh Debian or Ubuntu; `make test` checks everything.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test stage lint format scan zip bench dev locks clean

UV_VERSION := 0.13.8
# Alone in its folder, which goes on the PATH of QGIS: a `python3` beside it would lead QGIS's Python astray.
UV := build/tools/uv
# Debian's Python: the one that QGIS's Python modules belong to.
SYSTEM_PYTHON := /usr/bin/python3
PYTHON := .venv/bin/python
QGIS_PYTHON := build/qgis-venv/bin/python
# uv doesn't read pip's settings: a folder of wheels given to pip serves uv, too.
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)
export UV_NO_PROGRESS ?= 1

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

demo: stage $(UV) ## simulated region -> model -> crop map -> report, through real qgis_process
	$(SYSTEM_PYTHON) tools/demo.py

test: dev stage ## everything: lint, engine, plugin, headless, package, GUI
	@status=0; $(MAKE) lint || status=1; $(SYSTEM_PYTHON) tools/run_tests.py || status=1; \
	  [ $$status -eq 0 ] || echo "make test: something failed, see above"; exit $$status

build/.system: tools/system_packages.sh
	tools/system_packages.sh
	@mkdir -p build && touch $@

$(UV): build/.system
	$(SYSTEM_PYTHON) -m venv build/uv-venv
	build/uv-venv/bin/python -m pip install --quiet "uv==$(UV_VERSION)"
	@mkdir -p build/tools && ln -sf ../uv-venv/bin/uv $@

dev: .venv/.ready .venv/bin/sits build/qgis-venv/.ready ## .venv for the engine, build/qgis-venv for tests inside QGIS's Python

.venv/.ready: engine/requirements/dev.txt | $(UV)
	test -x $(PYTHON) || $(UV) venv --quiet --python 3.11 .venv
	$(UV) pip install --quiet --python .venv --require-hashes --only-binary :all: \
	  --index-strategy unsafe-best-match $(if $(UV_FIND_LINKS),,--extra-index-url https://download.pytorch.org/whl/cpu) \
	  -r engine/requirements/dev.txt
	touch $@

.venv/bin/sits: tools/sits.sh | .venv/.ready
	install -m 755 tools/sits.sh $@

build/qgis-venv/.ready: tools/qgis-venv.txt | $(UV)
	$(UV) venv --quiet --clear --system-site-packages --python $(SYSTEM_PYTHON) build/qgis-venv
	$(UV) pip install --quiet --python build/qgis-venv -r tools/qgis-venv.txt
	touch $@

stage: build/.system ## build/stage/sits_qgis, a farm of links: QGIS_PLUGINPATH=build/stage loads it
	$(SYSTEM_PYTHON) tools/stage.py

lint: dev ## ruff (format and rules), mypy strict on the engine, directions of imports
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy
	PYTHONPATH=engine $(PYTHON) -m pytest -q engine/tests/test_import_directions.py

format: dev ## let ruff format and repair
	.venv/bin/ruff format .
	.venv/bin/ruff check --fix .

zip: build/.system ## dist/sits_qgis-<version>.zip, ready for "Install from ZIP"
	$(SYSTEM_PYTHON) tools/make_zip.py

scan: zip dev ## what the plugin repository checks on upload, on the built zip
	$(PYTHON) tools/scan.py

bench: dev ## all goals of speed in one table, on this machine (BENCH="--quick", "--json FILE", "--device cuda")
	PYTHONPATH=engine $(PYTHON) benchmarks/table.py $(BENCH)

locks: $(UV) ## solve engine/requirements/*.txt again (versions with hashes)
	tools/make_locks.sh $(UV)

clean: ## remove what make made, the demo and its engine as well
	rm -rf build dist .venv .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
