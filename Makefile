# `make demo` and `make test` are all that a fresh machine with Python 3.11 to 3.14 needs.

# The first of these that is there. All packages but one have wheels for 3.11 and 3.13; others also need a C compiler.
PYTHON ?= $(firstword $(shell command -v python3.11 python3.13 python3.12 python3.14) python3)
CORES ?= all
CONFIG ?= config.yaml
RESULTS ?= results/paper
KILLS ?= 21
BIN := .venv/bin
# Recipes read these from the shell's environment, so that names may have spaces and quotes.
export CONFIG RESULTS
SNAKEMAKE := $(BIN)/snakemake --cores $(CORES)
DEMO := --configfile resources/demo.yaml
SOURCES := Snakefile workflow/rules
RUNS := $(patsubst %,tests/workflow/test_%.py,end_to_end labels names reruns service table_corpus)

.PHONY: install demo report resume estimate summary crate codemeta test test-runs test-docs test-faults test-kills test-cluster test-install lint docs format lock clean

install: .venv/installed

# The lock names all packages, so that pip need look for none. With TORCH_INDEX, torch comes from there, whose files
# have other hashes, and CUDA's packages stay out. `==2.14.1` takes 2.14.1+cpu, too.
.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
ifdef TORCH_INDEX
	grep -oE '^torch(audio)?==[^ ;]+' requirements.lock > .venv/torch.lock
	awk '/^[^ #]/ { kept = !/^(nvidia|cuda|triton|torch)/ } kept' requirements.lock > .venv/cpu.lock
	$(BIN)/python -m pip install --quiet --no-deps --index-url $(TORCH_INDEX) --requirement .venv/torch.lock
	$(BIN)/python -m pip install --quiet --no-deps --requirement .venv/cpu.lock
else
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements.lock
endif
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

# The whole experiment on synthesised speech with two small models: no network, no GPU.
demo: .venv/installed
	$(SNAKEMAKE) $(DEMO)
	@$(BIN)/snakemake $(DEMO) --report results/demo/report.html > results/demo/report.log 2>&1 \
		|| { cat results/demo/report.log; exit 1; }
	@echo "Report: results/demo/report.html   Tables: results/demo/*.csv"

# The report of any other config: make report CONFIG=my.yaml RESULTS=results/mine
# The estimate reads the config first: it reports an error in one line, Snakemake in two or with a trace.
report: .venv/installed
	@$(BIN)/python -m convexprune estimate "$$CONFIG" > /dev/null
	@$(BIN)/snakemake --configfile "$$CONFIG" --report "$$RESULTS/report.html"
	@echo "Report: $$RESULTS/report.html"

# After a kill: discard unfinished outputs, unlock the folder and run the jobs again. For the demo: CONFIG=resources/demo.yaml
resume: .venv/installed
	@$(BIN)/python -m convexprune estimate "$$CONFIG" > /dev/null
	$(BIN)/python -m convexprune discard
	$(SNAKEMAKE) --configfile "$$CONFIG" --unlock
	$(SNAKEMAKE) --configfile "$$CONFIG" --rerun-incomplete

# Before a run, its needs (jobs, GPU-hours, memory); after it, what it took (time and memory by rule).
estimate: .venv/installed
	@$(BIN)/python -m convexprune estimate "$$CONFIG"

summary: .venv/installed
	@$(BIN)/python -m convexprune summary "$$RESULTS"

# A finished run, described for other tools: a Workflow Run RO-Crate.
crate: .venv/installed
	@$(BIN)/python -m convexprune crate "$$CONFIG"

# codemeta.json, from CITATION.cff.
codemeta: .venv/installed
	$(BIN)/uv tool run --quiet --from cffconvert==2.0.0 cffconvert -f codemeta -i CITATION.cff -o codemeta.json

# All tests that need no run of the whole workflow.
test: .venv/installed
	PYTHONWARNDEFAULTENCODING=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile tests/unit tests/workflow \
		$(RUNS:%=--ignore %) --ignore tests/workflow/test_docs.py --ignore tests/workflow/test_faults.py

# Runs of small configs from end to end, and for each kind of edit, which jobs run again.
test-runs: .venv/installed
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(RUNS)

# The commands of the documentation, as they are written.
test-docs: .venv/installed
	$(BIN)/python -m pytest tests/workflow/test_docs.py

# Runs that are interrupted.
test-faults: .venv/installed
	$(BIN)/python -m pytest tests/workflow/test_faults.py

# Kills runs at random moments, goes on by `make resume`, and compares with undisturbed runs. By hand: it is slow.
test-kills: .venv/installed
	$(BIN)/python tests/faults.py --kills $(KILLS)

# Starts its own Slurm on this machine. Needs root, and Debian's slurm-wlm and munge. About four minutes.
test-cluster: .venv/installed
	$(BIN)/python -m pytest tests/cluster -rs

# The wheel and its extras in bare environments, from the package index.
test-install: .venv/installed
	$(BIN)/python -m pytest tests/install -rs

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/snakemake --lint --configfile resources/demo.yaml

# Writes the documentation to site/; warnings are errors. The variable silences a notice about MkDocs' successor.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "Open site/index.html"

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt $(SOURCES)

# Pins what pyproject.toml asks for, with hashes, for every system and Python; then writes envs/. Versions that are pinned
# stay: delete requirements.lock first to take the newest of all.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	$(BIN)/python envs/write.py

clean:
	rm -rf results/demo
