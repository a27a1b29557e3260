# flotsam. `make demo` and `make check` set up all they need; `make` leaves build/release/flotsam.
#   make [MODE=release|debug|asan|tsan|cov] [V=1]
#   make demo | check | check-all | bench | fuzz SECONDS=60 | install DESTDIR= PREFIX= | uninstall

MODE ?= release
B := build/$(MODE)
PREFIX ?= /usr/local
DESTDIR ?=
CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
PKG_CONFIG ?= pkg-config
V ?= 0
Q := $(if $(filter 0,$(V)),@)
SAY := $(if $(findstring s,$(firstword -$(MAKEFLAGS))),:,echo)

PKGS := libdw libelf zlib libzstd liblzma readline capstone libseccomp
TEST_PKGS := check jansson

WARN := -Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes -Wmissing-prototypes -Wwrite-strings -Wundef \
	-Wvla -Wformat=2 -Wno-format-nonliteral -Wswitch-enum -Wimplicit-fallthrough -Wno-missing-field-initializers \
	-Wno-gnu-statement-expression -Wno-gnu-zero-variadic-macro-arguments
MODE_release := -O2 -g -DNDEBUG -D_FORTIFY_SOURCE=2 -fstack-protector-strong
MODE_debug := -O0 -g3
MODE_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
MODE_tsan := -O1 -g -fsanitize=thread
MODE_cov := -O0 -g --coverage
ifeq ($(MODE_$(MODE)),)
$(error MODE=$(MODE) is none of release debug asan tsan cov)
endif

# Asked of pkg-config when first used and once only: on a fresh system it arrives while make runs.
pkg = $(eval $(1) := $(shell $(PKG_CONFIG) $(2) 2>/dev/null))$($(1))
PKG_CFLAGS = $(call pkg,PKG_CFLAGS,--cflags $(PKGS))
PKG_LIBS = $(call pkg,PKG_LIBS,--libs $(PKGS))
TEST_LIBS = $(call pkg,TEST_LIBS,--libs $(TEST_PKGS))

CFLAGS ?=
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -Iinclude $(WARN) $(MODE_$(MODE)) -fPIE -pthread $(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(MODE_$(MODE)) -pie -pthread -Wl,-z,relro,-z,now $(LDFLAGS)

SRC := $(sort $(wildcard src/*/*.c src/*/*/*.c))
OBJ := $(SRC:src/%.c=$(B)/obj/%.o)
MAIN_OBJ := $(B)/obj/front/main.o
LIB_OBJ := $(filter-out $(MAIN_OBJ),$(OBJ))
LIB := $(B)/libflotsam.a
BIN := $(B)/flotsam

.PHONY: all
all: $(BIN) compile_commands.json

include $(sort $(wildcard scripts/*.mk))

$(BIN): $(MAIN_OBJ) $(LIB)
	$(Q)$(SAY) "  LINK  $@"; $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm -lstdc++
$(LIB): $(LIB_OBJ)
	$(Q)rm -f $@; $(AR) rcs $@ $^
$(B)/obj/%.o: src/%.c $(B)/flags
	$(Q)mkdir -p $(@D); $(SAY) "  CC    $<"; $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# A changed compiler or flag rebuilds all. The first thing any build needs, so it also says which packages are missing.
.PHONY: FORCE
$(B)/flags: FORCE
	$(Q)scripts/deps.sh --check $(PKGS)
	$(Q)mkdir -p $(@D); echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' >$@

-include $(OBJ:.o=.d)

# For editors: one entry a source. gcc cannot write it, so make does, itself: it is longer than an argument of a shell may be
# (MAX_ARG_STRLEN, 128 KiB).
comma := ,
define compile_command
{"directory":"$(CURDIR)","file":"$(1)","output":"$(1:src/%.c=$(B)/obj/%.o)","command":"$(subst ",\",$(CC) $(ALL_CFLAGS)) -c $(1)"}
endef
compile_commands.json: Makefile $(B)/flags $(SRC)
	$(file >$@,[)$(foreach s,$(SRC),$(file >>$@,$(call compile_command,$(s))$(if $(filter-out $(lastword $(SRC)),$(s)),$(comma))))$(file >>$@,])

.PHONY: install uninstall
MAN := $(wildcard man/*.[15])
install: $(BIN)
	install -d '$(DESTDIR)$(PREFIX)/bin'
	install -m 755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/flotsam'
	for m in $(MAN); do install -D -m 644 $$m "$(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}" || exit; done
uninstall:
	rm -f '$(DESTDIR)$(PREFIX)/bin/flotsam'
	for m in $(MAN); do rm -f "$(DESTDIR)$(PREFIX)/share/man/man$${m##*.}/$${m##*/}"; done

.PHONY: clean
clean:
	rm -rf build compile_commands.json
