#include "instance.h"

namespace mive {
namespace {

// MLT has no Connected property for clips that it does not feed: an error means that there is nothing.
bool connected(OfxImageEffectHandle effect, const char* name) {
  OfxImageClipHandle clip = nullptr;
  OfxPropertySetHandle props = nullptr;
  if (suites().effect->clipGetHandle(effect, name, &clip, &props) != kOfxStatOK) return false;
  return Props(props).whole(kOfxImageClipPropConnected).value_or(0) != 0;
}

std::optional<std::pair<double, double>> source_range(OfxImageEffectHandle effect) {
  OfxImageClipHandle clip = nullptr;
  OfxPropertySetHandle handle = nullptr;
  if (suites().effect->clipGetHandle(effect, kOfxImageEffectSimpleSourceClipName, &clip, &handle) == kOfxStatOK) {
    const Props props(handle);
    const auto first = props.number(kOfxImageEffectPropFrameRange, 0);
    const auto last = props.number(kOfxImageEffectPropFrameRange, 1);
    if (first && last) return std::pair(*first, *last);
  }
  std::pair<double, double> bounds;
  const auto* timeline = suites().timeline;
  if (timeline && timeline->getTimeBounds(effect, &bounds.first, &bounds.second) == kOfxStatOK) return bounds;
  return {};
}

Surroundings surroundings_of(OfxImageEffectHandle effect) {
  Surroundings found;
  found.mattes_connected = connected(effect, kMattesClip);
  found.mattes2_connected = connected(effect, kMattes2Clip);
  found.temporal_access = host_has_temporal_access();
  found.source_path = properties_of(effect).text(kResolvePropSrcFilePath).value_or("");
  found.source_range = source_range(effect);
  return found;
}

void add_part(Frame& frame, const char* name, const std::optional<Image>& image) {
  if (image) frame.parts.push_back({name, &*image, fingerprint(*image), thumbprint(*image)});
}

}  // namespace

Instance read_instance(OfxImageEffectHandle effect) {
  Instance instance;
  instance.parameters = read_parameters(effect);
  Resolved resolved = resolve(instance.parameters, surroundings_of(effect));
  Order& order = instance.order;
  order.edit = std::move(resolved.edit);
  order.fields = edit_fields(order.edit);
  order.key = edit_key(order.fields);
  order.server = instance.parameters.server;
  order.token = instance.parameters.token;
  instance.error = std::move(resolved.error);
  return instance;
}

bool FrameImages::complete_for(const Edit& edit) const {
  return source && (edit.matte_kind != MatteKind::clip || (mattes && (mattes2 || !edit.second_clip)));
}

FrameImages fetch_images(OfxImageEffectHandle effect, const Edit& edit, OfxTime time) {
  const auto fetch_if = [&](bool wanted, const char* clip) {
    return wanted ? Image::fetch(effect, clip, time) : std::nullopt;
  };
  const bool clips = edit.matte_kind == MatteKind::clip;
  return {Image::fetch(effect, kOfxImageEffectSimpleSourceClipName, time), fetch_if(clips, kMattesClip),
          fetch_if(clips && edit.second_clip, kMattes2Clip)};
}

Frame frame_of(const FrameImages& images, const Edit& edit, int number) {
  Frame frame;
  frame.number = number;
  if (edit.from_clip()) add_part(frame, "source", images.source);
  if (edit.matte_kind == MatteKind::clip) add_part(frame, "mattes", images.mattes);
  if (edit.second_clip) add_part(frame, "mattes2", images.mattes2);
  frame.wanted = images.source->format();
  frame.wanted.channels = 4;
  frame.look = edit.from_clip() ? frame.parts.front().thumbprint : thumbprint(*images.source);
  return frame;
}

void show_message(OfxImageEffectHandle effect, const char* type, const std::string& text) {
  const Suites& host = suites();
  if (host.persistent_message) {
    host.persistent_message->setPersistentMessage(effect, type, "", "%s", text.c_str());
  } else if (host.message) {
    host.message->message(effect, kOfxMessageLog, "", "%s", text.c_str());
  }
}

void clear_message(OfxImageEffectHandle effect) {
  if (suites().persistent_message) suites().persistent_message->clearPersistentMessage(effect);
}

}  // namespace mive
