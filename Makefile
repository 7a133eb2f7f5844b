# make demo [BAG=path] [TOPIC=name] [BUDGET=0.5] [SCENARIO=name] [OUT=folder]
#                                                  a bag through the node, drawn
# make test                                        all tests
# make lint                                        style and types
# make benchmark                                   speed, in ratios
# make comparison                                  trains and scores all rows of the comparison table
# make shifted                                     the same for ways to adapt to another world
# make setup                                       the environment only; the others call it

SHELL := /bin/bash
PYTHON ?= python3
BAG ?=
TOPIC ?=
BUDGET ?=
SCENARIO ?=
OUT ?= demo_out
RUN := . tools/activate.bash &&
SOURCES := $(shell find adamtl_ros launch config msg scripts test/interfaces -type f -not -path '*/__pycache__/*') \
	CMakeLists.txt package.xml

.PHONY: setup demo test lint benchmark comparison shifted clean

setup: install/.complete

demo: setup
	@$(RUN) adamtl demo --out "$(OUT)" $(if $(BAG),--bag "$(BAG)") $(if $(TOPIC),--topic "$(TOPIC)") $(if $(BUDGET),-p budget:=$(BUDGET)) $(if $(SCENARIO),--scenario "$(SCENARIO)")

test: setup
	@$(RUN) ADAMTL_REQUIRE_ROS=1 pytest -n 2 --dist loadfile --timeout 600

lint: setup
	@$(RUN) ruff check . && ruff format --check . && mypy

benchmark: setup
	@$(RUN) for part in engine network lora memory publishing governor bag_evaluation; do python benchmarks/$$part.py || exit 1; done

comparison shifted: setup
	@$(RUN) for what in train score time table; do python benchmarks/$@.py $$what || exit 1; done

clean:
	rm -rf .venv build install

.venv/.complete: requirements-dev.txt tools/environment.py
	@$(PYTHON) tools/environment.py create
	@touch $@

install/.complete: .venv/.complete $(SOURCES)
	@$(PYTHON) tools/environment.py build
	@touch $@
