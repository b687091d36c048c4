// What the library shows: TensorRT's two functions for libraries of plugins, and MIVE's own for whoever builds.

#include <algorithm>
#include <cstring>

#include "dynamic.h"
#include "failure.h"
#include "offers.h"
#include "plugin.h"

#define SHOWN extern "C" __attribute__((visibility("default")))

namespace mive {
namespace {

using namespace nvinfer1;

class Creator final : public IPluginCreatorV3One {
 public:
  explicit Creator(const Op& op) : op_(op), field_{op.attribute, nullptr, PluginFieldType::kINT32, 1} {
    if (op.attribute) fields_ = {1, &field_};
  }

  IPluginV3* createPlugin(const char*, const PluginFieldCollection* fields, TensorRTPhase phase) noexcept override {
    return guarded<IPluginV3*>(nullptr, [&] { return new Plugin(op_, fields ? *fields : fields_, phase); });
  }

  const PluginFieldCollection* getFieldNames() noexcept override { return &fields_; }
  const char* getPluginName() const noexcept override { return op_.name; }
  const char* getPluginVersion() const noexcept override { return MIVE_PLUGIN_VERSION; }
  const char* getPluginNamespace() const noexcept override { return kNamespace; }

 private:
  const Op& op_;
  PluginField field_;
  PluginFieldCollection fields_{};
};

std::vector<IPluginCreatorInterface*> make_creators() {
  std::vector<IPluginCreatorInterface*> creators;
  for (const Op& op : kOps) creators.push_back(new Creator(op));
  return creators;
}

}  // namespace
}  // namespace mive

SHOWN nvinfer1::IPluginCreatorInterface* const* getCreators(std::int32_t& count) {
  // TensorRT may ask its registry for them after this library's own objects are destroyed.
  static const auto& creators = *new auto(mive::make_creators());
  count = static_cast<std::int32_t>(creators.size());
  return creators.data();
}

SHOWN void setLoggerFinder(void*) {}

// The version of the plugins, and of what kernels are packed as.
SHOWN const char* mive_plugins_version() { return MIVE_PLUGIN_VERSION; }

// Kernels for engines that are built from now on. 0 if they were taken.
SHOWN int mive_plugins_offer(const char* key, int capability, const void* bytes, std::size_t size) {
  return mive::guarded(1, [&] {
    mive::offer(key, capability, std::string(static_cast<const char*>(bytes), size));
    return 0;
  });
}

// Whether the library `name` is found from now on by that name, also in the folder that this one was loaded from.
// TensorRT's parser ends the process where it does not find TensorRT so.
SHOWN int mive_plugins_reach(const char* name) { return dlopen(name, RTLD_NOW | RTLD_GLOBAL) ? 1 : 0; }

SHOWN void mive_plugins_withdraw() { mive::withdraw_offers(); }

// Why a plugin last failed, cut to `size` bytes with the 0 at the end, and forgotten; "" if none did.
SHOWN void mive_plugins_error(char* text, std::size_t size) {
  if (!size) return;
  const std::string failure = mive::guarded(std::string(), [] { return mive::take_failure(); });
  const std::size_t length = std::min(size - 1, failure.size());
  std::memcpy(text, failure.data(), length);
  text[length] = 0;
}
