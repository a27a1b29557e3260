# flotsam. `make demo` and `make check` set up all they need; `make` leaves build/release/flotsam.
#   make [MODE=release|debug|asan|tsan|cov] [V=1]
#   make check | check-all | bench | demo | fuzz SECONDS=60 | install DESTDIR= PREFIX=

MODE ?= release
B := build/$(MODE)
PREFIX ?= /usr/local
DESTDIR ?=
CC := $(if $(filter default undefined,$(origin CC)),gcc,$(CC))
PKG_CONFIG ?= pkg-config
V ?= 0
Q := $(if $(filter 0,$(V)),@)

PKGS := libdw libelf libzstd liblzma
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

CFLAGS ?=
ALL_CFLAGS = -std=gnu17 -D_GNU_SOURCE -Iinclude $(WARN) $(MODE_$(MODE)) -fPIE -pthread $(PKG_CFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(MODE_$(MODE)) -pie -pthread -Wl,-z,relro,-z,now $(LDFLAGS)
PKG_CFLAGS = $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null)
PKG_LIBS = $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)
TEST_LIBS = $(shell $(PKG_CONFIG) --libs $(TEST_PKGS) 2>/dev/null)

SRC := $(sort $(wildcard src/*/*.c src/*/*/*.c))
OBJ := $(SRC:src/%.c=$(B)/obj/%.o)
MAIN_OBJ := $(B)/obj/front/main.o
LIB_OBJ := $(filter-out $(MAIN_OBJ),$(OBJ))
LIB := $(B)/libflotsam.a
BIN := $(B)/flotsam

.PHONY: all
all: $(BIN)
	$(Q)mkdir -p build

include $(sort $(wildcard scripts/*.mk))

$(BIN): $(MAIN_OBJ) $(LIB)
	$(Q)echo "  LINK  $@"; $(CC) $(ALL_LDFLAGS) -o $@ $^ $(PKG_LIBS) -lm -lstdc++
$(LIB): $(LIB_OBJ)
	$(Q)rm -f $@; $(AR) rcs $@ $^
$(B)/obj/%.o: src/%.c $(B)/flags
	$(Q)mkdir -p $(@D); echo "  CC    $<"; $(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# A changed compiler or flag rebuilds all.
.PHONY: FORCE
$(B)/flags: FORCE
	$(Q)mkdir -p $(@D); echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(ALL_LDFLAGS)' >$@

-include $(OBJ:.o=.d)

.PHONY: clean
clean:
	rm -rf build compile_commands.json
