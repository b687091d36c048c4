// A CUDA driver that writes down what it is asked, to the file $FAKE_CUDA_LOG.
//
// $FAKE_CUDA_SIZES holds the sizes of each kernel's parameters, "measure=8,8,4;attend=8", as its machine code has them.
// $FAKE_CUDA_SM is the GPU's compute capability; the function that $FAKE_CUDA_FAIL names fails.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>

namespace {

constexpr int kFailed = 999;
int modules = 0;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

bool fails(const char* function) { return environment("FAKE_CUDA_FAIL") == function; }

template <typename... Values>
void note(const char* format, Values... values) {
  std::FILE* file = std::fopen(environment("FAKE_CUDA_LOG").c_str(), "a");
  std::fprintf(file, format, values...);
  std::fclose(file);
}

std::string sizes_of(const std::string& kernel) {
  std::istringstream all(environment("FAKE_CUDA_SIZES"));
  for (std::string entry; std::getline(all, entry, ';');) {
    const auto equals = entry.find('=');
    if (entry.substr(0, equals) == kernel) return entry.substr(equals + 1);
  }
  return {};
}

std::string bytes(void** parameters, const std::string& sizes) {
  std::string text;
  std::istringstream all(sizes);
  for (std::string size; std::getline(all, size, ',');) {
    const auto* place = static_cast<const unsigned char*>(*parameters++);
    text += " ";
    char two[3];
    for (int i = 0; i < std::stoi(size); ++i) text += (std::snprintf(two, sizeof two, "%02x", place[i]), two);
  }
  return text;
}

struct Function {
  int module;
  std::string name;
};

}  // namespace

extern "C" {

int cuGetErrorString(int error, const char** text) {
  *text = error == kFailed ? "made to fail" : nullptr;
  return 0;
}

int cuCtxGetCurrent(void** context) {
  *context = fails("cuCtxGetCurrent") ? nullptr : reinterpret_cast<void*>(1);
  return 0;
}

int cuCtxPushCurrent_v2(void*) { return fails("cuCtxPushCurrent_v2") ? kFailed : 0; }
int cuCtxPopCurrent_v2(void**) { return 0; }

int cuCtxGetDevice(int* device) {
  *device = 3;
  return 0;
}

int cuDeviceGetAttribute(int* value, int attribute, int device) {
  const int capability = std::stoi(environment("FAKE_CUDA_SM"));
  *value = device != 3 ? 0 : attribute == 75 ? capability / 10 : attribute == 76 ? capability % 10 : 0;
  return 0;
}

int cuModuleLoadData(void** module, const void* image) {
  if (fails("cuModuleLoadData")) return kFailed;
  *module = reinterpret_cast<void*>(static_cast<std::intptr_t>(++modules));
  note("load %d %d\n", modules, std::memcmp(image, "\177ELF", 4) == 0);
  return 0;
}

int cuModuleUnload(void* module) {
  note("unload %d\n", static_cast<int>(reinterpret_cast<std::intptr_t>(module)));
  return 0;
}

int cuModuleGetFunction(void** function, void* module, const char* name) {
  if (fails("cuModuleGetFunction")) return kFailed;
  static Function functions[256];
  const int number = static_cast<int>(reinterpret_cast<std::intptr_t>(module));
  functions[number] = {number, name};
  *function = &functions[number];
  return 0;
}

int cuFuncSetAttribute(void* function, int attribute, int value) {
  note("shared %s %d %d\n", static_cast<Function*>(function)->name.c_str(), attribute, value);
  return 0;
}

int cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared, void* stream, void** parameters, void** extra) {
  if (fails("cuLaunchKernel") || extra) return kFailed;
  const auto& kernel = *static_cast<Function*>(function);
  const std::string given = bytes(parameters, sizes_of(kernel.name));
  note("launch %d %s %u,%u,%u %u,%u,%u %u %zu%s\n", kernel.module, kernel.name.c_str(), grid_x, grid_y, grid_z, block_x,
       block_y, block_z, shared, reinterpret_cast<std::size_t>(stream), given.c_str());
  return 0;
}

}  // extern "C"
