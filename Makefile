# Two commands set everything up: `make demo` and `make test`. The others work once one of them has run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# hnswlib is compiled here; without this it would use this machine's own instructions and crash on an older one that shares a pip cache.
export HNSWLIB_NO_NATIVE := 1
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo console-demo test lint faults bench system-test clean

demo: $(VENV)/.demo
	$(BIN)/python -m daemon.demo

# The console with a broker and two gates, until Ctrl-C.
console-demo: $(VENV)/.console-demo
	$(BIN)/python -m daemon.demo.console

# One process more than there are processors, because tests with cameras and brokers often wait.
test: $(VENV)/.test
	@deploy/get-mosquitto.sh
	@tests/get-rtsp-server.sh
	@PYTHON=$(BIN)/python tests/get-home-assistant.sh
	@tests/get-chromium.sh
	@tests/get-node-red.sh
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest --numprocesses $$(( $$(nproc) + 1 )) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/mypy

# The long runs of what CI only samples.
faults: $(VENV)/.test
	OSTIARY_FAULTS=$${OSTIARY_FAULTS:-20000} $(BIN)/python -m pytest -s tests/faults tests/commands/test_reembedding_machine.py

bench: $(VENV)/.test
	$(BIN)/python -m bench

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing; the first time this takes some minutes"
	$(INSTALL) --editable '.[demo]'
	deploy/mend-opencv.sh $(BIN)/python constraints.txt
	@touch $@

$(VENV)/.console-demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing; the first time this takes some minutes"
	$(INSTALL) --editable '.[demo,console]'
	deploy/mend-opencv.sh $(BIN)/python constraints.txt
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing; the first time this takes some minutes"
	$(INSTALL) --editable '.[trainer,dlib,demo,dev]'
	deploy/mend-opencv.sh $(BIN)/python constraints.txt
	@touch $@

clean:
	rm -rf $(VENV) .venv-home-assistant build *.egg-info demo-out .mypy_cache .ruff_cache .pytest_cache .hypothesis

# A Debian booted in a folder, from the installation to the removal. Needs root, debootstrap, systemd-nspawn and GStreamer's RTSP server.
system-test: $(VENV)/.demo
	$(BIN)/python -m tests.system
