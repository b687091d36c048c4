// Lets a plugin that was linked on a new system run on glibc 2.28: own versions, hidden inside the plugin, of the few
// symbols newer than that which GCC's static runtime libraries ask for. Nothing here is needed by MIVE's own code, and
// nothing is compiled in where the runtime does not ask for it.

#include <dlfcn.h>
#include <features.h>
#include <link.h>
#include <sched.h>

#if __GLIBC_PREREQ(2, 32)
// libstdc++ skips atomic operations while there is one thread. Hosts have many.
extern "C" char __libc_single_threaded;
char __libc_single_threaded = 0;
#endif

#if __GLIBC_PREREQ(2, 34)
// libgcc takes the address to tell whether there can be threads at all; it never calls it.
extern "C" int __pthread_key_create(unsigned*, void (*)(void*)) { return 1; }

// libgcc fills its register table with it, before the first exception is handled.
extern "C" int pthread_once(int* control, void (*routine)()) {
  enum { fresh = 0, running = 1, done = 2 };
  int seen = fresh;
  if (__atomic_compare_exchange_n(control, &seen, running, false, __ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
    routine();
    __atomic_store_n(control, done, __ATOMIC_RELEASE);
  }
  while (__atomic_load_n(control, __ATOMIC_ACQUIRE) != done) sched_yield();
  return 0;
}
#endif

#ifdef DLFO_STRUCT_HAS_EH_DBASE  // glibc 2.35
namespace {

int find_object(dl_phdr_info* info, size_t, void* argument) {
  auto& found = *static_cast<dl_find_object*>(argument);
  const auto address = reinterpret_cast<ElfW(Addr)>(found.dlfo_map_start);
  ElfW(Addr) begin = ~ElfW(Addr){0}, end = 0, unwind_table = 0;
  bool inside = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    const ElfW(Addr) from = info->dlpi_addr + segment.p_vaddr, to = from + segment.p_memsz;
    if (segment.p_type == PT_GNU_EH_FRAME) unwind_table = from;
    if (segment.p_type != PT_LOAD) continue;
    begin = from < begin ? from : begin;
    end = to > end ? to : end;
    inside = inside || (address >= from && address < to);
  }
  if (!inside || !unwind_table) return 0;
  found.dlfo_map_start = reinterpret_cast<void*>(begin);
  found.dlfo_map_end = reinterpret_cast<void*>(end);
  found.dlfo_eh_frame = reinterpret_cast<void*>(unwind_table);
  return 1;
}

}  // namespace

// libgcc's unwinder finds the tables for an address with it.
extern "C" int _dl_find_object(void* address, dl_find_object* result) noexcept {
  *result = {};
  result->dlfo_map_start = address;
  return dl_iterate_phdr(find_object, result) == 1 ? 0 : -1;
}
#endif
