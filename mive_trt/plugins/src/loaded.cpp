#include "loaded.h"

#include "failure.h"

namespace mive {
namespace {

// What a kernel gets without asking.
constexpr std::uint32_t kSharedWithoutAsking = 48 * 1024;

bool wanted(const Launch& launch, const Addresses& addresses) {
  const bool same = addresses.inputs[launch.first] == addresses.inputs[launch.second];
  return launch.when == Launch::kAlways || same == (launch.when == Launch::kIfSame);
}

std::uint64_t value_of(const Parameter& parameter, const Addresses& addresses) {
  if (parameter.kind == Parameter::kNumber) return parameter.value;
  if (parameter.kind == Parameter::kNull) return 0;
  const void* address = parameter.kind == Parameter::kInput    ? addresses.inputs[parameter.index]
                        : parameter.kind == Parameter::kOutput ? addresses.outputs[parameter.index]
                                                               : addresses.workspace;
  const auto value = reinterpret_cast<std::uintptr_t>(address);
  if (!value || value % parameter.value) {
    throw Failure("a tensor begins at no multiple of " + std::to_string(parameter.value) + " bytes");
  }
  return value;
}

}  // namespace

Loaded::Loaded(const Driver& driver, CUcontext context, const Kernels& kernels)
    : driver_(driver), context_(context), kernels_(kernels) {
  try {
    for (const Launch& launch : kernels_.launches) load(launch);
  } catch (...) {
    unload();
    throw;
  }
}

Loaded::~Loaded() {
  // Fails if the context is gone, and the modules with it.
  if (driver_.push_current(context_) != CUDA_SUCCESS) return;
  unload();
  CUcontext popped;
  driver_.pop_current(&popped);
}

void Loaded::load(const Launch& launch) {
  modules_.reserve(modules_.size() + 1);
  CUmodule module = nullptr;
  driver_.check(driver_.load_module(&module, launch.cubin.data()), "loading a kernel");
  modules_.push_back(module);
  CUfunction function = nullptr;
  driver_.check(driver_.get_function(&function, module, launch.name.c_str()), "finding a kernel");
  if (launch.shared > kSharedWithoutAsking) {
    const CUresult result = driver_.set_attribute(function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                                  static_cast<int>(launch.shared));
    driver_.check(result, "reserving shared memory");
  }
  functions_.push_back(function);
}

void Loaded::unload() noexcept {
  for (const CUmodule module : modules_) driver_.unload_module(module);
  modules_.clear();
}

void Loaded::launch(const Addresses& addresses, CUstream stream) const {
  for (std::size_t i = 0; i < functions_.size(); ++i) {
    const Launch& launch = kernels_.launches[i];
    if (!wanted(launch, addresses)) continue;
    std::vector<std::uint64_t> values;
    for (const Parameter& parameter : launch.parameters) values.push_back(value_of(parameter, addresses));
    // The driver reads as many bytes of each as the kernel takes, the lowest first.
    std::vector<void*> places;
    for (std::uint64_t& value : values) places.push_back(&value);
    const auto& grid = launch.grid;
    const CUresult result = driver_.launch(functions_[i], grid[0], grid[1], grid[2], launch.threads, 1, 1,
                                           launch.shared, stream, places.data(), nullptr);
    driver_.check(result, "launching a kernel");
  }
}

Variants::Variants(const Bytes& bytes, std::uint32_t inputs) : bytes_(bytes) {
  for (const auto& [capability, packed] : bytes_) kernels_.emplace(capability, parse_kernels(packed, inputs));
  if (kernels_.empty()) throw Failure("there are no compiled kernels");
  for (const auto& [capability, kernels] : kernels_) {
    if (kernels.workspace != workspace()) throw Failure("kernels for different GPUs differ in their workspace");
  }
}

const Loaded& Variants::on_this_gpu() {
  const Driver& driver = Driver::get();
  const CUcontext context = driver.current_context();
  const std::lock_guard lock(mutex_);
  auto& loaded = loaded_[context];
  if (!loaded) {
    const int capability = driver.current_capability();
    const auto found = kernels_.find(capability);
    if (found == kernels_.end()) {
      std::string others;
      for (const auto& [other, kernels] : kernels_) {
        others += (others.empty() ? "" : ", ") + std::to_string(other / 10) + "." + std::to_string(other % 10);
      }
      throw Failure("the engine has kernels for GPUs of compute capability " + others + ", and this one is of " +
                    std::to_string(capability / 10) + "." + std::to_string(capability % 10));
    }
    loaded = std::make_unique<Loaded>(driver, context, found->second);
  }
  return *loaded;
}

}  // namespace mive
