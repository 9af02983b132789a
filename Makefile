# Plumb. `make demo` shows it working, `make test` passes the tests, `make eval` measures it; they install what
# they need on Debian 12 with Rust, Python 3 and the package registries.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
PYTHON ?= python3
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)

# Build: FFmpeg's headers and what generates its bindings. Run: FFmpeg's program makes and checks
# clips in tests; GStreamer's RTSP server is the camera of the demo and the tests; Chromium and its
# driver open the console in tests, with a font that has Chinese; openssl checks what is signed.
PACKAGES := libavcodec-dev libavformat-dev libavutil-dev libswscale-dev libavfilter-dev libavdevice-dev \
	clang libclang-dev pkg-config nasm ffmpeg openssl python3-pip \
	python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp gstreamer1.0-tools \
	gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly \
	chromium chromium-driver fonts-wqy-microhei

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

deps: ## Install Debian packages that are missing
	@missing=""; for package in $(PACKAGES); do \
		dpkg-query -W -f='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; \
	done; \
	if [ -n "$$missing" ]; then \
		echo "installing:$$missing"; \
		$(SUDO) apt-get update -qq; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

runtime: lib/libonnxruntime.so ## Fetch ONNX Runtime, pinned by version and hash

# pip checks the wheel's hash against models/onnxruntime.txt and refuses any other.
lib/libonnxruntime.so: models/onnxruntime.txt
	@wheels=$$(mktemp -d); trap 'rm -rf "$$wheels"' EXIT; \
	PIP=$$(for python in $(PYTHON) /usr/bin/python3; do $$python -m pip --version >/dev/null 2>&1 && echo $$python && break; done); \
	$$PIP -m pip download --quiet --no-deps --require-hashes --only-binary=:all: \
		--python-version 3.11 --implementation cp --platform manylinux_2_28_$$(uname -m) \
		--dest "$$wheels" --requirement models/onnxruntime.txt; \
	$$PIP -m zipfile --extract "$$wheels"/onnxruntime-*.whl "$$wheels/wheel"; \
	mkdir -p lib; \
	cp "$$wheels"/wheel/onnxruntime/LICENSE lib/LICENSE.onnxruntime; \
	cp "$$wheels"/wheel/onnxruntime/capi/libonnxruntime.so.1.* $@.partial; \
	mv $@.partial $@

axe: lib/axe.min.js ## Fetch axe-core for the browser tests, pinned by version and hash

# PyPI carries it too, so that no npm is needed.
lib/axe.min.js: tests/it/browser/axe.txt
	@wheels=$$(mktemp -d); trap 'rm -rf "$$wheels"' EXIT; \
	PIP=$$(for python in $(PYTHON) /usr/bin/python3; do $$python -m pip --version >/dev/null 2>&1 && echo $$python && break; done); \
	$$PIP -m pip download --quiet --no-deps --require-hashes --only-binary=:all: \
		--dest "$$wheels" --requirement tests/it/browser/axe.txt; \
	$$PIP -m zipfile --extract "$$wheels"/axe_playwright_python-*.whl "$$wheels/wheel"; \
	mkdir -p lib; \
	cp "$$wheels/wheel/axe_playwright_python/axe.min.js" $@.partial; \
	mv $@.partial $@

build: deps runtime ## Build the program: target/release/plumb
	$(CARGO) build --release --locked

demo: build ## See it work: three real RTSP cameras, the service, a receiver, a table at the end
	target/release/plumb demo

test: deps runtime axe ## Pass the tests
	$(CARGO) test --locked

lint: deps ## Format check and clippy, warnings refused
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench: build ## Measure each stage (criterion) and the whole pipeline, beside the figures kept from before
	$(CARGO) bench --locked
	$(PYTHON) benches/table.py target/release/plumb

bench-peers: build target/peers/made ## Measure what a user would take instead: OpenCV, and Python's ONNX Runtime
	$(CARGO) bench --locked --bench motion -- facade_clip
	target/peers/bin/python benches/peers/compare.py target/release/plumb

target/peers/made: benches/peers/requirements.txt
	test -x target/peers/bin/python || $(PYTHON) -m venv target/peers
	target/peers/bin/python -m pip install --quiet --requirement $<
	touch $@

bench-charts: build ## Draw cost against streams, resolution and detections: benches/charts
	$(PYTHON) benches/charts.py target/release/plumb

MINUTES ?= 60
STREAMS ?= 4
soak: build ## Watch the memory of STREAMS=4 busy streams for MINUTES=60
	$(PYTHON) benches/soak.py target/release/plumb --streams $(STREAMS) --minutes $(MINUTES)

# What the generators, the evaluation and the training need; another environment: `make eval VENV=…`.
VENV ?= .venv
REQUIREMENTS := $(wildcard fixtures/generate/requirements*.txt)
JOBS ?= $(shell nproc)

eval-deps: deps $(VENV)/evaluation ## Install what the evaluation needs: 3-D models, Python packages
	@dpkg-query -W -f='$${Status}' sweethome3d-furniture 2>/dev/null | grep -q 'ok installed' || { \
		$(SUDO) apt-get update -qq; $(SUDO) apt-get install -y -qq --no-install-recommends sweethome3d-furniture >/dev/null; }

$(VENV)/evaluation: $(REQUIREMENTS)
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet $(addprefix --requirement ,$(REQUIREMENTS))
	touch $@

EVALUATE = cd models && PYTHONDONTWRITEBYTECODE=1 $(abspath $(VENV))/bin/python -m evaluation

eval: build eval-deps ## Measure both models on held-out material (about half an hour); writes models/EVALUATION.md
	$(EVALUATE) all --jobs $(JOBS)

eval-quick: build eval-deps ## The same on a tenth of the material, in a few minutes; writes nothing
	$(EVALUATE) all --jobs $(JOBS) --quick

train-deps: eval-deps $(VENV)/training

TRAINING := $(wildcard models/training/requirements*.txt)
$(VENV)/training: $(TRAINING) | $(VENV)/evaluation
	$(VENV)/bin/python -m pip install --quiet $(addprefix --requirement ,$(TRAINING))
	touch $@

TRAIN ?= verifier ebike
train: build train-deps ## From seeds to models.toml: data, training, export, hash (many hours; goes on where it was stopped)
	$(VENV)/bin/python models/training/train.py $(TRAIN) --threads $(JOBS) --workers $(JOBS)

clean: ## Remove what was built
	$(CARGO) clean
	rm -rf lib

.PHONY: help deps runtime axe build demo test lint bench bench-peers bench-charts soak eval-deps eval eval-quick train-deps train clean
