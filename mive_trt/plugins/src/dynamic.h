// dlopen and dlsym, also on a glibc older than the one that the library is built on.
#pragma once

#include <dlfcn.h>

#ifdef MIVE_OLD_GLIBC
// They moved into libc with 2.34; every glibc still answers to the names of before.
__asm__(".symver dlopen, dlopen@GLIBC_2.2.5");
__asm__(".symver dlsym, dlsym@GLIBC_2.2.5");
#endif
