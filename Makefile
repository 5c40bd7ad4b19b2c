# The usual commands; `make` alone lists them.

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install:  ## dvae and all that its tests need, editable
	pip install -e ".[test]"

lint:  ## style, types and the order of imports
	ruff check .
	ruff format --check .
	mypy
	lint-imports

test:  ## the quick tests, in a minute
	pytest -m "not slow"

test-all:  ## every test
	pytest

docs:  ## the reference in docs/plugins.md, from the code
	python docs/reference.py

site:  ## the site of the documents, in site/, with a run trained for it
	DVAE_SITE_LIVE=1 mkdocs build --strict

bench:  ## how long the command takes to start, as an example of the benchmarks
	python -m benchmarks start_up

ci:  ## what must hold before anything lands, in an environment of its own
	.ci/run

.PHONY: help install lint test test-all docs site bench ci
