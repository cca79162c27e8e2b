# `make demo` and `make test` are all that a fresh machine with Python 3.11 needs.

PYTHON ?= python3.11
CORES ?= all
CONFIG ?= config.yaml
RESULTS ?= results/paper
KILLS ?= 21
BIN := .venv/bin
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
DEMO := --configfile resources/demo.yaml
SOURCES := Snakefile workflow/rules
RUNS := $(patsubst %,tests/workflow/test_%.py,end_to_end reruns service table_corpus)

.PHONY: install demo report resume estimate summary test test-runs test-docs test-faults test-kills test-cluster lint docs format lock clean

install: .venv/installed

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# The whole experiment on synthesised speech with two small models: no network, no GPU.
demo: .venv/installed
	$(SNAKEMAKE) $(DEMO)
	@$(BIN)/snakemake $(DEMO) --report results/demo/report.html > results/demo/report.log 2>&1 \
		|| { cat results/demo/report.log; exit 1; }
	@echo "Report: results/demo/report.html   Tables: results/demo/*.csv"

# The report of any other config: make report CONFIG=my.yaml RESULTS=results/mine
report: .venv/installed
	$(BIN)/snakemake --configfile $(CONFIG) --report $(RESULTS)/report.html

# After a kill: discard what jobs left unfinished, unlock the folder and run them again. For the demo: CONFIG=resources/demo.yaml
# A job may outlive the Snakemake that started it: it is looked for too. What it left is a copy of its script.
resume: .venv/installed
	@for process in $$(pgrep -f "[b]in/snakemake|[-]m snakemake|[.]snakemake/scripts/"); do \
		if [ "$$(readlink /proc/$$process/cwd)" = "$(CURDIR)" ]; then \
			echo "Snakemake or a job of it still runs here (process $$process): stop it first"; exit 1; \
		fi; \
	done
	rm -rf .snakemake/scripts
	$(BIN)/python -m convexprune discard
	$(SNAKEMAKE) --configfile $(CONFIG) --unlock
	$(SNAKEMAKE) --configfile $(CONFIG) --rerun-incomplete

# What a run will need (jobs, GPU-hours, memory), and what it took (time and memory by rule).
estimate: .venv/installed
	@$(BIN)/python -m convexprune estimate $(CONFIG)

summary: .venv/installed
	@$(BIN)/python -m convexprune summary $(RESULTS)

# All that takes no run of the whole workflow.
test: .venv/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/unit tests/workflow \
		$(RUNS:%=--ignore %) --ignore tests/workflow/test_docs.py --ignore tests/workflow/test_faults.py

# Runs of small configs from end to end, and the matrix of what each edit runs again.
test-runs: .venv/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(RUNS)

# The commands of the documentation, as they are written.
test-docs: .venv/installed
	$(BIN)/python -m pytest tests/workflow/test_docs.py

# Runs that are interrupted.
test-faults: .venv/installed
	$(BIN)/python -m pytest tests/workflow/test_faults.py

# Kills at random moments, each followed by `make resume`, and undisturbed runs compared. By hand: it takes long.
test-kills: .venv/installed
	$(BIN)/python tests/faults.py --kills $(KILLS)

# A Slurm of its own on this machine: root, and Debian's slurm-wlm and munge. Some four minutes.
test-cluster: .venv/installed
	$(BIN)/python -m pytest tests/cluster -rs

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/snakemake --lint --configfile resources/demo.yaml

# The documentation, to site/; a warning is an error. The variable silences a notice about MkDocs' successor.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt $(SOURCES)

# CUDA libraries exist for Linux only: the marker lets the same lock install elsewhere.
lock:
	rm -rf .venv-lock
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --requirement requirements.in
	.venv-lock/bin/python -m pip freeze | sed -E "s/^((nvidia|cuda|triton).*)/\1 ; sys_platform == 'linux'/" > requirements.lock
	rm -rf .venv-lock

clean:
	rm -rf results/demo
