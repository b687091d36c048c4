// The three functions that a host can see, and the actions behind them.

#include <new>
#include <string_view>

#include "bridge.h"
#include "buttons.h"
#include "describe.h"
#include "render.h"

namespace mive {
namespace {

OfxStatus act(std::string_view action, OfxImageEffectHandle effect, const Props& arguments, const Props& answers) {
  if (action == kOfxActionLoad) return load_suites();
  if (action == kOfxActionUnload) {
    Bridge::get().hang_up();
    return kOfxStatOK;
  }
  if (!suites().property) return kOfxStatErrMissingHostFeature;
  if (action == kOfxActionDescribe) return describe(effect);
  if (action == kOfxImageEffectActionDescribeInContext) return describe_in_context(effect);
  if (action == kOfxActionCreateInstance || action == kOfxActionDestroyInstance) return kOfxStatOK;
  if (action == kOfxImageEffectActionGetClipPreferences) return clip_preferences(answers);
  if (action == kOfxImageEffectActionIsIdentity) return is_identity(effect, arguments, answers);
  if (action == kOfxImageEffectActionRender) return render(effect, arguments);
  if (action == kOfxActionInstanceChanged) return instance_changed(effect, arguments);
  if (action == kOfxActionBeginInstanceEdit) {
    refresh_status(effect);
    return kOfxStatOK;
  }
  if (action == kOfxActionPurgeCaches) {
    Bridge::get().hang_up();
    return kOfxStatOK;
  }
  return kOfxStatReplyDefault;
}

// No exception may reach the host.
OfxStatus main_entry(const char* action, const void* handle, OfxPropertySetHandle arguments,
                     OfxPropertySetHandle answers) try {
  auto* effect = static_cast<OfxImageEffectHandle>(const_cast<void*>(handle));
  return act(action, effect, Props(arguments), Props(answers));
} catch (const std::bad_alloc&) {
  return kOfxStatErrMemory;
} catch (...) {
  return kOfxStatErrFatal;
}

void take_host(OfxHost* host) { set_host(host); }

OfxPlugin the_plugin = {kOfxImageEffectPluginApi,
                        kOfxImageEffectPluginApiVersion,
                        "org.mive.MultiInstanceEdit",
                        MIVE_VERSION_MAJOR,
                        MIVE_VERSION_MINOR,
                        take_host,
                        main_entry};

}  // namespace
}  // namespace mive

extern "C" {

__attribute__((visibility("default"))) int OfxGetNumberOfPlugins(void) { return 1; }

__attribute__((visibility("default"))) OfxPlugin* OfxGetPlugin(int nth) {
  return nth == 0 ? &mive::the_plugin : nullptr;
}

__attribute__((visibility("default"))) OfxStatus OfxSetHost(const OfxHost* host) {
  mive::set_host(host);
  return kOfxStatOK;
}

}  // extern "C"
