# Everything runs in .venv, which the first target that needs it creates.
#
#   make install   everything, for development
#   make demo      a whole search of a real composition (SEED=1)
#   make demo-dft  the same labelled by density-functional theory, with GPAW (SEED=1)
#   make test      linters, types, layers, tests
#
# Another interpreter: make install PYTHON=/path/to/python3.12

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PYTHON ?=
SEED ?= 1
PYTEST_FLAGS ?=
DEMO_HOME := .pyrite-demo
# GPAW is built against these; its data come with it.
GPAW_NEEDS := GPAW needs libxc and BLAS, and an MPI for several processes (Debian, Ubuntu: \
	apt-get install gcc libxc-dev libopenblas-dev libopenmpi-dev)
HAS_LIBXC := printf '\#include <xc.h>' | $(CC) -E - >/dev/null 2>&1
PACKAGE := pyproject.toml constraints.txt src/pyrite/__init__.py

# One thread per process, and an allocator that keeps freed memory: giving it back to the system
# costs SchNetPack up to a factor of 3 on the CPU.
export OMP_NUM_THREADS := 1
export MALLOC_MMAP_THRESHOLD_ := 4294967296
export MALLOC_TRIM_THRESHOLD_ := 17179869184
# Installing and building read nothing from the caller's packages.
unexport PYTHONPATH

.PHONY: install demo demo-dft test lint format clean

# GPAW is looked for each time, since its libraries may come later.
install: $(VENV)/.installed
	@if $(HAS_LIBXC); then $(MAKE) --silent $(VENV)/.installed-gpaw; else \
		echo "Left out: GPAW, whose tests are skipped. $(GPAW_NEEDS)"; \
	fi

$(BIN)/python:
	@for python in $(PYTHON) python3.12 python3 "$$HOME"/.pyenv/versions/3.12*/bin/python; do \
		if "$$python" -c 'import ensurepip, sys, venv; sys.exit(not (3, 12) <= sys.version_info < (3, 14))' 2>/dev/null; then \
			echo "Creating $(VENV) with $$("$$python" -c 'import sys; print(sys.executable, sys.version.split()[0])')"; \
			exec "$$python" -m venv $(VENV); \
		fi; \
	done; \
	echo "Pyrite needs Python 3.12 or 3.13 with its venv module, and found neither python3.12, nor a" >&2; \
	echo "python3 of that version, nor one of pyenv's. Install one (Debian, Ubuntu: python3.12-venv;" >&2; \
	echo "pyenv: pyenv install 3.12), or name it: make install PYTHON=/path/to/python3.12" >&2; \
	exit 1

$(VENV)/.installed: $(PACKAGE) | $(BIN)/python
	@echo "Installing Pyrite, its engines and tools: a few minutes and about 6 GB the first time"
	@if $(HAS_LIBXC) && $(PIP) install --quiet --constraint constraints.txt --editable ".[all,dev,gpaw]"; then \
		touch $(VENV)/.installed-gpaw; \
	else \
		$(PIP) install --quiet --constraint constraints.txt --editable ".[all,dev]"; \
	fi
	@touch $@ $(VENV)/.installed-demo

$(VENV)/.installed-gpaw: $(PACKAGE) | $(BIN)/python
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[gpaw]"
	@touch $@

# What the demo needs: the reference and the store, no tools.
$(VENV)/.installed-demo: $(PACKAGE) | $(BIN)/python
	@echo "Installing Pyrite with CHGNet and the embedded store: a few minutes and about 6 GB"
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[chgnet,embedded]"
	@touch $@

$(VENV)/.installed-demo-dft: $(PACKAGE) | $(BIN)/python
	@$(HAS_LIBXC) || { echo "$(GPAW_NEEDS)" >&2; exit 1; }
	@echo "Installing Pyrite with GPAW and the embedded store: a few minutes and about 6 GB"
	@$(PIP) install --quiet --constraint constraints.txt --editable ".[embedded,gpaw]"
	@touch $@

demo: $(VENV)/.installed-demo
	$(BIN)/pyrite run --preset demo --home $(DEMO_HOME) --name demo-seed-$(SEED) --seed $(SEED)
	$(BIN)/python -m benchmarks.check_demo --home $(DEMO_HOME) --name demo-seed-$(SEED) \
		--known nacl-rocksalt

demo-dft: $(VENV)/.installed-demo-dft
	$(BIN)/pyrite run --preset demo-dft --home $(DEMO_HOME) --name demo-dft-seed-$(SEED) --seed $(SEED)
	$(BIN)/python -m benchmarks.check_demo --home $(DEMO_HOME) --name demo-dft-seed-$(SEED) \
		--known si-diamond

test: lint
	$(BIN)/pytest $(PYTEST_FLAGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
