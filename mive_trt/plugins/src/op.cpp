#include "op.h"

#include <cstring>

namespace mive {

using nvinfer1::DataType;

std::int32_t Op::inputs() const { return static_cast<std::int32_t>(std::strlen(types)); }

bool Op::takes(std::int32_t index, DataType type, DataType first) const {
  switch (index < inputs() ? types[index] : 'T') {
    case 'b':
      return type == DataType::kBOOL;
    case 'i':
      return type == DataType::kINT32;
    case 'f':
      return type == DataType::kFLOAT;
    default:
      return type == first && (type == DataType::kFLOAT || type == DataType::kHALF || type == DataType::kBF16);
  }
}

std::string key_of(const std::string& name_and_attribute, const std::vector<nvinfer1::PluginTensorDesc>& inputs) {
  std::string key = name_and_attribute;
  for (const auto& input : inputs) {
    key += ";" + std::to_string(static_cast<std::int32_t>(input.type)) + ":";
    for (std::int32_t i = 0; i < input.dims.nbDims; ++i) key += (i ? "," : "") + std::to_string(input.dims.d[i]);
  }
  return key;
}

}  // namespace mive
