#include "driver.h"

#include <string>

#include "dynamic.h"
#include "failure.h"

namespace mive {
namespace {

template <typename Function>
void find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  if (!function) throw Failure(std::string("the NVIDIA driver is too old: it has no ") + name);
}

Driver load() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Failure("there is no NVIDIA driver: libcuda.so.1 cannot be loaded");
  Driver driver{};
  find(library, "cuGetErrorString", driver.get_error_string);
  find(library, "cuCtxGetCurrent", driver.get_current);
  find(library, "cuCtxPushCurrent_v2", driver.push_current);
  find(library, "cuCtxPopCurrent_v2", driver.pop_current);
  find(library, "cuCtxGetDevice", driver.get_device);
  find(library, "cuDeviceGetAttribute", driver.get_attribute);
  find(library, "cuModuleLoadData", driver.load_module);
  find(library, "cuModuleUnload", driver.unload_module);
  find(library, "cuModuleGetFunction", driver.get_function);
  find(library, "cuFuncSetAttribute", driver.set_attribute);
  find(library, "cuLaunchKernel", driver.launch);
  return driver;
}

}  // namespace

const Driver& Driver::get() {
  static const Driver driver = load();
  return driver;
}

void Driver::check(CUresult result, const char* what) const {
  if (result == CUDA_SUCCESS) return;
  const char* text = nullptr;
  get_error_string(result, &text);
  throw Failure(std::string(what) + " failed: " + (text ? text : "unknown error") + " (" + std::to_string(result) +
                ")");
}

CUcontext Driver::current_context() const {
  CUcontext context = nullptr;
  check(get_current(&context), "asking for the CUDA context");
  if (!context) throw Failure("no CUDA context is current");
  return context;
}

int Driver::current_capability() const {
  CUdevice device = 0;
  int major = 0, minor = 0;
  check(get_device(&device), "asking for the GPU");
  check(get_attribute(&major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device), "asking for the GPU's kind");
  check(get_attribute(&minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device), "asking for the GPU's kind");
  return 10 * major + minor;
}

}  // namespace mive
