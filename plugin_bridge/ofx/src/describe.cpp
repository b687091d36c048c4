#include "describe.h"

#include "images.h"
#include "instance.h"

namespace mive {
namespace {

// A host that is told InstanceSafe loads the plugin again for every frame.
bool wants_unsafe() { return host_name() == "MLT"; }

void define_clip(OfxImageEffectHandle effect, const char* name, const char* label, bool matte) {
  OfxPropertySetHandle handle = nullptr;
  if (suites().effect->clipDefine(effect, name, &handle) != kOfxStatOK) return;
  const Props props(handle);
  props.set(kOfxPropLabel, label);
  int count = 0;
  props.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentRGBA, count++);
  props.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentRGB, count++);
  if (matte) props.set(kOfxImageEffectPropSupportedComponents, kOfxImageComponentAlpha, count++);
  props.set(kOfxImageEffectPropTemporalClipAccess, host_has_temporal_access() ? 1 : 0);
  props.set(kOfxImageEffectPropSupportsTiles, 0);
  props.set(kOfxImageClipPropOptional, matte ? 1 : 0);
}

}  // namespace

OfxStatus describe(OfxImageEffectHandle effect) {
  const Props props = properties_of(effect);
  for (const char* label : {kOfxPropLabel, kOfxPropShortLabel, kOfxPropLongLabel}) props.set(label, "MIVE");
  props.set(kOfxImageEffectPluginPropGrouping, "MIVE");
  props.set(kOfxPropVersionLabel, MIVE_VERSION);
  props.set(kOfxPropPluginDescription,
            "Edits several things in a shot, each by its own words, and leaves every other pixel alone.");
  props.set(kOfxImageEffectPropSupportedContexts, kOfxImageEffectContextFilter, 0);
  props.set(kOfxImageEffectPropSupportedContexts, kOfxImageEffectContextGeneral, 1);
  int depths = 0;
  for (const DepthNames& names : kDepths) props.set(kOfxImageEffectPropSupportedPixelDepths, names.host, depths++);
  props.set(kOfxImageEffectPluginPropSingleInstance, 0);
  props.set(kOfxImageEffectPluginPropHostFrameThreading, 0);
  props.set(kOfxImageEffectPluginRenderThreadSafety,
            wants_unsafe() ? kOfxImageEffectRenderUnsafe : kOfxImageEffectRenderInstanceSafe);
  // An edit is made of whole frames.
  props.set(kOfxImageEffectPropSupportsTiles, 0);
  props.set(kOfxImageEffectPropSupportsMultiResolution, 0);
  props.set(kOfxImageEffectPropTemporalClipAccess, host_has_temporal_access() ? 1 : 0);
  props.set(kOfxImageEffectPluginPropFieldRenderTwiceAlways, 0);
  props.set(kOfxImageEffectPropSupportsMultipleClipDepths, 0);
  props.set(kOfxImageEffectPropSupportsMultipleClipPARs, 0);
  return kOfxStatOK;
}

OfxStatus describe_in_context(OfxImageEffectHandle effect) {
  define_clip(effect, kOfxImageEffectSimpleSourceClipName, "Source", false);
  define_clip(effect, kOfxImageEffectOutputClipName, "Output", false);
  define_clip(effect, kMattesClip, "Mattes", true);
  define_clip(effect, kMattes2Clip, "Mattes 2", true);
  define_parameters(effect);
  return kOfxStatOK;
}

OfxStatus clip_preferences(const Props& answers) {
  // Even a still image has another edit on every frame.
  answers.set(kOfxImageEffectFrameVarying, 1);
  return kOfxStatOK;
}

}  // namespace mive
