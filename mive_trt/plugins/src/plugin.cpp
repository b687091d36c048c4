#include "plugin.h"

#include <cstring>
#include <string_view>

#include "failure.h"
#include "offers.h"

namespace mive {

using namespace nvinfer1;

namespace {

// An engine's fields: the key its kernels were offered as, and the kernels, as "sm89" for compute capability 8.9.
constexpr std::string_view kKey = "key", kKernels = "sm";

std::vector<PluginTensorDesc> plain(const DynamicPluginTensorDesc* tensors, std::int32_t count) {
  std::vector<PluginTensorDesc> plain;
  for (std::int32_t i = 0; i < count; ++i) plain.push_back(tensors[i].desc);
  return plain;
}

std::string bytes_of(const PluginField& field) {
  return {static_cast<const char*>(field.data), static_cast<std::size_t>(field.length)};
}

}  // namespace

Plugin::Plugin(const Op& op, const PluginFieldCollection& fields, TensorRTPhase phase) : op_(op), chosen_(op.name) {
  phase == TensorRTPhase::kBUILD ? from_node(fields) : from_engine(fields);
}

Plugin::Plugin(const Plugin& other)
    : IPluginV3(), IPluginV3OneCore(), IPluginV3OneBuild(), IPluginV3OneRuntime(), op_(other.op_),
      chosen_(other.chosen_), key_(other.key_), kernels_(other.kernels_) {}

void Plugin::from_node(const PluginFieldCollection& fields) {
  if (!op_.attribute) return;
  for (std::int32_t i = 0; i < fields.nbFields; ++i) {
    const PluginField& field = fields.fields[i];
    if (std::strcmp(field.name, op_.attribute) || field.type != PluginFieldType::kINT32 || field.length < 1) continue;
    std::int32_t value;
    std::memcpy(&value, field.data, sizeof value);
    chosen_ += std::string(";") + op_.attribute + "=" + std::to_string(value);
    return;
  }
  throw Failure(std::string("a node ") + op_.name + " has no attribute " + op_.attribute);
}

void Plugin::from_engine(const PluginFieldCollection& fields) {
  Variants::Bytes bytes;
  for (std::int32_t i = 0; i < fields.nbFields; ++i) {
    const PluginField& field = fields.fields[i];
    const std::string_view name = field.name;
    if (name == kKey) {
      key_ = bytes_of(field);
    } else if (name.substr(0, kKernels.size()) == kKernels) {
      bytes[std::atoi(field.name + kKernels.size())] = bytes_of(field);
    }
  }
  kernels_ = std::make_shared<Variants>(bytes, op_.inputs());
}

IPluginCapability* Plugin::getCapabilityInterface(PluginCapabilityType type) noexcept {
  switch (type) {
    case PluginCapabilityType::kCORE:
      return static_cast<IPluginV3OneCore*>(this);
    case PluginCapabilityType::kBUILD:
      return static_cast<IPluginV3OneBuild*>(this);
    case PluginCapabilityType::kRUNTIME:
      return static_cast<IPluginV3OneRuntime*>(this);
  }
  return nullptr;
}

IPluginV3* Plugin::clone() noexcept {
  return guarded<IPluginV3*>(nullptr, [&] { return new Plugin(*this); });
}

void Plugin::choose(const std::string& key) {
  if (key == key_ && kernels_) return;
  const Variants::Bytes bytes = offered(key);
  if (bytes.empty()) throw Failure("no kernels were compiled for " + key);
  kernels_ = std::make_shared<Variants>(bytes, op_.inputs());
  key_ = key;
}

std::int32_t Plugin::configurePlugin(const DynamicPluginTensorDesc* in, std::int32_t inputs,
                                     const DynamicPluginTensorDesc*, std::int32_t) noexcept {
  return guarded(1, [&] {
    choose(key_of(chosen_, plain(in, inputs)));
    return 0;
  });
}

std::int32_t Plugin::getOutputDataTypes(DataType* output, std::int32_t outputs, const DataType* input,
                                        std::int32_t inputs) const noexcept {
  if (outputs != 1 || inputs != op_.inputs()) return 1;
  output[0] = input[0];
  return 0;
}

std::int32_t Plugin::getOutputShapes(const DimsExprs* in, std::int32_t inputs, const DimsExprs*, std::int32_t,
                                     DimsExprs* out, std::int32_t outputs, IExprBuilder&) noexcept {
  if (outputs != 1 || inputs != op_.inputs()) return 1;
  out[0] = in[0];
  return 0;
}

bool Plugin::supportsFormatCombination(std::int32_t index, const DynamicPluginTensorDesc* tensors,
                                       std::int32_t inputs, std::int32_t) noexcept {
  const PluginTensorDesc& tensor = tensors[index].desc;
  return inputs == op_.inputs() && tensor.format == TensorFormat::kLINEAR &&
         op_.takes(index, tensor.type, tensors[0].desc.type);
}

std::size_t Plugin::getWorkspaceSize(const DynamicPluginTensorDesc*, std::int32_t, const DynamicPluginTensorDesc*,
                                     std::int32_t) const noexcept {
  return kernels_ ? kernels_->workspace() : 0;
}

std::int32_t Plugin::onShapeChange(const PluginTensorDesc* in, std::int32_t inputs, const PluginTensorDesc*,
                                   std::int32_t) noexcept {
  return guarded(1, [&] {
    const std::string shapes = key_of("", {in, in + inputs});
    if (key_.size() < shapes.size() || key_.compare(key_.size() - shapes.size(), shapes.size(), shapes)) {
      throw Failure("kernels compiled as " + key_ + " were to run on " + shapes.substr(1));
    }
    return 0;
  });
}

std::int32_t Plugin::enqueue(const PluginTensorDesc*, const PluginTensorDesc*, const void* const* inputs,
                             void* const* outputs, void* workspace, cudaStream_t stream) noexcept {
  return guarded(1, [&] {
    if (!kernels_) throw Failure("a plugin was run before it was configured");
    kernels_->on_this_gpu().launch({inputs, outputs, workspace}, stream);
    return 0;
  });
}

// Not later: kernels cannot be loaded while a CUDA graph is recorded.
IPluginV3* Plugin::attachToContext(IPluginResourceContext*) noexcept {
  return guarded<IPluginV3*>(nullptr, [&] {
    if (kernels_) kernels_->on_this_gpu();
    return new Plugin(*this);
  });
}

const PluginFieldCollection* Plugin::getFieldsToSerialize() noexcept {
  return guarded<const PluginFieldCollection*>(nullptr, [&] {
    if (!kernels_) throw Failure("a plugin was serialised before it was configured");
    names_.clear();
    fields_ = {{kKey.data(), key_.data(), PluginFieldType::kUNKNOWN, static_cast<std::int32_t>(key_.size())}};
    const Variants::Bytes& variants = kernels_->bytes();
    names_.reserve(variants.size());
    for (const auto& [capability, bytes] : variants) {
      names_.push_back(std::string(kKernels) + std::to_string(capability));
      const auto size = static_cast<std::int32_t>(bytes.size());
      fields_.push_back({names_.back().c_str(), bytes.data(), PluginFieldType::kUNKNOWN, size});
    }
    collection_ = {static_cast<std::int32_t>(fields_.size()), fields_.data()};
    return &collection_;
  });
}

}  // namespace mive
