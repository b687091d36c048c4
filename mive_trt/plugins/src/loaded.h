// Kernels on a GPU.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "driver.h"
#include "kernels.h"

namespace mive {

// The addresses of one run.
struct Addresses {
  const void* const* inputs;
  void* const* outputs;
  void* workspace;
};

// Kernels in a CUDA context, until it is destroyed.
class Loaded {
 public:
  // Into the current context. Throws Failure.
  Loaded(const Driver& driver, CUcontext context, const Kernels& kernels);
  ~Loaded();
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;

  // Throws Failure.
  void launch(const Addresses& addresses, CUstream stream) const;

 private:
  void load(const Launch& launch);
  void unload() noexcept;

  const Driver& driver_;
  CUcontext context_;
  const Kernels& kernels_;
  std::vector<CUmodule> modules_;
  std::vector<CUfunction> functions_;
};

// One op's kernels for several kinds of GPU, shared by all clones of a plugin.
class Variants {
 public:
  using Bytes = std::map<int, std::string>;

  // By compute capability, 89 for 8.9. Throws Failure if they are damaged, disagree or are none.
  Variants(const Bytes& bytes, std::uint32_t inputs);

  const Bytes& bytes() const { return bytes_; }
  std::uint64_t workspace() const { return kernels_.begin()->second.workspace; }

  // Those for the current context's GPU. Throws Failure if there are none.
  const Loaded& on_this_gpu();

 private:
  Bytes bytes_;
  std::map<int, Kernels> kernels_;
  std::mutex mutex_;
  std::map<CUcontext, std::unique_ptr<Loaded>> loaded_;
};

}  // namespace mive
