#include "buttons.h"

#include "instance.h"

namespace mive {
namespace {

// The host's progress bar; without one, nothing is shown and nothing can be stopped.
class ProgressBar {
 public:
  ProgressBar(OfxImageEffectHandle effect, const char* label) : effect_(effect) {
    shown_ = suites().progress && suites().progress->progressStart(effect, label) == kOfxStatOK;
  }
  ProgressBar(const ProgressBar&) = delete;
  ~ProgressBar() {
    if (shown_) suites().progress->progressEnd(effect_);
  }

  // False when the user has had enough.
  bool update(double share) const {
    return !shown_ || suites().progress->progressUpdate(effect_, share) != kOfxStatReplyNo;
  }

 private:
  OfxImageEffectHandle effect_;
  bool shown_ = false;
};

std::string told(const Heard& heard) { return heard.good() ? sentence(heard.state) : heard.answer.why; }

// Fetches one frame from the host and hands it over; false where the host does not have it.
bool hand_over(OfxImageEffectHandle effect, const Order& order, int number, Heard& said) {
  const FrameImages images = fetch_images(effect, order.edit, number);
  if (!images.complete_for(order.edit)) return false;
  said = put(order, frame_of(images, order.edit, number), Patience(kInterfacePatience), Urgency::button);
  return true;
}

// The first frame of the edit that the bridge lacks.
std::optional<int> first_missing(const Edit& edit, const State& state) {
  for (const auto& [first, last] : state.missing) {
    if (last >= edit.frames.first && first <= edit.frames.last) return std::max(first, edit.frames.first);
  }
  return {};
}

// Hands over all frames that the bridge lacks, and returns how things stand then. What counts is what the bridge still
// lacks after each frame, which may be more than it could say at first.
std::string collect(OfxImageEffectHandle effect, const Order& order, Heard said) {
  const ProgressBar bar(effect, "MIVE: collecting frames");
  const double total = double(order.edit.frames.last) - order.edit.frames.first + 1;
  int after = -1;
  for (std::optional<int> next; said.good() && (next = first_missing(order.edit, said.state)); after = *next) {
    if (*next <= after) return "The bridge asks for frame " + std::to_string(*next) + " again and again.";
    if (!bar.update((*next - order.edit.frames.first) / total)) {
      return "Stopped while collecting frames. Press Analyse to go on.";
    }
    if (!hand_over(effect, order, *next, said)) {
      return "The host has no image of frame " + std::to_string(*next) + ". Enter a frame range that the clip has.";
    }
  }
  return told(said);
}

void press_analyse(OfxImageEffectHandle effect) {
  const Instance instance = read_instance(effect);
  if (!instance.error.empty()) return show_status(effect, instance.error);
  const Heard said = order(instance.order, true, Patience(kInterfacePatience), Urgency::button);
  const bool collecting = said.good() && said.state.phase == Phase::collecting;
  // Media files have frame numbers that only render knows, so their mattes are collected there.
  if (collecting && host_has_temporal_access() && instance.order.edit.from_clip()) {
    return show_status(effect, collect(effect, instance.order, said));
  }
  show_status(effect, collecting ? told(said) + " Play the range once, so that they are seen." : told(said));
}

void press_cancel(OfxImageEffectHandle effect) {
  const Instance instance = read_instance(effect);
  if (!instance.error.empty()) return show_status(effect, instance.error);
  show_status(effect, told(inquire("cancel", instance.order, Patience(kInterfacePatience), Urgency::button)));
}

}  // namespace

OfxStatus instance_changed(OfxImageEffectHandle effect, const Props& arguments) {
  if (arguments.text(kOfxPropChangeReason) != kOfxChangeUserEdited) return kOfxStatReplyDefault;
  const auto name = arguments.text(kOfxPropName);
  const bool is_parameter = arguments.text(kOfxPropType) == kOfxTypeParameter;
  if (is_parameter && name == kAnalyseParam) {
    press_analyse(effect);
  } else if (is_parameter && name == kCancelParam) {
    press_cancel(effect);
  } else {
    refresh_status(effect);
  }
  return kOfxStatOK;
}

void refresh_status(OfxImageEffectHandle effect) {
  const Instance instance = read_instance(effect);
  if (instance.parameters.mode == Mode::off) return show_status(effect, "Off.");
  if (!instance.error.empty()) return show_status(effect, instance.error);
  const Heard said = inquire("status", instance.order, Patience(kGlancePatience), Urgency::glance);
  show_status(effect, said.good() ? sentence(said.state) : "");
}

}  // namespace mive
