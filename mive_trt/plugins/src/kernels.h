// What to launch, as mive_trt/cubins.py packs it. Nothing here knows what the kernels compute.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace mive {

// Of a kernel: where a pointer's value comes from, or the value of a number.
struct Parameter {
  enum Kind : std::uint32_t { kInput = 0, kOutput = 1, kWorkspace = 2, kNumber = 3, kNull = 4 };
  Kind kind;
  // Of an input or output.
  std::uint32_t index;
  // The bytes of a number, or what an address must be a multiple of.
  std::uint64_t value;
};

struct Launch {
  enum When : std::uint32_t { kAlways = 0, kIfSame = 1, kIfDifferent = 2 };
  // On two inputs being the same memory.
  When when;
  std::uint32_t first, second;
  std::array<std::uint32_t, 3> grid;
  std::uint32_t threads, shared;
  std::string name, cubin;
  std::vector<Parameter> parameters;
};

struct Kernels {
  std::uint64_t workspace = 0;
  std::vector<Launch> launches;
};

// Throws Failure unless `bytes` are whole and name no input beyond `inputs`.
Kernels parse_kernels(const std::string& bytes, std::uint32_t inputs);

}  // namespace mive
