# The truth of the fixtures under the C libraries of other Debian releases; they come into the cache over the network.
#   make check-glibc SUITES='trixie sid'
.PHONY: check-glibc check-glibc-built
check-glibc:
	$(Q)scripts/deps.sh $(PKGS) $(TEST_PKGS) c++
	$(Q)$(MAKE) --no-print-directory $(JOBS) check-glibc-built
check-glibc-built: $(BIN) $(B)/tests/truth_test $(B)/tests/inside_malloc_test $(B)/tests/arena_from_test $(B)/tests/malloc_test $(B)/tests/verify_test $(B)/tests/code_test $(B)/tests/labels_test
	$(Q)MODE=$(MODE) FLOTSAM='$(CURDIR)/$(BIN)' CACHE='$(CACHE)' $(if $(SUITES),SUITES='$(SUITES)') scripts/check-glibc.sh
