# After `bash tools/setup_env.sh dev`, or in an environment that has the tools.
export PATH := $(CURDIR)/.venv-dev/bin:$(PATH)

.PHONY: format static-checks test docs mutation lock

format:
	ruff check --fix .
	ruff format .

static-checks:
	ruff check .
	ruff format --check .
	mypy
	pre-commit validate-config

test:
	bash tools/run_tests.sh

# The documentation site; begin at build-docs/index.html.
docs:
	python -m sphinx -W --keep-going -q -c docs . build-docs

# What the tests would notice, by small changes of the core; of one module by
# `make mutation ONLY='mmvitkd.models.losses.*'`. Then `mutmut results`, `mutmut show NAME`.
mutation:
	OMP_NUM_THREADS=1 nice mutmut run --max-children 1 $(if $(ONLY),'$(ONLY)')

# Resolves the tested versions of both stacks anew where a requirement changed;
# what still fits stays. `uv` from `pip install uv`.
lock:
	echo opencv-python-headless | uv pip compile --universal --python-version 3.10 --no-annotate \
	    --custom-compile-command 'make lock' \
	    --override requirements/overrides.txt \
	    --output-file requirements/constraints.txt \
	    pyproject.toml requirements/onedl*.txt requirements/official*.txt \
	    requirements/digits.txt requirements/export.txt requirements/quantisation.txt requirements/report.txt requirements/hubs.txt \
	    requirements/readers.txt requirements/experiments.txt requirements/docs.txt requirements/tests.txt requirements/*-build.txt -
