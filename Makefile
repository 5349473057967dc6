# make demo    install what is needed, predict a real trajectory live on an embedded server
# make test    install what is needed, run the whole test suite
# make check   what CI runs: format, lint, types, import contracts, tests
# make audit   known vulnerabilities of what is installed here; by hand, needs PyPI
# make campaign  a million frames under a thousand faults, hours; FRAMES=, FAULTS=, SEED=, RESUME=1
# make loop    labels that the system asks for against labels at random, on real data, and through the service; SEEDS=, DATA=
# make containers  build the image, run the compose file, kill a worker in it; Docker, or BUILD= for podman
# make cluster  the batch script on the Slurm of this machine
# make fuzz    guided fuzzing of everything that takes bytes of strangers; TARGET=, RUNS= for each, SEED=
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
TESTS := $(BIN)/python -m pytest --numprocesses 3 --dist worksteal # they wait for processes more than they compute
PARTS := pyproject.toml constraints.txt $(wildcard xas/*.[ch]) stream/sources/_columns.c

BUILD ?= docker build --tag # TAG FOLDER [OPTIONS] follow

.PHONY: audit campaign cluster containers demo fuzz loop test check format lint clean

demo: .venv/.installed
	$(BIN)/edgestream demo --out demo-out

test: .venv/.developer
	$(TESTS)

check: .venv/.developer
	$(MAKE) --jobs 2 lint test

campaign: .venv/.developer
	PYTHONPATH=.:tests:tests/campaign $(BIN)/python tests/campaign/long.py \
	  --frames $(or $(FRAMES),1000000) --faults $(or $(FAULTS),1000) $(if $(SEED),--seed $(SEED)) \
	  $(if $(RESUME),--resume)

containers: .venv/.developer
	$(BUILD) $(or $(EDGESTREAM_IMAGE),edgestream) .
	PYTHONPATH=.:tests:tests/edgestream $(BIN)/python -m pytest tests/containers

cluster: .venv/.developer
	PYTHONPATH=.:tests:tests/delivery $(BIN)/python -m pytest tests/cluster

fuzz: .venv/.developer
	PYTHONPATH=.:tests:tests/fuzz:tests/sources:tests/result_file $(BIN)/python tests/fuzz/long.py \
	  --runs $(or $(RUNS),60000) $(if $(TARGET),--target $(TARGET)) $(if $(SEED),--seed $(SEED))

loop: .venv/.developer
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/loop.py --seeds $(or $(SEEDS),2) --service \
	  --data $(or $(DATA),$${EDGESTREAM_DATA:-../shared/data}/fe_k_xanesnet.npz)

lint: .venv/.developer
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: .venv/.developer
	$(PYTHON) -m venv .venv/audit
	.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit==2.9.0'
	$(BIN)/python -m pip freeze --exclude-editable | .venv/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement /dev/stdin

format: .venv/.developer
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "edgestream needs Python 3.11 or newer; try make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python $(PARTS)
	$(INSTALL) --editable .
	touch $@

.venv/.developer: .venv/bin/python $(PARTS)
	$(INSTALL) --editable '.[train,sklearn,dev]'
	touch $@ .venv/.installed

clean:
	rm -rf .venv build dist demo-out *.egg-info xas/*.so stream/sources/*.so .pytest_cache .mypy_cache .ruff_cache .hypothesis
