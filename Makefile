PYTHON ?= python3
BIN := .venv/bin
CONSTRAINTS ?= constraints.txt
# For make bench: GLUE's folder, and a folder with a T5's tokenizer.
DATA ?= data/demo
TOKENIZER ?= data/tiny-t5

.PHONY: help install demo test test-fast lint docs soak bench bench-peers wheel backbone clean

help:      ## list the targets
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/  /'

install: $(BIN)/installed  ## create .venv with the tested versions

$(BIN)/installed: setup.cfg $(CONSTRAINTS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@

demo: $(BIN)/installed  ## train Compacter on the embedded task, under a minute on two cores
	$(BIN)/python main.py fit --config demo.yaml
	@echo "Accuracy by chance is 0.5; on a random backbone (--model.pretrained false) it stays there."

test: $(BIN)/installed  ## run the tests, in two processes
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2

test-fast: $(BIN)/installed  ## the unit tests, under a minute
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 -m 'not soak and not slow'

lint: $(BIN)/installed  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: build/docs/installed  ## build the documentation as a site, build/site, in an environment of its own
	NO_MKDOCS_2_WARNING=1 build/docs/bin/python -m mkdocs build --strict

build/docs/installed: setup.cfg constraints.txt
	$(PYTHON) -m venv build/docs
	$(PYTHON) -c 'import configparser as c; f = c.ConfigParser(); f.read("setup.cfg"); print(f["options.extras_require"]["docs"])' > build/docs/requirements.txt
	build/docs/bin/python -m pip install --quiet --constraint constraints.txt --requirement build/docs/requirements.txt
	touch $@

soak: $(BIN)/installed  ## what make test leaves out: every method on every model type, 50 runs killed at random moments
	$(BIN)/python -m pytest -m soak

bench: $(BIN)/installed  ## speed and memory in short, against peers if they are installed; build/benchmarks/ has tables and charts
	$(BIN)/python -m benchmarks.layer
	$(BIN)/python -m benchmarks.train_step --rounds 3 --warm_up 1 --out build/benchmarks
	$(BIN)/python -m benchmarks.evaluate --rounds 2 --rows 64 --data_dir $(DATA) --tokenizer $(TOKENIZER) --out build/benchmarks
	$(BIN)/python -m benchmarks.startup
	$(BIN)/python -m benchmarks.checkpoint --methods compacter --tokenizer $(TOKENIZER) --out build/benchmarks
	$(BIN)/python -m benchmarks.padding --tasks rte --data_dir $(DATA) --model_name $(TOKENIZER) --out build/benchmarks

bench-peers: build/peers/adapters/installed build/peers/opendelta/installed  ## environments of peers for the benchmarks

build/peers/%/installed: benchmarks/peers/%.txt
	$(PYTHON) -m venv build/peers/$*
	build/peers/$*/bin/python -m pip install --quiet --requirement $<
	touch $@

build/peers/opendelta/installed: benchmarks/peers/opendelta.txt
	$(PYTHON) -m venv build/peers/opendelta
	build/peers/opendelta/bin/python -m pip install --quiet --requirement $<
	build/peers/opendelta/bin/python -m pip install --quiet --no-deps opendelta==0.3.2
	touch $@

wheel: $(BIN)/installed  ## build the wheel, install it in a new environment and run the demo from an empty folder
	rm -rf build/wheel build/installed build/empty
	$(BIN)/python -m build --quiet --wheel --outdir build/wheel .
	$(PYTHON) -m venv build/installed
	build/installed/bin/python -m pip install --quiet --constraint constraints.txt build/wheel/*.whl
	mkdir -p build/empty
	cd build/empty && ../installed/bin/lit-compacter fit --config demo.yaml --trainer.max_epochs 1 --run_name demo
	cd build/empty && ../installed/bin/lit-compacter test --config demo.yaml --run_name demo --ckpt_path best

backbone: $(BIN)/installed  ## make data/demo and data/tiny-t5 anew: about 20 minutes on two cores
	$(BIN)/python data/make_demo.py
	$(BIN)/python data/pretrain.py

clean:     ## remove the environment, caches and runs
	rm -rf .venv build *.egg-info .mypy_cache .pytest_cache .ruff_cache runs
