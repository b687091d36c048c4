// The ops that are plugins, and the names that their kernels go by.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trt_abi.h"

namespace mive {

constexpr char kNamespace[] = "mive";

struct Op {
  const char* name;
  // Of the inputs: T the networks' own, b bool, i int32, f float32. The output is of the first one's type and shape.
  const char* types;
  // An attribute that chooses between kernels; nullptr if there is none.
  const char* attribute;

  std::int32_t inputs() const;

  // Whether tensor `index` may have this type, if the first one has `first`; the output comes after the inputs.
  bool takes(std::int32_t index, nvinfer1::DataType type, nvinfer1::DataType first) const;
};

// Creators refer to them after this library's objects are destroyed, so there is nothing to destroy.
inline constexpr Op kOps[] = {
    {"IPRCrossAttention", "TTTbifff", "bounded"},
    {"FlowAttention", "TTTi", nullptr},
};

// What kernels for these inputs are offered as: "NAME;ATTRIBUTE=1;TYPE:SIZE,SIZE;..." with TensorRT's type numbers.
std::string key_of(const std::string& name_and_attribute, const std::vector<nvinfer1::PluginTensorDesc>& inputs);

}  // namespace mive
