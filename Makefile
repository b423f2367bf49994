# Everything a person or CI runs. Works from any folder (`make -C <here>`) and with no virtual environment active.

# The first that is recent enough; `make PYTHON=...` names another.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c '$(RECENT)' 2>/dev/null && echo $$python && break; done)
RECENT := import sys; sys.exit(sys.version_info < (3, 11))
BIN := .venv/bin
STAMP := .venv/.installed
# What decides how our programs behave is removed, so that a shell set up for live trading cannot reach tests or demo.
# So is what keeps Python from storing what it compiled: the tests start hundreds of processes.
WITHOUT_SETTINGS := env -u PYTHONDONTWRITEBYTECODE $$(awk 'BEGIN { for (name in ENVIRON) \
	if (toupper(name) ~ /^(EXECUTOR|CELERY|FLOWER|PROMETHEUS_MULTIPROC)_[A-Z0-9_]*$$/) print "-u", name }')
COMPOSE = $$(docker compose version >/dev/null 2>&1 && echo docker compose || echo docker-compose)
# Tests mostly wait for real processes: three files at a time fill two cores. A file's tests share servers.
PARALLEL := -n 3 --dist loadfile

QUICK_TESTS := not slow and not apt

# Which tests `test-all` runs, as a pytest marker expression; empty: all of them.
MARKERS ?=

.DEFAULT_GOAL := help
.PHONY: help
help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: install
install: $(STAMP) ## Create .venv and install everything into it

$(STAMP): pyproject.toml constraints.txt constraints-dev.txt
	@test -n '$(PYTHON)' && $(PYTHON) -c '$(RECENT)' 2>/dev/null || { \
		echo "make: this needs Python 3.11 or later; name one: make PYTHON=/path/to/python $(MAKECMDGOALS)" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "installing into .venv: a minute or two, the first time only"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-dev.txt \
		-e '.[dev,docs]' & pip=$$!; trap 'kill $$pip' INT TERM; while kill -0 $$pip 2>/dev/null; do printf .; sleep 1; done; echo; wait $$pip
	@touch $@

# Apart, as they pin what we use in other versions. `make test-all` makes it; it needs nothing of ours.
.PHONY: clients
clients: .venv/clients/.installed ## Install other people's Betfair clients, for the tests that run them

.venv/clients/.installed: constraints-clients.txt $(STAMP)
	@$(PYTHON) -m venv --clear .venv/clients
	@.venv/clients/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-clients.txt 'setuptools>=77'
	@touch $@

# 700 MB: no part of `test-all`. Its test skips without it.
.PHONY: nautilus
nautilus: .venv/nautilus/.installed ## Install Nautilus Trader with its Betfair adapter, for the test that runs it

.venv/nautilus/.installed: constraints-nautilus.txt $(STAMP)
	@$(PYTHON) -m venv --clear .venv/nautilus
	@.venv/nautilus/bin/python -m pip install --quiet --disable-pip-version-check -r constraints-nautilus.txt
	@touch $@

.PHONY: style
style: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/deptry .

.PHONY: lint
lint: style ## Check style, types and that every import is declared
	$(BIN)/mypy

.PHONY: format
format: $(STAMP) ## Put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Types are checked beside the tests, with what time these leave: alone, that takes a minute of one core.
.PHONY: test
test: style ## Lint, and run every test that needs nothing but what pip installs
	@nice -n 19 $(BIN)/mypy > .venv/types.txt 2>&1 & types=$$!; trap 'kill $$types 2>/dev/null' INT TERM; \
	$(WITHOUT_SETTINGS) $(BIN)/pytest $(PARALLEL) -m '$(QUICK_TESTS)'; tests=$$?; \
	wait $$types; types=$$?; cat .venv/types.txt; test $$tests -eq 0 && test $$types -eq 0

# Branches of what the tests of parts run in, in percent; a little below what it is. The whole system runs in processes of
# its own, killed half of the time: measuring those would slow them and count less than they do.
FLOOR := 75
.PHONY: coverage
coverage: $(STAMP) ## Measure what the tests of parts (unit, contract) run through, and hold that against its floor
	$(WITHOUT_SETTINGS) $(BIN)/pytest $(PARALLEL) -m '$(QUICK_TESTS)' --cov --cov-report= tests/unit tests/contract
	$(BIN)/coverage report --skip-covered --fail-under=$(FLOOR)

.PHONY: test-all
test-all: lint apt-packages clients ## The same, plus slow tests, those that need Debian packages, and the floor of coverage
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-dev.txt -e '.[dev,postgres,docs]'
	$(WITHOUT_SETTINGS) $(BIN)/pytest $(PARALLEL) -m '$(MARKERS)'
	@$(MAKE) --no-print-directory coverage

.PHONY: docs
docs: $(STAMP) ## Build the documentation as a site, build/docs; needs no network
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet && echo 'build/docs/index.html'

.PHONY: docs-version
docs-version: $(STAMP) ## Add the site of VERSION to branch gh-pages of this clone, beside those of earlier ones
	@test -n '$(VERSION)' || { echo 'make: which one? make docs-version VERSION=1.2.0' >&2; exit 2; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" NO_MKDOCS_2_WARNING=1 $(BIN)/mike --quiet deploy --update-aliases '$(VERSION)' latest
	@$(BIN)/mike --quiet set-default latest && echo "branch gh-pages: $(VERSION), latest"

.PHONY: pictures
pictures: $(STAMP) ## Make the pictures of README and docs anew (Debian's chromium and tmux; three minutes)
	unshare --net sh -c 'ip link set lo up && exec $(BIN)/python docs/.site/pictures.py'

.PHONY: apt-packages
apt-packages:
	@./.ci/apt-packages

.PHONY: demo
demo: $(STAMP) ## Watch signals become orders on a private Redis and a sandbox exchange; never bets
	@$(WITHOUT_SETTINGS) $(BIN)/executor demo

# What breaks and when comes from the seed; ten minutes show what three do not.
SEED ?= 1
MINUTES ?= 3
.PHONY: storm-doors
storm-doors: $(STAMP) ## 20,000 signals by XADD while bridges are killed, all down, Redis restarted (ten minutes; DOOR_SIGNALS=n)
	@$(WITHOUT_SETTINGS) DOOR_SIGNALS='$(or $(DOOR_SIGNALS),20000)' $(BIN)/pytest -q tests/storm/test_doors.py

.PHONY: storm
storm: $(STAMP) ## Break everything while signals pour in, then check the promises (SEED=1 MINUTES=3 RATE=3.5; FAILOVER=faults or alone)
	@$(WITHOUT_SETTINGS) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)" $(BIN)/python -m storm --seed '$(SEED)' --minutes '$(MINUTES)' $(if $(RATE),--rate '$(RATE)') \
		$(if $(FAILOVER),--failover '$(FAILOVER)')

.PHONY: soak
soak: $(STAMP) ## A week's hours, midnights and logins by a clock of their own; fails on what grows (MINUTES=60 SIGNALS=60 OUT=build/soak)
	@$(WITHOUT_SETTINGS) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)" $(BIN)/python -m soak \
		--minutes '$(if $(filter command line,$(origin MINUTES)),$(MINUTES),60)' --signals '$(or $(SIGNALS),60)' --out '$(or $(OUT),build/soak)'

# Random histories of an account's money: what Redis, feed, ledger and a plain reckoning say must agree at their end.
SEEDS ?= 1000
.PHONY: money-model
money-model: $(STAMP) ## Compare the books after random histories (SEEDS=1000)
	@$(WITHOUT_SETTINGS) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)" $(BIN)/python -m money_model --seeds '$(SEEDS)'

.PHONY: netting
netting: $(STAMP) ## Compare netting with every result of random markets, 300 large ones among them (SEEDS=100000)
	@$(WITHOUT_SETTINGS) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)" $(BIN)/python -m netting --seeds '$(if $(filter command line,$(origin SEEDS)),$(SEEDS),100000)'

.PHONY: hedging
hedging: $(STAMP) ## Compare hedges with what they may do, under accidents (SEEDS=200)
	@$(WITHOUT_SETTINGS) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)" $(BIN)/python -m hedging --seeds '$(if $(filter command line,$(origin SEEDS)),$(SEEDS),200)'

.PHONY: funds
funds: $(STAMP) ## Compare the check of funds with the sandbox's arithmetic, over HTTPS (SIGNALS=10000; five minutes)
	@$(WITHOUT_SETTINGS) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)" $(BIN)/python -m funds --signals '$(or $(SIGNALS),10000)'

# Which measurements (all by default), how many interleaved rounds of how many seconds, and where to write the report.
ONLY ?=
ROUNDS ?=
SECONDS ?=
OUT ?=
QUICK ?=
.PHONY: bench
bench: $(STAMP) ## Measure speed beside bare Celery (ONLY="latency cost" ROUNDS=5 SECONDS=10 OUT=folder QUICK=1)
	@$(WITHOUT_SETTINGS) $(BIN)/python -m benchmarks $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SECONDS),--seconds $(SECONDS)) $(if $(OUT),--out '$(OUT)')

.PHONY: bench-rules
bench-rules: $(STAMP) ## Measure the decision step with all of docs/risk.md on beside the seven rules alone, in turns
	@$(WITHOUT_SETTINGS) PYTHONPATH="$(CURDIR)" $(BIN)/python -m benchmarks.rules

.PHONY: bench-sandbox
bench-sandbox: $(STAMP) ## Measure the test exchange alone: matching, placing, HTTPS, the stream (AGAINST=commit: placing beside that)
	@$(WITHOUT_SETTINGS) $(BIN)/python -m benchmarks.sandbox $(if $(SECONDS),--seconds $(SECONDS)) $(if $(OUT),--out '$(OUT)') \
		$(if $(AGAINST),--against '$(AGAINST)') $(if $(ROUNDS),--rounds $(ROUNDS))

.PHONY: fuzz-sandbox
fuzz-sandbox: $(STAMP) ## Attack the test exchange's ports and play it damaged recordings (MINUTES=10 each, SEED=1, ONLY=connections)
	@$(WITHOUT_SETTINGS) PYTHONPATH="$(CURDIR)/tests:$(CURDIR)" $(BIN)/python -m fuzz_sandbox --minutes '$(MINUTES)' --seed '$(SEED)' \
		$(if $(ONLY),--only $(ONLY))

.PHONY: up
up: ## Start everything in containers (docker compose)
	./deploy/redis/make-secrets
	$(COMPOSE) up --build --detach

.PHONY: down
down: ## Stop the containers; the data stay
	$(COMPOSE) down

.PHONY: logs
logs: ## Follow the containers' logs
	$(COMPOSE) logs --follow --tail 100

# pip-audit in an environment of its own: it is no part of what it judges. Needs the package index's own advisories; `--strict` fails on a package
# that the service does not know, which is what a mirror without the service says of all of them.
.PHONY: audit
audit: ## Look the pinned versions up in the list of known vulnerabilities
	@test -x .venv/audit/bin/pip-audit || { $(PYTHON) -m venv .venv/audit && \
		.venv/audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit; }
	.venv/audit/bin/pip-audit --requirement constraints.txt --requirement constraints-dev.txt --no-deps --disable-pip --strict --progress-spinner off

.PHONY: licences
licences: $(STAMP) ## Write docs/licences.md anew, after a change of the constraints
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -c constraints-dev.txt -e '.[dev,postgres]'
	$(BIN)/python .ci/licences

.PHONY: outcomes
outcomes: $(STAMP) ## Write docs/outcomes.md anew, after a change of the outcome tables
	$(BIN)/python .ci/outcomes

.PHONY: openapi
openapi: $(STAMP) ## Write docs/openapi.json anew, after a change of the HTTP API
	$(BIN)/python .ci/openapi

.PHONY: clean
clean: ## Remove what make and the tools made; never data
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	find . -type d -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +
