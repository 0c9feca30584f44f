PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
PHOTOGRAPHS := data/raw/photographs
# Trainings side by side: on a GPU one after the other, else one a core, each with a thread.
JOBS ?= $(shell nvidia-smi > /dev/null 2>&1 && echo 1 || getconf _NPROCESSORS_ONLN)
SIDE_BY_SIDE = dvc stage list --name-only | grep '^fine-tune@' \
  | env $(if $(filter 1,$(JOBS)),,OMP_NUM_THREADS=1) xargs -P $(JOBS) -n 1 dvc repro --single-item --quiet
FASHION_MNIST := data/raw/FashionMNIST/raw

.PHONY: help repro claims photographs known-relationship gain-against-knowledge browser test test-slow soak data fashion-mnist drawings clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "Python 3.11 or newer is needed, got " + sys.version.split()[0]'
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

data: $(VENV)/installed ## Fetch the 342 photographs that params.yaml names
	$(VENV)/bin/python -m pipeline.datasets.fetch photographs $(PHOTOGRAPHS)

fashion-mnist: $(VENV)/installed ## Fetch Fashion-MNIST, for the claims table and experiments/fashion-mnist.yaml
	$(VENV)/bin/python -m pipeline.datasets.fetch fashion-mnist $(FASHION_MNIST)

drawings: $(VENV)/installed ## Fetch 1165 drawings of 34 classes, for experiments
	$(VENV)/bin/python -m pipeline.datasets.fetch drawings data/raw/drawings

repro: $(VENV)/installed data ## Run the whole pipeline: data, stages, report
	dvc repro $$(dvc stage list --name-only | grep '^fit-relationship@')
	$(SIDE_BY_SIDE)
	dvc repro
	@printf '\n%s\n' 'The report:     data/report/report.md; as a page, for a browser: data/report/report.html' \
	  'Compare runs:   $(VENV)/bin/mlflow ui   then open http://127.0.0.1:5000/#/experiments/1/runs?viewStateShareKey=evaluations' \
	  'Metrics:        $(VENV)/bin/dvc metrics show'

claims: $(VENV)/installed data fashion-mnist ## Make the claims tables: hours, resumed cell by cell
	cd experiments && dvc repro claims@claims-photographs claims@claims-fashion-mnist
	@printf '\n%s\n' 'The tables:     experiments/claims-photographs/data/claims, and -fashion-mnist beside it'

photographs: $(VENV)/installed data ## Compare what can teach the source head, on the photographs: 1 hour
	cd experiments && dvc repro claims@photographs
	@printf '\n%s\n' 'The table:      experiments/photographs/data/claims/claims.md'

known-relationship: $(VENV)/installed fashion-mnist ## Make the control whose answer is known: 1 hour
	cd experiments && dvc repro claims@known-relationship claims@known-relationship-far
	@printf '\n%s\n' 'The pictures:   experiments/known-relationship/data/claims, and -far beside it'

gain-against-knowledge: $(VENV)/installed data fashion-mnist drawings ## Make all studies, and hold gain against knowledge: 4 hours
	cd experiments && dvc repro gain-against-knowledge
	@printf '\n%s\n' 'The picture:    experiments/gain-against-knowledge/data/gain-against-knowledge/gain.png'

browser: ## Install the browser in which a test looks at the report's page: as root, on Debian
	command -v chromium > /dev/null || { apt-get update --quiet --quiet && DEBIAN_FRONTEND=noninteractive \
	  apt-get install --yes --quiet --quiet --no-install-recommends -o DPkg::Lock::Timeout=300 chromium; }

test: $(VENV)/installed ## Run linters, the type checker and the quick tests
	ruff check
	ruff format --check
	mypy
	lint-imports
	OMP_NUM_THREADS=1 pytest --quiet --numprocesses auto -m 'not slow and not processes'

test-slow: $(VENV)/installed ## Run the other tests: whole pipelines, servers, browsers, exports
	OMP_NUM_THREADS=1 pytest --quiet --numprocesses auto --dist loadscope --no-loadscope-reorder -m 'slow or processes'

soak: $(VENV)/installed ## Kill the pipeline, machines of a search and the tracking server, time and again: hours on 2 cores; SOAK=--help
	OMP_NUM_THREADS=1 PYTHONPATH=tests/helpers python benchmarks/soak.py $(SOAK)

clean: ## Remove the environment and everything that stages made, but not dvc.lock
	rm -rf $(VENV) .work mlruns mlflow.db* data/*/ experiments/*/data experiments/*/.work
