# The two commands of the README's first screen, and the checks.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-fast services check bench bench-gpu bench-audits bench-attacks bench-power bench-trees bench-others \
	agreement site picture check-versions install clean

install: $(INSTALLED)

# torch first: a plain "torch" among other requirements resolves to the newest build with several GB of CUDA.
$(INSTALLED): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' requirements.lock)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(INSTALLED)
	$(BIN)/memberwise audit

# One process a core, one thread each.
test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --durations=40 --durations-min=3

# Under two minutes on two cores: what needs neither long training, nor the real data sets, nor a service.
test-fast: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not real_data and not services"

# What the tests with the mark "services" need: environments for other servers, and axe. Says which of Debian's packages
# are missing.
AXE := .services/axe/package/axe.min.js
services: .venv-mlserver/.installed .venv-mlflow/.installed $(AXE)
	@tests/services/packages.sh

.venv-%/.installed: tests/services/requirements-%.txt
	$(PYTHON) -m venv --clear .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

$(AXE): tests/services/fetch_axe.sh
	$< .services/axe

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# Side-by-side figures of one run, stored in benchmarks/results; on a quiet machine.
bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py

# One data-centre GPU in ten minutes, correctness first, stored in benchmarks/results.
bench-gpu: $(INSTALLED)
	$(BIN)/python benchmarks/gpu.py

# Whole audits beside a plain script with a loop, stored in benchmarks/results/audits.json; on a quiet machine.
bench-audits: $(INSTALLED)
	$(BIN)/python benchmarks/audits.py

# Every attack on the same pools of models, stored in benchmarks/attacks.
bench-attacks: $(INSTALLED)
	$(BIN)/python benchmarks/attacks/measure.py

# Whole processes from data to scores, ours and other tools' (bench-others first); goes on where it stopped. Writes
# benchmarks/results/power.json and docs/power.md.
bench-power: $(INSTALLED)
	$(BIN)/python benchmarks/power.py

# Forests and boosted trees as shadow models beside a joblib loop, stored in benchmarks/results/trees.json.
bench-trees: $(INSTALLED)
	$(BIN)/python benchmarks/trees.py

# The tools we compare with, in their own environment.
bench-others: $(INSTALLED)
	$(BIN)/python benchmarks/install_others.py benchmarks/.venv-others

# Our attacks and statistics beside other people's, on the same arrays; docs/agreement.md explains the figures.
agreement: $(INSTALLED)
	$(BIN)/python benchmarks/agreement.py
	$(BIN)/python benchmarks/agreement_labels.py

# The documentation, in .site/public; a warning is an error. VERSION=0.2.0 publishes it as that version, in .site/versions
# or VERSIONS=FOLDER, beside those that are there.
site: $(INSTALLED)
	$(BIN)/python docs/site/build.py .site $(if $(VERSION),--version $(VERSION)) $(if $(VERSIONS),--versions $(VERSIONS))

# The picture of the README, of the demonstration.
picture: demo
	chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,900 \
		--screenshot=docs/report.png file://$(CURDIR)/runs/demo/report.html

# The wheel with the lowest and the highest allowed versions of what it needs, in fresh environments (gigabytes); with
# further Pythons where they run.
check-versions: $(INSTALLED)
	$(BIN)/python tests/packaging/check_versions.py lowest
	$(BIN)/python tests/packaging/check_versions.py highest
	for version in 3.12 3.13; do for python in python$$version $(HOME)/.pyenv/versions/$$version*/bin/python; do \
		if $$python -c "" 2> /dev/null; then \
			$(BIN)/python tests/packaging/check_versions.py highest --python $$python || exit 1; break; \
		fi; done; done

clean:
	rm -rf $(VENV) .venv-mlserver .venv-mlflow .services .site benchmarks/.venv-others runs
