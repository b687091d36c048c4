// The part of TensorRT's C++ ABI that plugins need: layouts, values and the order of virtual functions only.
//
// Names are those of TensorRT's API reference, so that its pages explain them. An interface's table holds the
// functions in the order in which they stand here, after those of its base; a virtual destructor takes two places.
// Functions that MIVE leaves as they are stand here too, because the position is the meaning.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;
using cudaStream_t = CUstream_st*;

namespace nvinfer1 {

using AsciiChar = char;

enum class DataType : std::int32_t { kFLOAT = 0, kHALF = 1, kINT32 = 3, kBOOL = 4, kBF16 = 7 };
enum class TensorFormat : std::int32_t { kLINEAR = 0 };
enum class APILanguage : std::int32_t { kCPP = 0 };
enum class PluginFieldType : std::int32_t { kINT32 = 5, kUNKNOWN = 8 };
enum class TensorRTPhase : std::int32_t { kBUILD = 0, kRUNTIME = 1 };
enum class PluginCapabilityType : std::int32_t { kCORE = 0, kBUILD = 1, kRUNTIME = 2 };

struct InterfaceInfo {
  const char* kind;
  std::int32_t major, minor;
};

struct Dims64 {
  std::int32_t nbDims;
  std::int64_t d[8];
};

struct PluginTensorDesc {
  Dims64 dims;
  DataType type;
  TensorFormat format;
  float scale;
};

// Sizes that are not fixed are -1 in desc.dims.
struct DynamicPluginTensorDesc {
  PluginTensorDesc desc;
  Dims64 min, max, opt;
};

struct DimsExprs {
  std::int32_t nbDims;
  const void* d[8];
};

struct PluginField {
  const AsciiChar* name;
  const void* data;
  PluginFieldType type;
  std::int32_t length;
};

struct PluginFieldCollection {
  std::int32_t nbFields;
  const PluginField* fields;
};

static_assert(sizeof(InterfaceInfo) == 16);
static_assert(sizeof(Dims64) == 72 && offsetof(Dims64, d) == 8);
static_assert(sizeof(PluginTensorDesc) == 88 && offsetof(PluginTensorDesc, type) == 72);
static_assert(sizeof(DynamicPluginTensorDesc) == 304 && offsetof(DynamicPluginTensorDesc, min) == 88);
static_assert(sizeof(DimsExprs) == 72 && offsetof(DimsExprs, d) == 8);
static_assert(sizeof(PluginField) == 24 && offsetof(PluginField, length) == 20);
static_assert(sizeof(PluginFieldCollection) == 16);

class IExprBuilder;
class IPluginResourceContext;

inline namespace v_1_0 {

class IVersionedInterface {
 public:
  virtual APILanguage getAPILanguage() const noexcept { return APILanguage::kCPP; }
  virtual InterfaceInfo getInterfaceInfo() const noexcept = 0;
  virtual ~IVersionedInterface() noexcept = default;
};

class IPluginCapability : public IVersionedInterface {};
class IPluginCreatorInterface : public IVersionedInterface {};

class IPluginV3 : public IVersionedInterface {
 public:
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN", 1, 0}; }
  virtual IPluginCapability* getCapabilityInterface(PluginCapabilityType type) noexcept = 0;
  virtual IPluginV3* clone() noexcept = 0;
};

class IPluginV3OneCore : public IPluginCapability {
 public:
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN_V3ONE_CORE", 1, 0}; }
  virtual const AsciiChar* getPluginName() const noexcept = 0;
  virtual const AsciiChar* getPluginVersion() const noexcept = 0;
  virtual const AsciiChar* getPluginNamespace() const noexcept = 0;
};

class IPluginV3OneBuild : public IPluginCapability {
 public:
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN_V3ONE_BUILD", 1, 0}; }
  virtual std::int32_t configurePlugin(const DynamicPluginTensorDesc* in, std::int32_t nbInputs,
                                       const DynamicPluginTensorDesc* out, std::int32_t nbOutputs) noexcept = 0;
  virtual std::int32_t getOutputDataTypes(DataType* outputTypes, std::int32_t nbOutputs, const DataType* inputTypes,
                                          std::int32_t nbInputs) const noexcept = 0;
  virtual std::int32_t getOutputShapes(const DimsExprs* inputs, std::int32_t nbInputs, const DimsExprs* shapeInputs,
                                       std::int32_t nbShapeInputs, DimsExprs* outputs, std::int32_t nbOutputs,
                                       IExprBuilder& exprBuilder) noexcept = 0;
  virtual bool supportsFormatCombination(std::int32_t pos, const DynamicPluginTensorDesc* inOut,
                                         std::int32_t nbInputs, std::int32_t nbOutputs) noexcept = 0;
  virtual std::int32_t getNbOutputs() const noexcept = 0;
  virtual std::size_t getWorkspaceSize(const DynamicPluginTensorDesc* inputs, std::int32_t nbInputs,
                                       const DynamicPluginTensorDesc* outputs,
                                       std::int32_t nbOutputs) const noexcept = 0;
  virtual std::int32_t getValidTactics(std::int32_t*, std::int32_t) noexcept { return 0; }
  virtual std::int32_t getNbTactics() noexcept { return 0; }
  virtual const char* getTimingCacheID() noexcept { return nullptr; }
  virtual std::int32_t getFormatCombinationLimit() noexcept { return 1; }
  virtual const char* getMetadataString() noexcept = 0;
};

class IPluginV3OneRuntime : public IPluginCapability {
 public:
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN_V3ONE_RUNTIME", 1, 0}; }
  virtual std::int32_t setTactic(std::int32_t) noexcept { return 0; }
  virtual std::int32_t onShapeChange(const PluginTensorDesc* in, std::int32_t nbInputs, const PluginTensorDesc* out,
                                     std::int32_t nbOutputs) noexcept = 0;
  virtual std::int32_t enqueue(const PluginTensorDesc* inputDesc, const PluginTensorDesc* outputDesc,
                               const void* const* inputs, void* const* outputs, void* workspace,
                               cudaStream_t stream) noexcept = 0;
  virtual IPluginV3* attachToContext(IPluginResourceContext* context) noexcept = 0;
  virtual const PluginFieldCollection* getFieldsToSerialize() noexcept = 0;
};

class IPluginCreatorV3One : public IPluginCreatorInterface {
 public:
  InterfaceInfo getInterfaceInfo() const noexcept override { return {"PLUGIN CREATOR_V3ONE", 1, 0}; }
  virtual IPluginV3* createPlugin(const AsciiChar* name, const PluginFieldCollection* fc,
                                  TensorRTPhase phase) noexcept = 0;
  virtual const PluginFieldCollection* getFieldNames() noexcept = 0;
  virtual const AsciiChar* getPluginName() const noexcept = 0;
  virtual const AsciiChar* getPluginVersion() const noexcept = 0;
  virtual const AsciiChar* getPluginNamespace() const noexcept = 0;
};

}  // namespace v_1_0
}  // namespace nvinfer1
