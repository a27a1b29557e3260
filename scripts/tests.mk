# Tests and fixtures. A new file in tests/unit, tests/e2e, tests/all, tests/fuzz or fixtures/src needs no edit here.
#   tests/unit/X_test.c, tests/e2e/X_test.c   programs of libcheck -> $(B)/tests/X_test
#   tests/e2e/X.sh, tests/all/X.sh            print "ok NAME", "not ok NAME: why" or "SKIP NAME: needs PACKAGE"
#   tests/all/X_test.c                        as above, run by check-all only, with CACHE set
#   tests/support/*.c                         linked to every test
#   fixtures/src/X.c, X.cc                    -> $(B)/fixtures/X; libX.c and libX.cc -> $(B)/fixtures/libX.so
# A fixture's first line may say `// flags: -O2 -lpthread`, added to FIXTURE_FLAGS.

FIXTURE_CC ?= gcc
FIXTURE_CXX ?= g++
# Always plain: a sanitizer would put its own allocator into the program that is looked at.
FIXTURE_FLAGS := -O1 -g -Wall -Wextra -pthread

SUPPORT_SRC := $(wildcard tests/support/*.c)
SUPPORT_OBJ := $(patsubst tests/%.c,$(B)/tests/%.o,$(SUPPORT_SRC))
UNIT_SRC := $(sort $(wildcard tests/unit/*_test.c))
E2E_SRC := $(sort $(wildcard tests/e2e/*_test.c))
ALL_SRC := $(sort $(wildcard tests/all/*_test.c))
tests_of = $(patsubst %.c,$(B)/tests/%,$(notdir $(1)))
UNIT := $(call tests_of,$(UNIT_SRC))
E2E := $(call tests_of,$(E2E_SRC))
ALL_TESTS := $(call tests_of,$(ALL_SRC))
E2E_SH := $(sort $(wildcard tests/e2e/*.sh))
ALL_SH := $(sort $(wildcard tests/all/*.sh))

fixture_of = $(patsubst fixtures/src/%,$(B)/fixtures/%$(2),$(basename $(1)))
FIXTURE_SRC := $(sort $(wildcard fixtures/src/*.c fixtures/src/*.cc))
FIXTURE_LIB_SRC := $(filter fixtures/src/lib%,$(FIXTURE_SRC))
FIXTURES := $(call fixture_of,$(filter-out $(FIXTURE_LIB_SRC),$(FIXTURE_SRC))) $(call fixture_of,$(FIXTURE_LIB_SRC),.so)

.SECONDARY: $(SUPPORT_OBJ)
.PHONY: fixtures tests
fixtures: $(FIXTURES)
tests: $(UNIT) $(E2E) $(FIXTURES)

TEST_CFLAGS = $(filter-out -DNDEBUG,$(ALL_CFLAGS)) -I. -Itests/support
$(B)/tests/support/%.o: tests/support/%.c $(B)/flags
	$(Q)mkdir -p $(@D); $(SAY) "  CC    $<"; $(CC) $(TEST_CFLAGS) -MMD -MP -c -o $@ $<
define test_rule
$(B)/tests/%: tests/$(1)/%.c $(SUPPORT_OBJ) $(LIB) $(B)/flags
	$$(Q)mkdir -p $$(@D); $$(SAY) "  TEST  $$<"; $$(CC) $$(TEST_CFLAGS) -MMD -MP -MF $$@.d $$(ALL_LDFLAGS) -o $$@ $$< $(SUPPORT_OBJ) \
		$(LIB) $$(TEST_LIBS) $$(PKG_LIBS) -lm -lstdc++
endef
$(foreach d,unit e2e all,$(eval $(call test_rule,$(d))))

# $(1) compiler, $(2) more flags. A library that the flags name stands behind the source, as the linker wants it.
fixture = $(Q)mkdir -p $(@D); $(SAY) "  FIX   $<"; \
	$(1) $(FIXTURE_FLAGS) $(2) -MMD -MP -MF $@.d -o $@ $< $$(sed -n '1s,^\(//\|/\*\) *flags:\([^*]*\).*,\2,p' $<)
$(B)/fixtures/lib%.so: fixtures/src/lib%.c scripts/tests.mk
	$(call fixture,$(FIXTURE_CC),-std=gnu17 -shared -fPIC)
$(B)/fixtures/lib%.so: fixtures/src/lib%.cc scripts/tests.mk
	$(call fixture,$(FIXTURE_CXX),-std=gnu++17 -shared -fPIC)
$(B)/fixtures/%: fixtures/src/%.c scripts/tests.mk
	$(call fixture,$(FIXTURE_CC),-std=gnu17)
$(B)/fixtures/%: fixtures/src/%.cc scripts/tests.mk
	$(call fixture,$(FIXTURE_CXX),-std=gnu++17)

-include $(SUPPORT_OBJ:.o=.d) $(UNIT:=.d) $(E2E:=.d) $(ALL_TESTS:=.d) $(FIXTURES:=.d)

.PHONY: check-layers check-headers
check-layers:
	$(Q)scripts/check-layers.sh
# Each header stands alone.
check-headers: $(B)/flags
	$(Q)for h in $(wildcard include/flotsam/*.h src/*/*.h src/*/*/*.h); do \
		echo "#include \"$$h\"" | $(CC) $(ALL_CFLAGS) -Werror -I. -fsyntax-only -x c - || exit; done

# As many jobs as there are cores, unless the caller chose.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
RUN_TESTS = MODE=$(MODE) FLOTSAM='$(CURDIR)/$(BIN)' FIXTURES='$(CURDIR)/$(B)/fixtures' CC='$(CC)' scripts/run-tests.sh
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/flotsam

# The packages are looked for first; make starts anew behind that, so that it sees what was installed.
.PHONY: check check-built check-all check-all-built
check:
	$(Q)scripts/deps.sh $(PKGS) $(TEST_PKGS) c++
	$(Q)$(MAKE) --no-print-directory $(JOBS) check-built
check-built: $(BIN) check-layers check-headers tests fuzz-replay-programs
	$(Q)$(RUN_TESTS) $(UNIT) $(FUZZ_REPLAY) $(E2E) $(E2E_SH)
check-all:
	$(Q)scripts/deps.sh $(PKGS) $(TEST_PKGS) c++
	$(Q)$(MAKE) --no-print-directory $(JOBS) check-all-built
check-all-built: $(BIN) tests $(ALL_TESTS)
	$(Q)CACHE='$(CACHE)' $(RUN_TESTS) $(ALL_TESTS) $(ALL_SH)

# One test: make check-one T=span_test
.PHONY: check-one
check-one: $(BIN) $(FIXTURES) $(B)/tests/$(T)
	$(Q)$(RUN_TESTS) $(B)/tests/$(T)

# tests/fuzz/X_fuzz.c holds LLVMFuzzerTestOneInput; fixtures/corpus/X/ what it starts from. `make check` replays the corpus
# by a plain main, so that an input that once broke something stays mended where there is no clang.
FUZZ_SRC := $(sort $(wildcard tests/fuzz/*_fuzz.c))
FUZZ_NAMES := $(patsubst tests/fuzz/%_fuzz.c,%,$(FUZZ_SRC))
FUZZ_REPLAY := $(FUZZ_NAMES:%=$(B)/tests/%_replay)
FUZZ_FLAGS := -fsanitize=address,undefined -g -O1
FUZZ_CFLAGS = -std=gnu17 -D_GNU_SOURCE -Iinclude -I. -Itests/support $(FUZZ_FLAGS) -pthread $(PKG_CFLAGS)
FUZZ_OBJ := $(patsubst %.c,build/fuzz/obj/%.o,$(filter-out src/front/%,$(SRC)) $(SUPPORT_SRC))
SECONDS ?= 60
.PHONY: fuzz fuzz-built need-clang fuzz-replay-programs
.SECONDARY: $(FUZZ_OBJ)
fuzz-replay-programs: $(FUZZ_REPLAY)
$(B)/tests/%_replay: tests/fuzz/%_fuzz.c tests/fuzz/replay.h $(SUPPORT_OBJ) $(LIB) $(B)/flags
	$(Q)mkdir -p $(@D); $(SAY) "  TEST  $<"; $(CC) $(TEST_CFLAGS) -DCORPUS='"fixtures/corpus/$*"' -include tests/fuzz/replay.h \
		$(ALL_LDFLAGS) -o $@ $< $(SUPPORT_OBJ) $(LIB) $(TEST_LIBS) $(PKG_LIBS) -lm -lstdc++
build/fuzz/obj/%.o: %.c | need-clang
	$(Q)mkdir -p $(@D); $(SAY) "  FUZZ  $<"; clang $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<
build/fuzz/%: tests/fuzz/%_fuzz.c $(FUZZ_OBJ) | need-clang
	$(Q)$(SAY) "  FUZZ  $<"; clang $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $< $(FUZZ_OBJ) $(TEST_LIBS) $(PKG_LIBS) -lm -lstdc++
-include $(FUZZ_OBJ:.o=.d)
need-clang:
	$(Q)command -v clang >/dev/null || { echo 'fuzzing needs clang: apt-get install clang' >&2; exit 1; }
fuzz: need-clang $(FUZZ_NAMES:%=build/fuzz/%)
	$(Q)for n in $(FUZZ_NAMES); do mkdir -p build/fuzz/corpus/$$n; echo "fuzzing $$n for $(SECONDS) s"; \
		build/fuzz/$$n -max_total_time=$(SECONDS) -rss_limit_mb=2048 -artifact_prefix=build/fuzz/$$n- \
			build/fuzz/corpus/$$n fixtures/corpus/$$n 2>build/fuzz/$$n.log || { tail -n 40 build/fuzz/$$n.log; exit 1; }; \
		tail -n 1 build/fuzz/$$n.log; done

.PHONY: demo demo-built
demo:
	$(Q)scripts/deps.sh $(PKGS) c++
	$(Q)$(MAKE) --no-print-directory $(JOBS) demo-built
demo-built: $(BIN) $(FIXTURES)
	$(Q)FLOTSAM=$(BIN) FIXTURES=$(B)/fixtures scripts/demo.sh
