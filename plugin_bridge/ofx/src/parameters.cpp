#include "parameters.h"

#include <climits>
#include <iterator>

#include "presets.h"

namespace mive {
namespace {

constexpr char kStatusParam[] = "status";

OfxParamSetHandle parameter_set(OfxImageEffectHandle effect) {
  OfxParamSetHandle set = nullptr;
  return suites().effect->getParamSet(effect, &set) == kOfxStatOK ? set : nullptr;
}

// Defines one after the other in a set; hosts show them in this order.
class Definer {
 public:
  explicit Definer(OfxParamSetHandle set) : set_(set) {}

  Props define(const char* type, const char* name, const char* label, const char* hint) const {
    OfxPropertySetHandle handle = nullptr;
    if (suites().parameter->paramDefine(set_, type, name, &handle) != kOfxStatOK) handle = nullptr;
    const Props props(handle);
    props.set(kOfxPropLabel, label);
    props.set(kOfxParamPropHint, hint);
    if (type != std::string(kOfxParamTypePushButton)) props.set(kOfxParamPropAnimates, 0);
    return props;
  }

  Props text(const char* name, const char* label, const char* mode, const char* hint) const {
    const Props props = define(kOfxParamTypeString, name, label, hint);
    props.set(kOfxParamPropStringMode, mode);
    props.set(kOfxParamPropDefault, "");
    return props;
  }

  void path(const char* name, const char* label, const char* hint) const {
    text(name, label, kOfxParamStringIsFilePath, hint).set(kOfxParamPropStringFilePathExists, 0);
  }

  template <std::size_t count>
  void choice(const char* name, const char* label, const char* const (&options)[count], int usual,
              const char* hint) const {
    const Props props = define(kOfxParamTypeChoice, name, label, hint);
    for (std::size_t i = 0; i < count; ++i) props.set(kOfxParamPropChoiceOption, options[i], static_cast<int>(i));
    props.set(kOfxParamPropDefault, usual);
  }

 private:
  OfxParamSetHandle set_;
};

void define_edit(const Definer& definer) {
  definer.text("captions", "Captions", kOfxParamStringIsMultiLine,
               "What each thing should become, one \"id: caption\" a line, such as \"1: a red ball\". "
               "The id is the thing's value in the mattes.");
  definer.path("mattes", "Mattes", "ID mattes as a file or image sequence, where no clip is connected to Mattes. "
               "With neither, the clip's alpha is the matte of instance 1.");
  definer.path("media", "Media", "The file behind the clip, for hosts that cannot hand over other frames than the "
               "current one. Empty: the clip itself.");
  definer.text("frameRange", "Frame range", kOfxParamStringIsSingleLine,
               "The frames to edit, such as 0-99. Empty: the whole clip.");
  definer.choice("preset", "Preset", kPresetLabels, kUsualPreset,
                 "How much care is taken. Draft is for trying captions.");
  const Props seed = definer.define(kOfxParamTypeInteger, "seed", "Seed", "Another seed gives another try.");
  seed.set(kOfxParamPropDefault, 0);
  seed.set(kOfxParamPropMin, 0);
  seed.set(kOfxParamPropMax, INT_MAX);
  seed.set(kOfxParamPropDisplayMin, 0);
  seed.set(kOfxParamPropDisplayMax, 100);
  const Props strength = definer.define(kOfxParamTypeDouble, "strength", "Strength", "How hard captions pull, as a "
                                        "factor on the guidance that the preset or the model's bundle has.");
  strength.set(kOfxParamPropDefault, 1.0);
  strength.set(kOfxParamPropMin, 0.0);
  strength.set(kOfxParamPropMax, 100.0);
  strength.set(kOfxParamPropDisplayMin, 0.0);
  strength.set(kOfxParamPropDisplayMax, 2.0);
}

void define_work(const Definer& definer) {
  definer.text("server", "Server", kOfxParamStringIsSingleLine,
               "The address of the MIVE server, such as render01:7433. Empty: this machine.");
  definer.path("token", "Token file", "A file with the token that the server asks for.");
  static constexpr const char* kModes[] = {"Analyse", "Playback", "Off"};
  definer.choice("mode", "Mode", kModes, 1,
                 "Analyse: hand over frames as they are rendered, for hosts without buttons. Playback: show edited "
                 "frames. Off: show the source.");
  static constexpr const char* kOnMiss[] = {"Pass through", "Wait"};
  definer.choice("onMiss", "Missing frames", kOnMiss, 0,
                 "What a frame shows that is not edited yet: the source with a message, or nothing until it is there.");
  definer.define(kOfxParamTypePushButton, kAnalyseParam, "Analyse", "Edit the frames now.");
  definer.define(kOfxParamTypePushButton, kCancelParam, "Cancel", "Stop the edit.");
  const Props status = definer.text(kStatusParam, "Status", kOfxParamStringIsSingleLine, "How the edit stands.");
  status.set(kOfxParamPropEnabled, 0);
  status.set(kOfxParamPropCanUndo, 0);
  status.set(kOfxParamPropPersistant, 0);
  // A new status is a new picture: hosts must not go on showing what they rendered before.
  status.set(kOfxParamPropEvaluateOnChange, 1);
  status.set(kOfxParamPropPluginMayWrite, 1);
}

OfxParamHandle parameter(OfxParamSetHandle set, const char* name) {
  OfxParamHandle handle = nullptr;
  if (!set || suites().parameter->paramGetHandle(set, name, &handle, nullptr) != kOfxStatOK) return nullptr;
  return handle;
}

std::string text_value(OfxParamSetHandle set, const char* name) {
  const OfxParamHandle handle = parameter(set, name);
  char* value = nullptr;
  if (!handle || suites().parameter->paramGetValue(handle, &value) != kOfxStatOK || !value) return "";
  return value;
}

template <typename Number>
Number number_value(OfxParamSetHandle set, const char* name, Number usual) {
  const OfxParamHandle handle = parameter(set, name);
  Number value = usual;
  if (!handle || suites().parameter->paramGetValue(handle, &value) != kOfxStatOK) return usual;
  return value;
}

}  // namespace

void define_parameters(OfxImageEffectHandle effect) {
  const Definer definer(parameter_set(effect));
  define_edit(definer);
  define_work(definer);
}

Parameters read_parameters(OfxImageEffectHandle effect) {
  const OfxParamSetHandle set = parameter_set(effect);
  Parameters read;
  read.captions = text_value(set, "captions");
  read.mattes = text_value(set, "mattes");
  read.media = text_value(set, "media");
  read.frame_range = text_value(set, "frameRange");
  read.server = text_value(set, "server");
  read.token = text_value(set, "token");
  read.seed = number_value(set, "seed", read.seed);
  read.strength = number_value(set, "strength", read.strength);
  const int mode = number_value(set, "mode", static_cast<int>(read.mode));
  read.mode = mode == 0 ? Mode::analyse : mode == 2 ? Mode::off : Mode::playback;
  read.on_miss = number_value(set, "onMiss", 0) == 1 ? OnMiss::wait : OnMiss::pass_through;
  const int preset = number_value(set, "preset", kUsualPreset);
  const bool known = preset >= 0 && preset < static_cast<int>(std::size(kPresets));
  read.preset = kPresets[known ? preset : kUsualPreset];
  return read;
}

void show_status(OfxImageEffectHandle effect, const std::string& text) {
  const OfxParamSetHandle set = parameter_set(effect);
  const OfxParamHandle handle = parameter(set, kStatusParam);
  if (handle && text_value(set, kStatusParam) != text) suites().parameter->paramSetValue(handle, text.c_str());
}

}  // namespace mive
