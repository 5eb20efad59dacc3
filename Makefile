# `make demo` shows Lab at work; `make test` tests it. Both install what they need: see scripts/install-tools.sh.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# how many times `make soak` kills the server
KILLS ?= 100
# how often it crashes the lab in the middle of something
CRASHES ?= 1000
export KILLS CRASHES

.PHONY: help
help: ## Shows what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{ printf "  make %-12s %s\n", $$1, $$2 }'

.PHONY: tools
tools: ## Installs what a fresh Debian machine lacks (into .tools/, packages by apt)
	@scripts/install-tools.sh

.PHONY: build
build: tools ## Builds lab-server and lab
	cargo build --locked -p lab-server -p lab-cli

.PHONY: demo
demo: build ## Deploys the guestbook on a lab of its own and stays until Ctrl-C
	@scripts/demo.sh

.PHONY: demo-check
demo-check: build ## The same, checks that everything answers, and ends
	@scripts/demo.sh --check

.PHONY: test
test: tools ## Every test: over fakes and over real parts
	cargo test --locked --workspace --all-features
	@$(MAKE) --no-print-directory demo-check

.PHONY: check
check: tools ## Formatting, lints, documentation, licences, layering
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --all-features
	.tools/bin/cargo-deny --all-features check bans licenses sources
	@scripts/check-layering.sh

.PHONY: image-test
image-test: ## Builds the Docker image in a Docker of its own and tries it out: as root, up to 15 minutes and 6 GB
	@scripts/image-test.sh

.PHONY: image-clean
image-clean: ## Deletes what image-test keeps between runs
	rm -rf .tools/image-docker

.PHONY: vps-test
vps-test: ## Goes through docs/deploy-vps.md on a Debian with a systemd of its own: as root, 5 minutes and 1 GB
	@scripts/vps-test.sh

.PHONY: soak
soak: tools ## Kills the server again and again and looks for what is lost: KILLS=100 CRASHES=1000 SEED=<as printed>
	cargo test --locked -p lab-tests --test lab -- --ignored --nocapture --test-threads 1 soak

.PHONY: bench
bench: tools ## Measures Lab beside Caddy, nginx and supervisord: ONLY=proxy|routes|restart|memory|deploy|exchange QUICK=1
	@scripts/install-tools.sh bench
	cargo bench --locked -p lab-tests --bench bench -- $(if $(QUICK),--quick) $(ONLY)

.PHONY: clean
clean: ## Deletes what was built; .tools/ stays
	cargo clean
	rm -rf .demo
