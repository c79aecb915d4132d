/* The core and what stands under it, as one unit: the compiler sees every caller of a function, drops
 * arguments that nobody uses and puts what is called once where it is called. A tenth of the flash.
 *
 * A linker that optimises would do as well, but zig's inlines as if for speed. Functions of the files
 * below therefore have different names, also those that are their own. A part's files and bus.c stay
 * units of their own. */
#ifdef __clang__
#pragma clang attribute push(__attribute__((internal_linkage)), apply_to = function)
#endif
#include "../core/leaf.h"
#include "../core/program.h"
#include "../core/ed25519.h"
#include "../core/sha512.h"
#include "../core/verifier.h"
#include "../core/vm.h"
#include "../core/words.h"
#include "arm.h"
#ifdef __clang__
#pragma clang attribute pop
#endif

#include "../core/bytes.c"
#include "../core/cbor.c"
#include "../core/deploy.c"
#include "../core/ed25519.c"
#include "../core/engine.c"
#include "../core/events.c"
#include "../core/frame.c"
#include "../core/leaf.c"
#include "../core/lzss.c"
#include "../core/program.c"
#include "../core/requests.c"
#include "../core/session.c"
#include "../core/sha512.c"
#include "../core/slots.c"
#include "../core/verifier.c"
#include "../core/vm.c"
#include "../core/words.c"

#include "arm.c"
#include "start.c"
