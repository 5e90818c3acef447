# After `bash tools/setup_env.sh dev`, or in an environment that has the tools.
export PATH := $(CURDIR)/.venv-dev/bin:$(PATH)

.PHONY: format static-checks test docs lock

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

# Resolves the tested versions of both stacks anew where a requirement changed;
# what still fits stays. `uv` from `pip install uv`.
lock:
	echo opencv-python-headless | uv pip compile --universal --python-version 3.10 --no-annotate \
	    --custom-compile-command 'make lock' \
	    --override requirements/overrides.txt \
	    --output-file requirements/constraints.txt \
	    pyproject.toml requirements/onedl*.txt requirements/official*.txt \
	    requirements/digits.txt requirements/report.txt requirements/hubs.txt \
	    requirements/experiments.txt requirements/docs.txt requirements/tests.txt requirements/*-build.txt -
