# The heaps and the yardstick of `make bench`: fixtures/bench/X.c, X.cc -> build/$(MODE)/bench/X
BENCH := $(patsubst fixtures/bench/%,$(B)/bench/%,$(basename $(wildcard fixtures/bench/*.c fixtures/bench/*.cc)))
$(B)/bench/%: fixtures/bench/%.c scripts/bench.mk
	$(Q)mkdir -p $(@D); $(SAY) "  BENCH $<"; $(FIXTURE_CC) -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -pthread -o $@ $< -ldl
$(B)/bench/%: fixtures/bench/%.cc scripts/bench.mk
	$(Q)mkdir -p $(@D); $(SAY) "  BENCH $<"; $(FIXTURE_CXX) -std=gnu++17 -O2 -g -Wall -Wextra -o $@ $<

# BENCH_BLOCKS='1M 10M' BENCH_RUNS=7
.PHONY: bench bench-built
bench:
	$(Q)scripts/deps.sh $(PKGS) c++
	$(Q)$(MAKE) --no-print-directory $(JOBS) bench-built
bench-built: $(BIN) $(BENCH)
	$(Q)FLOTSAM='$(CURDIR)/$(BIN)' BENCH='$(CURDIR)/$(B)/bench' scripts/bench.sh
	$(Q)FLOTSAM='$(CURDIR)/$(BIN)' BENCH='$(CURDIR)/$(B)/bench' scripts/bench-sites.sh
	$(Q)CXX='$(FIXTURE_CXX)' CC='$(FIXTURE_CC)' scripts/bench-dwarf.sh '$(CACHE)/bench/much-dwarf'
	$(Q)FLOTSAM='$(CURDIR)/$(BIN)' BENCH='$(CURDIR)/$(B)/bench' BENCH_DWARF='$(CACHE)/bench/much-dwarf' scripts/bench-types.sh
