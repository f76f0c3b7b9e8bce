# Every task of the project. `make help` lists them; one that is not listed is a bug.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
CRD := crds/inferenceservices.serving.triton-operator.dev.yaml
# What runs against a cluster gets its KUBECONFIG and the pinned tools from the cluster's own environment.
IN_CLUSTER := eval "$$($(BIN)/python -m cluster env)" &&
# How many stories of e2e are told at once, where they do not disturb each other.
STORIES ?= 3
MINUTES ?= 60
PASSES ?= 5
SERVICES ?= 1000
SCALED ?= 200
IDLE_SECONDS ?= 600
VERSION := import sys; print("%d.%d" % sys.version_info[:2])
# Triton's Python backend needs libpython, which Debian packs apart from its Python.
HAS_LIBPYTHON := import ctypes.util, pathlib, sys, sysconfig as s; \
	v = "python%d.%d" % sys.version_info[:2]; own = pathlib.Path(sys.base_prefix, "lib"), pathlib.Path(s.get_config_var("LIBDIR")); \
	sys.exit(not (ctypes.util.find_library(v) or any((d / ("lib" + v + ".so.1.0")).exists() for d in own)))

.PHONY: help
help:  ## List the tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): requirements-dev.lock pyproject.toml
	@echo "==> Virtual environment $(VENV)"
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { apt-get update -q && apt-get install -qy python3-venv; }
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup
setup: $(READY)  ## Make the virtual environment from the lock

.PHONY: demo
demo: $(READY)  ## Serve a model on a real cluster, ask it, roll out a good and a bad version
	@$(BIN)/python -m cluster up
	@$(IN_CLUSTER) $(BIN)/python -m demo

.PHONY: plot
plot: cluster  ## Draw what the demo's canaries do: docs/canary.svg
	@$(IN_CLUSTER) $(BIN)/python -m demo --plot docs/canary.svg

.PHONY: test
test: check unit contract cluster-test e2e  ## Prove everything: check, unit, contract, cluster and e2e tests

.PHONY: check
check: $(READY)  ## Lint, types, import contract, generated files
	@echo "==> Checks"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/yamllint --strict .
	@$(BIN)/hadolint Dockerfile $$(git ls-files 'cluster/**Containerfile')
	@$(BIN)/python -m triton_operator.api.crd --check $(CRD)
	@$(BIN)/python charts/generate.py --check
	@$(BIN)/python gitops/argocd/generate.py --check
	@$(BIN)/python docs/generate.py --check
	@$(BIN)/python docs/api_reference.py --check

.PHONY: unit
unit: $(READY)  ## Test decisions, builders and the chart: no cluster, four minutes
	@echo "==> Unit tests"
	@$(BIN)/pytest -q -n auto -m "not contract and not cluster"

.PHONY: contract
contract: $(READY)  ## Test against real software on loopback: Triton, object stores
	@echo "==> Contract tests"
	@$(BIN)/python -c '$(HAS_LIBPYTHON)' || { apt-get update -q && apt-get install -qy "libpython$$($(BIN)/python -c '$(VERSION)')"; }
	@command -v npm openssl >/dev/null || { apt-get update -q && apt-get install -qy nodejs npm openssl; }
	@test -x /usr/sbin/nginx -a -x /usr/sbin/apache2 || { apt-get update -q && apt-get install -qy --no-install-recommends nginx-light apache2-bin; }
	@$(BIN)/pytest -q -m contract

.PHONY: cluster
cluster: $(READY)  ## Bring up the local cluster, or make sure that it is up
	@$(BIN)/python -m cluster up

.PHONY: cluster-test
cluster-test: cluster  ## Test against a real API server
	@echo "==> Cluster tests"
	@$(IN_CLUSTER) $(BIN)/pytest -q -m cluster

.PHONY: e2e
e2e: cluster  ## Live through the stories of a user on a whole cluster
	@echo "==> End-to-end tests"
	@$(IN_CLUSTER) $(BIN)/pytest -q -n $(STORIES) --dist load --maxschedchunk 1 --durations=40 e2e
	@$(IN_CLUSTER) $(BIN)/pytest -q -m afterwards e2e

.PHONY: soak
soak: cluster  ## Repeat what one pass cannot show: histories for MINUTES (60), kills at every write, PASSES (5) under load
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)
	@$(BIN)/python -m benchmarks.every_write
	@$(IN_CLUSTER) for pass in $$(seq $(PASSES)); do $(BIN)/pytest -q e2e/test_no_lost_request.py; done

.PHONY: bench
bench: $(READY)  ## Measure the operator with SERVICES (1000); prints what to commit to docs/benchmarks.md
	@$(BIN)/python -m benchmarks.reconcile --services $(SERVICES) --idle-seconds $(IDLE_SECONDS)

.PHONY: bench-scaling
bench-scaling: $(READY)  ## Measure what autoscaling of SCALED (200) services costs; for docs/benchmarks.md, too
	@$(BIN)/python -m benchmarks.scaling --services $(SCALED)

.PHONY: bench-fetch
bench-fetch: $(READY)  ## Measure how fast models are fetched from an S3 server; for docs/benchmarks.md, too
	@$(BIN)/python -m benchmarks.fetch

.PHONY: bench-judge
bench-judge: $(READY)  ## Measure how often the judge of canaries errs; for docs/benchmarks.md, too
	@$(BIN)/python -m benchmarks.judge

.PHONY: bench-autoscaling
bench-autoscaling: $(READY)  ## Measure autoscaling on simulated servers; for docs/benchmarks.md, too
	@$(BIN)/python -m benchmarks.autoscaling --plot docs/autoscaling-benchmark.svg

.PHONY: crds
crds: $(READY)  ## Generate the CRD, what the chart has of it, and the references
	@$(BIN)/python -m triton_operator.api.crd $(CRD)
	@$(BIN)/python charts/generate.py
	@$(BIN)/python gitops/argocd/generate.py
	@$(BIN)/python docs/generate.py
	@$(BIN)/python docs/api_reference.py

.PHONY: lock
lock: $(READY)  ## Write the locks anew from pyproject.toml
	@$(BIN)/uv pip compile -q pyproject.toml --generate-hashes --no-annotate --no-header --python-version 3.11 -o requirements.lock
	@$(BIN)/uv pip compile -q pyproject.toml --extra dev --generate-hashes --no-annotate --no-header --python-version 3.11 -o requirements-dev.lock

.PHONY: clean
clean: $(READY)  ## Remove the local cluster; nothing is left running
	@$(BIN)/python -m cluster down
