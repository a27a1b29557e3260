# The heaps and the yardstick of `make bench`: fixtures/bench/X.c -> build/$(MODE)/bench/X
BENCH := $(patsubst fixtures/bench/%.c,$(B)/bench/%,$(wildcard fixtures/bench/*.c))
$(B)/bench/%: fixtures/bench/%.c scripts/bench.mk
	$(Q)mkdir -p $(@D); $(SAY) "  BENCH $<"; $(FIXTURE_CC) -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -pthread -o $@ $< -ldl

# BENCH_BLOCKS='1M 10M' BENCH_RUNS=7
.PHONY: bench bench-built
bench:
	$(Q)scripts/deps.sh $(PKGS) c++
	$(Q)$(MAKE) --no-print-directory $(JOBS) bench-built
bench-built: $(BIN) $(BENCH)
	$(Q)FLOTSAM='$(CURDIR)/$(BIN)' BENCH='$(CURDIR)/$(B)/bench' scripts/bench.sh
	$(Q)FLOTSAM='$(CURDIR)/$(BIN)' BENCH='$(CURDIR)/$(B)/bench' scripts/bench-sites.sh
