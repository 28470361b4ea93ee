# Two commands are all a fresh machine needs: `make demo` and `make test`. Everything else is listed by `make help`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
DATA   ?=
# Workers that compute side by side gain nothing from threads that wait for one another.
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
# Rules about the sources themselves hold in any environment: `make test` asks them once.
OF_SOURCES := $(addprefix tests/contracts/test_,assurance.py documents.py layout.py locks.py messages.py planted.py repository.py)
DEVICE_TESTS ?= $(filter-out $(OF_SOURCES),$(wildcard tests/contracts/test_*.py)) tests/flow/test_line.py

COMPILE := uv pip compile -q --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --no-header --no-annotate

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Hundreds of short processes run in the tests: each would compile the whole program again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: install newcomer off-policy options-campaign help docs cli notebooks screens sbom demo test test-device test-long test-deep test-foundation families coverage-orders coverage-device chaos hostile mutants mutation-score fuzz fuzz-api fuzz-models peers third-party live-paper-canary prometheus promotion-campaign leak-campaign factory-noise factory-families events-campaign pattern-campaign real-minutes bar-rates opinions-campaign small-account year-alone two-sleeves soak arm arm-slice mlflow-server postgres-search release provision-lint nspawn-test provision-test fleet-test lint types contracts dependencies locks clean

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "python3 is missing: install the packages python3 and python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
		{ echo "Python 3.11, 3.12 or 3.13 is needed; point PYTHON= at one"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "the module venv is missing: install the package python3-venv"; exit 1; }

# uv takes a sixth of pip's time for the same files and hashes. Where it cannot have them (of an index that pip's own settings name), pip installs them.
UV_INSTALL := uv pip install --quiet $(if $(wildcard /etc/ssl/certs/ca-certificates.crt),--system-certs) --no-config $${PIP_INDEX_URL:+--default-index "$$PIP_INDEX_URL"}

$(VENV)/.%: requirements/%.txt requirements/build.txt requirements/uv.txt pyproject.toml | $(BIN)/python
	@echo "installing requirements/$*.txt into $(VENV)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/uv.txt
	@$(BIN)/$(UV_INSTALL) --python $(BIN)/python --require-hashes -r requirements/build.txt -r requirements/$*.txt || { \
		echo "uv could not, so pip does"; $(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt -r requirements/$*.txt; }
	@$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

install: $(VENV)/.trainer ## Both programs for one machine, trainer and appliance, into .venv

demo: $(VENV)/.trainer ## The whole line on a generated market, or on your own bars: make demo DATA=FILE [MAPPING= BASIS= ACTIONS=]
	@VENV="$(VENV)" DATA="$(DATA)" MAPPING="$(MAPPING)" BASIS="$(BASIS)" ACTIONS="$(ACTIONS)" FIXED_IC="$(FIXED_IC)" demo/run

var/docs/.installed: requirements/docs.txt | $(BIN)/python
	@echo "installing $< into $(@D)"
	@rm -rf $(@D)
	@$(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

PAGES := README.md ARCHITECTURE.md CHANGELOG.md CONTRIBUTING.md SECURITY.md LICENSE docs benchmarks/RESULTS.md
docs: var/docs/.installed ## The documents as a site, every link checked: var/site/index.html
	@rm -rf var/docs/pages && mkdir -p var/docs/pages && tar c --exclude=__pycache__ $(PAGES) | tar x -C var/docs/pages
	NO_MKDOCS_2_WARNING=1 var/docs/bin/mkdocs build --strict --clean

cli: $(VENV)/.dev ## The reference of every command, docs/cli.md, from the programs
	$(BIN)/python -m docs.reference

notebooks: $(VENV)/.dev ## By hand, a few minutes: execute every notebook of docs/notebooks in a kernel
	$(BIN)/python -m tests.campaigns.notebooks

screens: $(VENV)/.dev ## By hand, a minute: paint the pictures of docs/screens anew
	$(BIN)/python -m tests.campaigns.pictures

lint: $(VENV)/.dev ## ruff: lint and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.dev ## mypy --strict on the five packages
	$(BIN)/mypy --num-workers 2

contracts: $(VENV)/.dev ## import-linter: the layers of ARCHITECTURE.md
	$(BIN)/lint-imports

dependencies: $(VENV)/.dev ## deptry: every declared dependency is imported, every import declared
	$(BIN)/deptry .

test: lint types contracts dependencies ## Everything a change must pass
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not deep"

test-device: ## The device alone: the base package without extras, its whole days and contracts; DEVICE_TESTS=tests for all
	@$(MAKE) --no-print-directory VENV=.venv-device .venv-device/.device-test
	.venv-device/bin/python tests/contracts/no_learners.py
	$(ONE_THREAD) .venv-device/bin/pytest -n 2 -m "not slow and not deep" -k "not (half-life or winsorised or agrees_with_the_exchange)" --ignore tests/test_trainer $(DEVICE_TESTS)

$(VENV)/.torch: requirements/torch.txt requirements/deep.txt $(VENV)/.dev
	@echo "installing torch into $(VENV)"
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements/deep.txt
	@$(BIN)/python -m pip install --quiet -r requirements/torch.txt
	@touch $@

test-deep: $(VENV)/.torch ## What needs torch: the networks and their export
	$(ONE_THREAD) $(BIN)/pytest -n 2 --dist loadfile -m "deep and not gpu and not slow" $(shell grep -l "\.deep" tests/test_trainer/*.py) tests/contracts/test_learners.py

$(VENV)/.foundation: requirements/foundation.txt $(VENV)/.torch
	@echo "installing foundation models' libraries into $(VENV)"
	@$(BIN)/python -m pip install --quiet --require-hashes --no-deps -r requirements/foundation.txt
	@touch $@

test-foundation: $(VENV)/.foundation ## By hand: Chronos-Bolt and TimesFM, from tiny checkpoints of their own making
	$(BIN)/pytest -q tests/test_trainer/test_foundation.py

LONG_TESTS := $(addprefix tests/flow/test_,backtest_command.py daemon.py drawn_sizes.py gate_with_analogs.py kill.py limits.py object_store.py person.py screens.py second_opinion.py shadow.py through_the_day.py year_alone.py) \
	tests/provisioning/test_example_fleet.py tests/test_appliance/serving/test_fuzz.py::test_a_few_requests_of_every_kind_are_answered_as_documented tests/test_appliance/tui/test_hostile_text.py \
	$(addprefix tests/test_trainer/test_,accept_red.py curation_real.py deliveries.py download.py fanout.py ic.py interrupted.py lineage.py \
	policy_command.py promotion_commands.py retrain_command.py search_metric.py tasks.py train_search.py weight_paths.py workspace.py)

test-long: $(VENV)/.dev ## By hand, ten minutes: single tests of four seconds and more, whose rules shorter ones of `make test` hold in part
	$(BIN)/pytest -q -n 2 --dist loadfile -m "slow and not deep" $(LONG_TESTS)

families: $(VENV)/.torch ## By hand, five minutes: the battery of every learner, the later networks too
	$(BIN)/pytest -q -m "deep and not gpu" tests/contracts/test_learners.py $(addprefix tests/test_trainer/test_,flow.py networks.py session_figures.py)

ORDER_TESTS := $(addprefix tests/test_appliance/test_,bundle_attacks.py bundle_form_attacks.py bundle_store.py kill_switch.py latch.py ledger.py ledger_rows.py confirm.py faults_venue.py earlier_orders.py \
	orderpath.py submission.py agreement.py one_word.py accepting.py recovery.py runner.py tripwires.py reductions.py restating.py steps.py day_batches.py strangers.py dataset_signatures.py events.py own_bank.py) \
	$(addprefix tests/test_execution/test_,alpaca.py alpaca_parsing.py alpaca_transport.py alpaca_contract.py alpaca_exactness.py intents.py market_data.py opinions.py planning.py \
	planned_steps.py pretrade.py reconcile.py rounding.py slicing.py volume_curve.py) $(addprefix tests/test_signals/test_,bundle_corners.py \
	bundle_former.py bundle_layout.py bundle_parsing.py bundle_rules.py scoring.py) tests/test_trainer/test_pairing.py \
	tests/contracts/test_parsers_spoilt.py tests/flow/test_event_drift.py tests/flow/test_flat_targets.py

coverage-orders: $(VENV)/.dev ## Two minutes: every branch of planning, journal, reconciliation, tripwires, broker adapter and bundle
	@mkdir -p var
	COVERAGE_CORE=ctrace $(BIN)/coverage run --rcfile tests/orders.coveragerc -m pytest -q -m "not slow and not deep" $(ORDER_TESTS)
	$(BIN)/coverage report --rcfile tests/orders.coveragerc

coverage-device: $(VENV)/.dev ## By hand, a quarter of an hour: the branches of the whole device, children too, by every test but the trainer's
	@mkdir -p var && rm -f var/coverage-device*
	COVERAGE_CORE=ctrace $(BIN)/coverage run --rcfile tests/device.coveragerc -m pytest -q -p no:cacheprovider -n 2 -m "not slow and not deep" --ignore tests/test_trainer tests
	$(BIN)/coverage combine --quiet --rcfile tests/device.coveragerc
	$(BIN)/coverage report --rcfile tests/device.coveragerc
	@$(BIN)/coverage json --quiet --rcfile tests/device.coveragerc -o var/coverage-device.json
	@$(BIN)/python -c 'import json, sys; found = json.load(open("var/coverage-device.json"))["totals"]["percent_branches_covered"]; print(f"branches alone: {found:.2f} % of at least 90"); sys.exit(found < 90)'

chaos: $(VENV)/.dev ## By hand, half an hour: 19,500 sessions of crashes in process, a disk full at each write of a day, 200 kills of real processes over HTTP
	$(BIN)/pytest -q -m slow tests/test_appliance/test_recovery.py tests/test_appliance/test_faults_machine.py
	$(BIN)/python -m tests.chaos.kills --kills 200

PART ?= 1/1
hostile: $(VENV)/.dev ## By hand, an hour (PART=1/4 for a quarter): a broker that lies in every answer, 94 kinds x 11 endpoints, a whole session each
	$(BIN)/python -m tests.hostile --part $(PART)

setup-terminal: $(VENV)/.dev ## By hand, a minute: a person at a terminal leaves at each question of `appliance setup` and comes back
	$(BIN)/pytest -q -m slow tests/flow/test_setup.py

newcomer: $(VENV)/.dev ## By hand, ten minutes: a stranger's first hour typed at a terminal, from a fresh clone to an armed device: docs/newcomer.md
	$(BIN)/python -m tests.campaigns.newcomer

prometheus: $(VENV)/.dev ## By hand, a minute, Debian alone: a real Prometheus loads the shipped rules and answers the dashboard's queries
	@mkdir -p var/prometheus && cd var/prometheus && { test -d root || { apt-get download prometheus && dpkg -x prometheus_*.deb root; }; }
	$(BIN)/python -m tests.campaigns.prometheus --programs var/prometheus/root/usr/bin

mutants: $(VENV)/.dev ## By hand, a few minutes: planted bugs of the order path, each caught by its test
	$(BIN)/python -m tests.mutation

mutation-score: $(VENV)/.dev ## By hand, five minutes: every small change of the pre-trade checks against their tests, by cosmic-ray
	@mkdir -p var && $(PYTHON) -m venv var/cosmic-ray && var/cosmic-ray/bin/pip install --quiet cosmic-ray==8.7.0
	@rm -rf var/mutated && mkdir var/mutated && cp -r signals portfolio execution appliance tests pyproject.toml var/mutated/
	@sed 's#PYTHON -m#$(abspath $(BIN)/python) -m#' tests/mutation/pretrade.toml > var/mutated/pretrade.toml
	cd var/mutated && ../cosmic-ray/bin/cosmic-ray init pretrade.toml pretrade.sqlite
	cd var/mutated && ../cosmic-ray/bin/cr-filter-operators pretrade.sqlite pretrade.toml
	cd var/mutated && ../cosmic-ray/bin/cosmic-ray exec pretrade.toml pretrade.sqlite
	cd var/mutated && $(abspath $(BIN)/python) $(abspath tests/mutation/score.py) pretrade.sqlite

fuzz: $(VENV)/.dev ## By hand, a quarter of an hour: more than a million spoilt answers, manifests, bundles, configurations and bars
	$(BIN)/python -m tests.fuzz

fuzz-api: $(VENV)/.dev ## By hand, minutes: thousands of requests of every kind to the API of a device, by its own document
	$(BIN)/pytest -q -m slow tests/test_appliance/serving/test_fuzz.py

fuzz-models: $(VENV)/.dev ## By hand, two minutes: ten thousand mutated ONNX models, each scored in a child with the device's limits
	$(BIN)/python -m tests.fuzz.models

promotion-campaign: $(VENV)/.dev ## By hand, half an hour (PART=1/2 for a half): signals, noise, leaks and three routes to one model, judged as `trainer promote` does
	$(BIN)/python -m tests.campaigns.promotion all --part $(PART)

SEEDS ?= 20
SESSIONS ?= 400
factory-noise: $(VENV)/.dev ## By hand, a quarter of an hour: invented minutes with and without a signal, and the clock alone; who is called skilled
	$(BIN)/python -m tests.campaigns.factory_noise --seeds $(SEEDS) --sessions $(SESSIONS)

FAMILY_SEEDS ?= 1,2,3
MINUTES_SPENT ?= 600
factory-families: $(VENV)/.torch ## By hand, an hour (it goes on where it ended): every family on a planted market against an oracle; FAMILIES=gru,tcn
	$(BIN)/python -m tests.campaigns.factory_families --seeds $(FAMILY_SEEDS) --sessions $(SESSIONS) --minutes $(MINUTES_SPENT) \
		$(if $(FAMILIES),--families $(FAMILIES))

EVENT_SEEDS ?= 20
EVENT_NAMES ?= 220
EVENT_SESSIONS ?= 2016
events-campaign: $(VENV)/.dev ## By hand, a few minutes: generated markets with and without a drift after breakouts; what gate, quantiles and offsets of events find; a score of events in a blend
	$(BIN)/python -m tests.campaigns.events --seeds $(EVENT_SEEDS) --names $(EVENT_NAMES) --sessions $(EVENT_SESSIONS)
	$(BIN)/pytest -q -m slow tests/flow/test_events_blend.py

PATTERN_IMAGES ?= 6000
PATTERN_CHANNELS ?= 16,32,64
pattern-campaign: $(VENV)/.torch ## By hand, ten minutes of CPU: a net of pictures against shapes planted in generated bars; its probabilities, its latency
	$(BIN)/python -m tests.campaigns.patterns --images $(PATTERN_IMAGES) --channels $(PATTERN_CHANNELS)

MINUTES ?= ../shared/data/us_5min_2025_2026_open.parquet
real-minutes: $(VENV)/.dev ## By hand, ten minutes: 18 stocks' real 5-minute bars from the file to a refusal with its reasons; the slow tests of minutes
	$(BIN)/pytest -q -m "slow and not deep" tests/test_trainer/test_minutes.py tests/flow/test_intraday_sleeve.py tests/flow/test_minute_replay.py
	$(BIN)/python -m tests.campaigns.real_minutes $(MINUTES)

leak-campaign: $(VENV)/.dev ## By hand, a quarter of an hour: of these the honest signals and ten planted kinds of leak
	$(BIN)/python -m tests.campaigns.promotion leaks --part $(PART)

var/mlflow-server/.installed: tests/campaigns/mlflow_server/requirements.txt | $(BIN)/python
	@echo "installing $< into $(@D)"
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

mlflow-server: $(VENV)/.dev var/mlflow-server/.installed ## By hand, a minute: the registry mirrored to a real MLflow server that is killed and comes back
	$(BIN)/python -m tests.campaigns.mlflow_server.run

bar-rates: $(VENV)/.dev ## By hand, ten minutes: how often each bar of a promotion passes or refuses wrongly, on simulated books and scores
	$(BIN)/python -m tests.campaigns.bar_rates

opinions-campaign: $(VENV)/.dev ## By hand, half a minute: how often honest data would be stopped by the second opinion, on real bars of several vendors
	$(BIN)/python -m tests.campaigns.opinions

drift-rehearsal: $(VENV)/.dev ## By hand, ten minutes (it goes on where it ended): drift rules on honest history and on eleven planted corruptions
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaigns.drift

small-account: $(VENV)/.dev ## By hand, half an hour: a year of 100,000 USD at the shipped settings, every session traded, none skipped
	$(BIN)/python -m tests.campaigns.small_account

year-alone: $(VENV)/.dev ## By hand, an hour a part (it goes on where it ended): a year of a device and of `trainer run` in virtual time
	$(BIN)/pytest -q -m slow tests/flow/test_year_alone.py
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaigns.year_alone

off-policy: $(VENV)/.dev ## By hand, five minutes: what off-policy estimators say of a process of known value, and the tuner of noise
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.campaigns.off_policy

options-campaign: $(VENV)/.dev ## By hand, half an hour: a planted option premium is found and none where there is none; figures of surfaces
	$(BIN)/pytest -q -m slow tests/test_trainer/options tests/flow/test_options_line.py
	$(BIN)/python -m tests.campaigns.options

two-sleeves: $(VENV)/.dev ## By hand, four minutes: two sleeves under the daemon, and over 60 sessions the replay against the backtest, order for order
	$(BIN)/pytest -q -m slow tests/flow/test_two_sleeves.py
	$(BIN)/python -m tests.campaigns.two_sleeves

soak: $(VENV)/.dev ## By hand, ten minutes and more: thirty sessions of the daemon beside an exchange; nothing grows, nothing is sent twice
	$(BIN)/python -m tests.campaigns.soak

var/postgres-driver/.installed: tests/campaigns/postgres/requirements.txt | $(BIN)/python
	@echo "installing $< into $(@D)"
	@rm -rf $(@D)
	@$(BIN)/python -m pip install --quiet --require-hashes --target $(@D) -r $<
	@touch $@

postgres-search: $(VENV)/.dev var/postgres-driver/.installed ## By hand, two minutes: a search that remembers in a real PostgreSQL, is killed and goes on
	$(BIN)/python -m tests.campaigns.postgres.run

nspawn-test: $(VENV)/.dev ## As root, ten minutes: five accelerated sessions of the unit under a real systemd, with accidents
	$(BIN)/python -m tests.nspawn.rehearsal

MACHINE ?= $(shell uname -m)
PI_PYTHON ?= 3.11

var/sbom/.installed: requirements/sbom.txt | $(BIN)/python
	@echo "installing $< into $(@D)"
	@$(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip install --quiet -r $<
	@touch $@

sbom: $(VENV)/.dev var/sbom/.installed ## What a release is made of, beside it: bill of materials (CycloneDX), licences, known vulnerabilities (a find ends it)
	@mkdir -p var/releases
	var/sbom/bin/cyclonedx-py requirements requirements/device.txt --of JSON --output-reproducible -o var/releases/device.cdx.json
	var/sbom/bin/pip-licenses --python $(BIN)/python --format json --with-urls --output-file var/releases/device.licences.json \
		--packages $$(sed -n 's/^\([a-z0-9_.-]*\)==.*/\1/p' requirements/device.txt)
	var/sbom/bin/pip-audit --disable-pip --require-hashes -r requirements/device.txt -f json -o var/releases/device.audit.json

release: $(VENV)/.dev sbom ## A release of the device in one archive, for MACHINE=aarch64, PI_PYTHON=3.13 and EXTRA=alerts if you like: var/releases
	$(BIN)/python ansible/release.py --machine $(MACHINE) --python $(PI_PYTHON) $(if $(EXTRA),--extra $(EXTRA))

var/ansible/.installed: requirements/ansible.txt | $(BIN)/python
	@echo "installing $< into $(@D)"
	@$(PYTHON) -m venv $(@D) && $(@D)/bin/python -m pip install --quiet -r $<
	@touch $@

provision-lint: var/ansible/.installed ## ansible-lint (production) and yamllint over ansible/
	@printf example > var/ansible/passphrase
	cd ansible && PATH=$(abspath var/ansible/bin):$$PATH yamllint .
	cd ansible && PATH=$(abspath var/ansible/bin):$$PATH ANSIBLE_VAULT_PASSWORD_FILE=$(abspath var/ansible/passphrase) ansible-lint

provision-test: $(VENV)/.dev var/ansible/.installed ## As root, a quarter of an hour: a blank Debian provisioned, traded on, updated, gone back, restored, uninstalled
	$(BIN)/python -m tests.nspawn.provisioning

fleet-test: $(VENV)/.dev var/ansible/.installed ## As root, ten minutes: two devices; a canary that stops a roll-out, a good one, power lost in an update, failures that are told
	$(BIN)/python -m tests.nspawn.fleet

arm: $(VENV)/.dev ## As root, half an hour: the device's whole day on aarch64 (qemu), two Pythons and two cores; DATA=FILE for your bars
	$(BIN)/python -m tests.arm.day $(if $(DATA),--bars $(DATA))

arm-slice: $(VENV)/.dev ## As root, three minutes: features, scores, learners' graphs and one session on aarch64; FAMILIES=all for the networks too
	$(BIN)/python -m tests.arm.slice $(if $(FAMILIES),--families $(FAMILIES))

var/third-party/%/.installed: tests/third_party/%/requirements.txt | $(BIN)/python
	@echo "installing $< into $(@D)"
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

var/third-party/alpaca_js/.installed: tests/third_party/alpaca_js/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer with npm"; exit 1; }
	@echo "installing $< into $(@D)"
	@rm -rf $(@D) && mkdir -p $(@D) && cp $< $(<D)/package.json $(@D)/
	@npm ci --prefix $(@D) --silent --no-audit --no-fund --ignore-scripts
	@touch $@

var/peers-%/.installed: benchmarks/peers/environments/%.txt | $(BIN)/python
	@echo "installing $< into $(@D)"
	@rm -rf $(@D)
	@$(BIN)/python -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --require-hashes -r $<
	@touch $@

peers: $(foreach name,backtest cvxportfolio features hrp indicators labels,var/peers-$(name)/.installed) ## What the benchmarks compare with, pinned, each in an environment of its own

third-party: $(VENV)/.dev $(foreach name,alpaca_mcp_server alpaca_trade_api alpaca_py py_alpaca_api alpaca_js,var/third-party/$(name)/.installed) ## By hand, two minutes: five programs that others wrote for Alpaca, unmodified, against `paper-exchange serve`; needs node 20 and npm
	$(BIN)/python -m tests.third_party.run

live-paper-canary: $(VENV)/.dev ## By hand, with the keys of a paper account: one far order, found and cancelled, recorded and compared
	@$(BIN)/python -m tests.campaigns.canary

locks: ## Recompute the hashed lock files (needs uv on the PATH)
	$(COMPILE) pyproject.toml -o requirements/device.txt
	$(COMPILE) --group test pyproject.toml -o requirements/device-test.txt
	$(COMPILE) --extra alerts -c requirements/device.txt pyproject.toml -o requirements/device-alerts.txt
	$(COMPILE) --extra trainer pyproject.toml -o requirements/trainer.txt
	$(COMPILE) --extra trainer --extra alerts --group dev pyproject.toml -o requirements/dev.txt
	$(COMPILE) -c requirements/dev.txt requirements/deep.in -o requirements/deep.txt
	$(COMPILE) -c requirements/dev.txt -c requirements/deep.txt --override requirements/foundation.in --extra foundation pyproject.toml -o requirements/foundation.txt
	$(COMPILE) requirements/build.in -o requirements/build.txt
	$(COMPILE) requirements/uv.in -o requirements/uv.txt
	$(COMPILE) --group docs -o requirements/docs.txt

clean: ## Remove the environments and everything under var/
	rm -rf .venv* var
