# tests/types/RESULTS.md: what flotsam says blocks are, against what their allocation sites say. Needs the network at first, for Debian's
# source; the programs are built once, into the cache. PROGRAMS='cjson lua' are measured alone, and only shown.
.PHONY: types-results
$(B)/types/recorder.so: tests/types/recorder.c tests/types/record.h
	$(Q)mkdir -p $(@D); $(SAY) "  TYPES $<"; gcc -std=gnu17 -D_GNU_SOURCE -O2 -g -Wall -Wextra -shared -fPIC -o $@ $<
$(B)/types/sites: tests/types/sites.c tests/types/record.h
	$(Q)mkdir -p $(@D); $(SAY) "  TYPES $<"; $(CC) -std=gnu17 -D_GNU_SOURCE -O1 -g -Wall -Wextra $(PKG_CFLAGS) -o $@ $< -ldw -lelf -lcapstone
types-results: $(BIN) $(B)/types/recorder.so $(B)/types/sites
	$(Q)FLOTSAM='$(CURDIR)/$(BIN)' TOOLS='$(CURDIR)/$(B)/types' CACHE='$(CACHE)' tests/types/run.sh $(PROGRAMS) >$(B)/types/RESULTS.md
	$(Q)$(if $(PROGRAMS),cat $(B)/types/RESULTS.md,cp $(B)/types/RESULTS.md tests/types/RESULTS.md)
