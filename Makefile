# make demo [BAG=path] [TOPIC=name] [BUDGET=0.5] [SCENARIO=name] [OUT=folder]
#                                                  a bag through the node, drawn
# make test                                        all tests
# make hostile [CASES=2000]                        property tests of all readers, at random
# make lint                                        style, types and spelling
# make benchmark [BAG=path]                        speed, in ratios
# make comparison [PHOTOS=folder]                  trains and scores all rows of the comparison table
# make drawn shifted                               the same on drawn scenes, and for another domain
# make coverage                                    all tests, and the lines that they reach
# make docs                                        the documentation, into site/
# make setup [ROS=jazzy] [PYTHON=python3]          the environment only; the others call it
# make clean                                       removes the environment and the builds
#
# ROS is jazzy or kilted. Without it the installed distribution stays, jazzy in a fresh clone; with
# another one the environment is made again.

SHELL := /bin/bash
PYTHON ?= python3
ROS ?= $(firstword $(patsubst .venv/.complete-%,%,$(wildcard .venv/.complete-*)) jazzy)
BAG ?=
TOPIC ?=
BUDGET ?=
SCENARIO ?=
OUT ?= demo_out
CASES ?= 2000
PHOTOS ?=
RUN := . tools/activate.bash &&
SOURCES := $(shell find adamtl_ros launch config msg scripts test/interfaces -type f -not -path '*/__pycache__/*') \
	CMakeLists.txt package.xml

.PHONY: setup demo test hostile lint coverage docs benchmark comparison drawn shifted clean

setup: install/.complete

demo: setup
	@$(RUN) adamtl demo --out "$(OUT)" $(if $(BAG),--bag "$(BAG)") $(if $(TOPIC),--topic "$(TOPIC)") $(if $(BUDGET),-p budget:=$(BUDGET)) $(if $(SCENARIO),--scenario "$(SCENARIO)")

test: setup
	@$(RUN) ADAMTL_REQUIRE_ROS=1 pytest -n 2 --dist loadfile --timeout 600

hostile: setup
	@$(RUN) ADAMTL_REQUIRE_ROS=1 ADAMTL_HOSTILE_CASES=$(CASES) pytest test/hostile --timeout 36000

lint: setup
	@$(RUN) ruff check . && ruff format --check . && mypy && mypy --config-file test/mypy.ini && codespell

coverage: setup
	@$(RUN) ADAMTL_REQUIRE_ROS=1 pytest --cov --cov-report=term --cov-report=xml

docs: setup
	@$(RUN) pip install --quiet --requirement requirements/docs.txt && mkdocs build --strict

benchmark: setup
	@$(RUN) for part in engine network lora memory publishing; do python benchmarks/$$part.py || exit 1; done
	@$(RUN) for part in governor bag_evaluation; do python benchmarks/$$part.py $(if $(BAG),"$(BAG)") || exit 1; done

comparison drawn shifted: setup
	@$(RUN) for what in train score time table; do python benchmarks/$@.py $$what $(if $(PHOTOS),--set data.root="$(PHOTOS)" --set validation.root="$(PHOTOS)") || exit 1; done

clean:
	rm -rf .venv build install

ENVIRONMENT := .venv/.complete-$(ROS)

$(ENVIRONMENT): requirements-dev.txt requirements/ros-$(ROS).txt tools/environment.py
	@$(PYTHON) tools/environment.py create --ros $(ROS)
	@touch $@

# Only for an unsupported distribution: prints the supported ones and fails.
requirements/ros-%.txt:
	@$(PYTHON) tools/environment.py create --ros $*

install/.complete: $(ENVIRONMENT) $(SOURCES)
	@$(PYTHON) tools/environment.py build
	@touch $@
