// One op in a network or an engine.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "loaded.h"
#include "op.h"

namespace mive {

class Plugin final : public nvinfer1::IPluginV3,
                     public nvinfer1::IPluginV3OneCore,
                     public nvinfer1::IPluginV3OneBuild,
                     public nvinfer1::IPluginV3OneRuntime {
 public:
  // Of a network, with the fields of its node, or of an engine, with those that were serialised. Throws Failure.
  Plugin(const Op& op, const nvinfer1::PluginFieldCollection& fields, nvinfer1::TensorRTPhase phase);

  nvinfer1::IPluginCapability* getCapabilityInterface(nvinfer1::PluginCapabilityType type) noexcept override;
  nvinfer1::IPluginV3* clone() noexcept override;

  const char* getPluginName() const noexcept override { return op_.name; }
  const char* getPluginVersion() const noexcept override { return MIVE_PLUGIN_VERSION; }
  const char* getPluginNamespace() const noexcept override { return kNamespace; }

  std::int32_t configurePlugin(const nvinfer1::DynamicPluginTensorDesc* in, std::int32_t inputs,
                               const nvinfer1::DynamicPluginTensorDesc* out, std::int32_t outputs) noexcept override;
  std::int32_t getOutputDataTypes(nvinfer1::DataType* output, std::int32_t outputs, const nvinfer1::DataType* input,
                                  std::int32_t inputs) const noexcept override;
  std::int32_t getOutputShapes(const nvinfer1::DimsExprs* in, std::int32_t inputs, const nvinfer1::DimsExprs*,
                               std::int32_t, nvinfer1::DimsExprs* out, std::int32_t outputs,
                               nvinfer1::IExprBuilder&) noexcept override;
  bool supportsFormatCombination(std::int32_t index, const nvinfer1::DynamicPluginTensorDesc* tensors,
                                 std::int32_t inputs, std::int32_t outputs) noexcept override;
  std::int32_t getNbOutputs() const noexcept override { return 1; }
  std::size_t getWorkspaceSize(const nvinfer1::DynamicPluginTensorDesc*, std::int32_t,
                               const nvinfer1::DynamicPluginTensorDesc*, std::int32_t) const noexcept override;
  // The op and its attribute, which a key begins with.
  const char* getMetadataString() noexcept override { return chosen_.c_str(); }

  std::int32_t onShapeChange(const nvinfer1::PluginTensorDesc* in, std::int32_t inputs,
                             const nvinfer1::PluginTensorDesc*, std::int32_t) noexcept override;
  std::int32_t enqueue(const nvinfer1::PluginTensorDesc*, const nvinfer1::PluginTensorDesc*,
                       const void* const* inputs, void* const* outputs, void* workspace,
                       cudaStream_t stream) noexcept override;
  nvinfer1::IPluginV3* attachToContext(nvinfer1::IPluginResourceContext*) noexcept override;
  const nvinfer1::PluginFieldCollection* getFieldsToSerialize() noexcept override;

 private:
  Plugin(const Plugin& other);

  void from_node(const nvinfer1::PluginFieldCollection& fields);
  void from_engine(const nvinfer1::PluginFieldCollection& fields);
  void choose(const std::string& key);

  const Op& op_;
  std::string chosen_, key_;
  std::shared_ptr<Variants> kernels_;
  // What getFieldsToSerialize lends until it is called again.
  std::vector<std::string> names_;
  std::vector<nvinfer1::PluginField> fields_;
  nvinfer1::PluginFieldCollection collection_{};
};

}  // namespace mive
