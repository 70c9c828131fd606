PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: quickstart test test-slow slurm clean

quickstart: .venv/installed  ## train, tabulate and report Table 7 on the data that ships
	$(BIN)/sklab sweep sweeps/kernels.yaml

test: .venv/installed-dev  ## lint, types, import contracts, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

test-slow: .venv/installed-peers .venv/installed-engines slurm  ## fault storms and other long suites
	$(BIN)/pytest -m slow -n 2 --dist loadgroup --durations 30

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(PIP) --editable .
	touch $@

.venv/installed-dev: .venv/installed
	$(PIP) --editable ".[dev]"
	touch $@

# Networks of other libraries, out of the way of all tests but those that ask for them; without their dependencies,
# which would bring another torch.
.venv/installed-peers: .venv/installed-dev
	$(PIP) --no-deps --upgrade --target .venv/peers timm torchvision safetensors
	touch $@

# A real Slurm for the tests of its launcher; where it can't be installed they are skipped.
slurm:
	@command -v slurmctld >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
	{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	slurm-wlm munge; } >/dev/null 2>&1 || echo "no Slurm: its tests will be skipped"

# Ray and those of its dependencies that nothing else brings, out of the way of all tests but its own.
.venv/installed-engines: .venv/installed-dev
	$(PIP) --no-deps --upgrade --target .venv/engines ray msgpack jsonschema jsonschema-specifications referencing rpds-py
	touch $@

clean:
	rm -rf .venv
