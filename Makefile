# GNU make. Everything that is made lies under build/ and in what the packages' own builds leave beside their sources.
# Safe with -j. V=1 shows what pip and the compilers say.

PYTHON ?= python3
PYTEST_ARGS ?=
FAULTS_ARGS ?=
FUZZ_SECONDS ?= 60
FUZZ_ARGS ?=
LEAN_10.16 := 10.16.1.11
LEAN_11.4 := 11.4.0.106

SHELL := /bin/sh
.SHELLFLAGS := -eu -c
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:

# The caller's own packages stay out of the environments made here. PIP_FIND_LINKS, PIP_INDEX_URL and the like go through.
unexport PYTHONPATH PYTHONHOME VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK := 1

QUIET := $(if $(V),--verbose,--quiet)
WHEELS := build/wheels
DEMO := build/demo-env
EXPORT := build/export-env
TEST := build/test-env
LEAN := build/lean-10.16-env build/lean-11.4-env
PLUGINS := $(sort $(patsubst plugin-packages/%/pyproject.toml,%,$(wildcard plugin-packages/*/pyproject.toml)))

# What the demo's model needs: the others need not be built for it.
DEMO_PLUGINS := $(shell cat examples/plugins.txt)

# -- sources ---------------------------------------------------------------------------------------------------------
made := -name build -o -name __pycache__ -o -name '*.egg-info' -o -name '.*_cache'
files = $(sort $(shell find $(1) \( $(made) \) -prune -o -type f -not -name '*.so' -not -name trtplugin.json -print))
core_sources := $(call files,trtreg) bin/trtreg pyproject.toml README.md LICENSE
# What a plugin's build takes from this tree: the headers, the build backend, and the manifest that it writes.
sdk_sources := $(call files,trtreg/sdk) $(patsubst %,trtreg/%.py,\
  manifest creator_key _dataclass _elf _json_table _json_text _patterns _versions)
plugin_sources = $(filter-out plugin-packages/$(1)/tests/%,$(call files,plugin-packages/$(1)))

.PHONY: help demo test faults fuzz lint docs wheels bench clean FORCE
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo "PYTHON=$(PYTHON) is the Python to use; PYTEST_ARGS goes to pytest; V=1 shows what pip and the compilers say."

# -- what results depend on, apart from files: written only when it changes -------------------------------------------
build build/demo $(WHEELS):
	@mkdir -p $@

keep = if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

build/python: FORCE | build
	@tools/prerequisites.sh "$(PYTHON)" > $@.new || { rm -f $@.new; exit 1; }; $(keep)

build/cuda-archs: FORCE | build
	@printf '%s\n' "$${TRTREG_CUDA_ARCHS:-}" > $@.new; $(keep)

# A file that was deleted leaves no newer file behind, but a changed list.
build/%.list: FORCE | build
	@printf '%s\n' $($*_files) > $@.new; $(keep)
trtreg_files = $(core_sources)

# -- wheels: isolated PEP 517 builds -----------------------------------------------------------------------------------
# $(call venv,FOLDER) makes a virtual environment, unless it is there and was made by this Python in this place.
venv = cmp -s build/python $(1)/made-by || { rm -rf $(1); "$(PYTHON)" -m venv $(1); cp build/python $(1)/made-by; }

build/builder/made-by: build/python
	@$(call venv,build/builder); touch $@

# A stamp is as old as the beginning of the work, so that an edit meanwhile counts, and appears at its end.
begun = build/begun-$(subst /,_,$@)
finish = mv $(begun) $@

# $(call wheel,NAME,FOLDER)
define wheel
	@touch $(begun); rm -rf build/new/$(1)
	@build/builder/bin/pip wheel $(QUIET) --no-deps --find-links $(WHEELS) --wheel-dir build/new/$(1) ./$(2)
	@rm -f $(WHEELS)/$(subst -,_,$(1))-*.whl
	@mv build/new/$(1)/*.whl $(WHEELS)/
	@$(finish)
endef

$(WHEELS)/.trtreg: $(core_sources) build/trtreg.list build/builder/made-by | $(WHEELS)
	@echo "==> building the trtreg wheel (about 5 s)"
	@rm -rf build/lib build/bdist.*
	$(call wheel,trtreg,)

define plugin_rules
$(1)_files := $(call plugin_sources,$(1))
$(WHEELS)/.$(1): $$($(1)_files) build/$(1).list $(sdk_sources) build/cuda-archs \
		build/builder/made-by | $(WHEELS)/.trtreg
	@echo "==> building the $(1) wheel (about 20 s; the first time nvcc may have to be downloaded)"
	$$(call wheel,$(1),plugin-packages/$(1))
endef
$(foreach plugin,$(PLUGINS),$(eval $(call plugin_rules,$(plugin))))

PLUGIN_WHEELS := $(PLUGINS:%=$(WHEELS)/.%)
wheels: $(WHEELS)/.trtreg $(PLUGIN_WHEELS) ## build the wheels of trtreg and of the plugins: build/wheels/
	@ls -l $(WHEELS)/*.whl

# -- environments ------------------------------------------------------------------------------------------------------
# Of a wheel whose version stayed the same, pip has to be told that it is another one.
replace = $(1)/bin/pip install $(QUIET) --force-reinstall --no-deps
install = $(1)/bin/pip install $(QUIET) --find-links $(WHEELS)

# The versions that the demo was tried with bind here, without being asked for.
tried = --constraint requirements/demo.txt

$(EXPORT)/.installed: $(WHEELS)/.trtreg $(DEMO_PLUGINS:%=$(WHEELS)/.%) requirements/demo.txt build/python
	@echo "==> installing into $(EXPORT): PyTorch, the plugins' ops, trtreg (one minute, or as long as the download takes)"
	@touch $(begun); $(call venv,$(EXPORT))
	@$(call replace,$(EXPORT)) $(foreach name,trtreg $(DEMO_PLUGINS),$(WHEELS)/$(subst -,_,$(name))-*.whl)
	@$(call install,$(EXPORT)) $(tried) trtreg $(DEMO_PLUGINS:%='%[torch]')
	@$(finish)

# Of the wheels here only trtreg: the plugins are what the demo installs, from its index.
$(DEMO)/.installed: $(WHEELS)/.trtreg requirements/demo.txt build/python
	@echo "==> installing into $(DEMO): trtreg[rtx] (half a minute, or as long as the download takes)"
	@touch $(begun); $(call venv,$(DEMO))
	@$(call replace,$(DEMO)) $(WHEELS)/trtreg-*.whl
	@$(call install,$(DEMO)) $(tried) 'trtreg[rtx]'
	@$(finish)

$(TEST)/.installed: $(PLUGIN_WHEELS) pyproject.toml requirements/demo.txt requirements/docs.txt requirements/test.txt build/python | $(WHEELS)/.trtreg
	@echo "==> installing into $(TEST): trtreg (editable), the plugins, the tools (one minute, or as long as the download takes)"
	@touch $(begun); $(call venv,$(TEST))
	@$(call replace,$(TEST)) $(foreach plugin,$(PLUGINS),$(WHEELS)/$(subst -,_,$(plugin))-*.whl)
	@$(call install,$(TEST)) -e '.[rtx,completion,build,lock,index,provenance]' $(PLUGINS:%='%[torch]') -r requirements/test.txt
	@$(finish)

build/docs-env/.installed: pyproject.toml requirements/docs.txt build/python
	@echo "==> installing into build/docs-env: trtreg (editable), MkDocs (a quarter of a minute)"
	@touch $(begun); $(call venv,build/docs-env)
	@build/docs-env/bin/pip install $(QUIET) -e . -r requirements/docs.txt
	@$(finish)

build/lean-%-env/.installed: $(WHEELS)/.trtreg $(PLUGIN_WHEELS) build/python
	@echo "==> installing into build/lean-$*-env: tensorrt-lean $(LEAN_$*), trtreg, the plugins (half a minute)"
	@touch $(begun); $(call venv,build/lean-$*-env)
	@$(call replace,build/lean-$*-env) $(WHEELS)/*.whl
	@$(call install,build/lean-$*-env) trtreg $(PLUGINS) tensorrt-lean==$(LEAN_$*)
	@$(finish)

# -- what a person asks for --------------------------------------------------------------------------------------------
demo: $(EXPORT)/.installed $(DEMO)/.installed | build/demo ## build, publish an index, install from it what a model needs, and make an engine
	@sh examples/demo.sh "$(CURDIR)/$(EXPORT)/bin" "$(CURDIR)/$(DEMO)/bin" $(WHEELS) build/demo

test: $(TEST)/.installed $(LEAN:%=%/.installed) ## run all tests
	@# The tests compile too: where the machine has no nvcc, it comes from PyPI, as in a plugin's build.
	@missing=$$($(TEST)/bin/python -c 'from trtreg.sdk import toolchain; print(*toolchain.missing_requirements())'); \
	[ -z "$$missing" ] || $(TEST)/bin/pip install $(QUIET) $$missing
	@echo "==> running the tests"
	@TRTREG_TEST_RTX_1_7="$(CURDIR)/$(TEST)/bin/python" \
	TRTREG_TEST_LEAN_10_16="$(CURDIR)/build/lean-10.16-env/bin/python" \
	TRTREG_TEST_LEAN_11_4="$(CURDIR)/build/lean-11.4-env/bin/python" \
	$(TEST)/bin/python -m pytest $(PYTEST_ARGS)

faults: $(TEST)/.installed $(LEAN:%=%/.installed) ## break everything on purpose, for half an hour: docs/reliability.md; FAULTS_ARGS="--jobs 2"
	@TRTREG_TEST_LEAN_10_16="$(CURDIR)/build/lean-10.16-env/bin/python" \
	TRTREG_TEST_LEAN_11_4="$(CURDIR)/build/lean-11.4-env/bin/python" \
	$(TEST)/bin/python tools/reliability.py $(FAULTS_ARGS)

fuzz: $(TEST)/.installed ## fuzz readers and plugins for FUZZ_SECONDS each: build/fuzz/; FUZZ_ARGS="NAME... --write"
	@$(TEST)/bin/pip install $(QUIET) -r requirements/fuzz.txt
	@command -v clang++ > /dev/null || echo "fuzz: no clang++ here, so plugins get inputs that no coverage leads"
	@$(TEST)/bin/python tools/fuzz.py --seconds $(FUZZ_SECONDS) $(FUZZ_ARGS)

lint: $(TEST)/.installed ## run the checks of formatting, style, types and workflows only
	@$(TEST)/bin/python -m pytest -q tests/test_house.py

docs: build/docs-env/.installed ## build the documentation, warnings as errors: build/docs/index.html
	@NO_MKDOCS_2_WARNING=1 build/docs-env/bin/python -m mkdocs build --strict $(QUIET)

bench: | build ## check and measure the kernels, where there is a GPU; benchmarks/gpu.sh says what it needs
	@nvidia-smi > /dev/null 2>&1 || { echo "bench: there is no NVIDIA GPU here, so nothing was measured"; exit 1; }
	@sh benchmarks/gpu.sh build/benchmarks

clean: ## remove everything that was made
	rm -rf build *.egg-info tests/testing/trtplugin-probe/build $(foreach plugin,$(PLUGINS),$(addprefix plugin-packages/$(plugin)/,build *.egg-info))
