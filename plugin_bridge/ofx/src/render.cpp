#include "render.h"

#include <cmath>
#include <cstdlib>

#include "instance.h"
#include "text.h"

namespace mive {
namespace {

// One call of render: what is asked for, and where it goes.
struct Call {
  OfxImageEffectHandle effect;
  OfxTime time;
  OfxRectI window;
  const Image& output;
  const FrameImages& images;
};

milliseconds longest_wait() {
  const char* seconds = std::getenv("MIVE_WAIT_SECONDS");
  const auto chosen = seconds ? whole_number(seconds, 86400) : std::nullopt;
  return chosen ? milliseconds{*chosen * 1000} : kWaitPatience;
}

// Frames of the clip have the host's times. Frames of a media file have the file's numbers, which only some hosts tell.
int frame_number(const Edit& edit, const Props& arguments, OfxTime time) {
  const auto in_file = edit.from_clip() ? std::nullopt : arguments.whole(kResolvePropSrcFrame);
  return in_file.value_or(static_cast<int>(std::lround(time)));
}

std::string wrong_images(const Call& call, const Edit& edit) {
  if (!call.images.complete_for(edit)) return "The host has no image of a matte clip at this frame.";
  const Format &source = call.images.source->format(), &output = call.output.format();
  if (source.channels < 3) return "The source has no colour.";
  if (source.channels == 3 && edit.from_clip() && edit.matte_kind == MatteKind::alpha) {
    return "There are no mattes. Connect a clip to Mattes, or name a file.";
  }
  if (source.channels != output.channels || source.depth != output.depth) {
    return "The host wants another pixel format than the source's.";
  }
  return "";
}

void show_source(const Call& call) {
  const auto& source = call.images.source;
  const bool same = source && source->format().channels == call.output.format().channels &&
                    source->format().depth == call.output.format().depth;
  if (same) {
    copy(*source, call.output, call.window);
  } else {
    clear(call.output, call.window);
  }
}

// The source where there is nothing else to show.
OfxStatus show_source_itself(const Call& call) {
  show_source(call);
  clear_message(call.effect);
  return kOfxStatOK;
}

// The source instead of the edit, and never without a word about it.
OfxStatus miss(const Call& call, OnMiss on_miss, const std::string& why) {
  show_source(call);
  const bool fail = on_miss == OnMiss::wait;
  show_message(call.effect, fail ? kOfxMessageError : kOfxMessageWarning, "MIVE shows the source. " + why);
  return fail ? kOfxStatFailed : kOfxStatOK;
}

// Asks for the frame, and hands over its images where the bridge lacks them. In a host without buttons every frame
// orders the edit first, which also brings it back to a bridge that was started anew.
Heard ask(const Instance& instance, const Frame& frame, const Patience& patience, Edited& edited) {
  const Order& order = instance.order;
  if (instance.parameters.mode == Mode::analyse) {
    Heard said = mive::order(order, false, patience.shorter(kAnswerPatience), Urgency::frame);
    if (!said.good()) return said;
  }
  Heard said = fetch(order, frame, patience.shorter(kAnswerPatience), edited);
  if (!said.good() || edited.pixels || !said.state.lacks(frame.number)) return said;
  said = put(order, frame, patience.shorter(kAnswerPatience), Urgency::frame);
  if (!said.good() || !said.state.hopeful()) return said;
  return fetch(order, frame, patience.shorter(kAnswerPatience), edited);
}

// Asks until the frame is there, nothing can come any more, or patience ends.
Heard await(const Instance& instance, const Frame& frame, const Patience& patience, Edited& edited) {
  auto last_answer = Clock::now();
  for (;;) {
    Heard said = ask(instance, frame, patience, edited);
    if (edited.pixels || said.answer.trouble == Trouble::aborted) return said;
    if (said.good()) {
      last_answer = Clock::now();
      if (!said.state.hopeful()) return said;
    } else if (said.answer.trouble == Trouble::refused || Clock::now() - last_answer > kSilencePatience) {
      return said;
    }
    if (!patience.pause(kAskInterval)) return said;
  }
}

OfxStatus show_edit(const Call& call, const Instance& instance, int number) {
  const Parameters& parameters = instance.parameters;
  const bool wait = parameters.on_miss == OnMiss::wait;
  const Patience patience(wait ? longest_wait() : 2 * kAnswerPatience,
                          [&] { return suites().effect->abort(call.effect) != 0; });
  const Frame frame = frame_of(call.images, instance.order.edit, number);
  Edited edited;
  const Heard said = (wait ? await : ask)(instance, frame, patience, edited);
  if (edited.pixels) {
    paste(*call.images.source, edited.pixels, call.output, call.window);
    clear_message(call.effect);
    return kOfxStatOK;
  }
  if (said.answer.trouble == Trouble::aborted || patience.aborted()) {
    show_source(call);
    return kOfxStatOK;
  }
  // Frames that are handed over to be edited later have to pass, or the next would never be rendered.
  const bool analyse = parameters.mode == Mode::analyse;
  const bool collecting = analyse && said.good() && said.state.phase == Phase::collecting;
  const std::string why = said.good() ? sentence(said.state) : said.answer.why;
  return miss(call, collecting ? OnMiss::pass_through : parameters.on_miss, why);
}

OfxStatus render_into(const Call& call, const Instance& instance, const Props& arguments) {
  const Edit& edit = instance.order.edit;
  if (!call.images.source || instance.parameters.mode == Mode::off) return show_source_itself(call);
  const auto field = arguments.text(kOfxImageEffectPropFieldToRender);
  std::string wrong = instance.error;
  if (wrong.empty()) wrong = wrong_images(call, edit);
  if (wrong.empty() && (field == kOfxImageFieldLower || field == kOfxImageFieldUpper)) {
    wrong = "Interlaced clips cannot be edited. Deinterlace the clip first.";
  }
  if (!wrong.empty()) return miss(call, instance.parameters.on_miss, wrong);
  const int number = frame_number(edit, arguments, call.time);
  if (!edit.frames.holds(number)) return show_source_itself(call);
  return show_edit(call, instance, number);
}

}  // namespace

OfxStatus render(OfxImageEffectHandle effect, const Props& arguments) {
  const auto time = arguments.number(kOfxPropTime);
  const auto window = arguments.rectangle(kOfxImageEffectPropRenderWindow);
  if (!time || !window || !(std::fabs(*time) < 1e9)) return kOfxStatFailed;
  const auto output = Image::fetch(effect, kOfxImageEffectOutputClipName, *time);
  if (!output) return suites().effect->abort(effect) ? kOfxStatOK : kOfxStatFailed;
  const Instance instance = read_instance(effect);
  const FrameImages images = fetch_images(effect, instance.order.edit, *time);
  return render_into({effect, *time, *window, *output, images}, instance, arguments);
}

OfxStatus is_identity(OfxImageEffectHandle effect, const Props& arguments, const Props& answers) {
  if (read_parameters(effect).mode != Mode::off) return kOfxStatReplyDefault;
  answers.set(kOfxPropName, kOfxImageEffectSimpleSourceClipName);
  answers.set(kOfxPropTime, arguments.number(kOfxPropTime).value_or(0));
  return kOfxStatOK;
}

}  // namespace mive
