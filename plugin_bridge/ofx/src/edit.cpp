#include "edit.h"

#include <climits>
#include <cmath>
#include <string_view>

#include "text.h"

namespace mive {
namespace {

// Of `A-B` or `A`, frames counted from 0.
std::optional<FrameRange> parse_range(std::string_view text) {
  const auto ends = split(text, '-');
  if (ends.size() > 2) return {};
  const auto first = whole_number(trimmed(ends.front()), INT_MAX);
  const auto last = whole_number(trimmed(ends.back()), INT_MAX);
  if (!first || !last || *last < *first) return {};
  return FrameRange{false, *first, *last};
}

std::string resolve_frames(const Parameters& parameters, const Surroundings& surroundings, Edit& edit) {
  const std::string_view asked = trimmed(parameters.frame_range);
  if (!asked.empty()) {
    const auto range = parse_range(asked);
    if (!range) return "frameRange: \"" + std::string(asked.substr(0, 40)) + "\". Expected first-last, such as 0-99.";
    edit.frames = *range;
    return "";
  }
  if (!edit.from_clip()) {
    edit.frames.all = true;
    return "";
  }
  const auto range = surroundings.source_range;
  if (!range || range->first < 0 || range->second > INT_MAX || !(range->first <= range->second)) {
    return "frameRange: the host does not say which frames the clip has. Enter first-last, such as 0-99.";
  }
  edit.frames = {false, static_cast<int>(std::ceil(range->first)), static_cast<int>(std::floor(range->second))};
  return "";
}

std::string resolve_paths(const Parameters& parameters, const Surroundings& surroundings, Edit& edit) {
  const std::string_view media = trimmed(parameters.media), mattes = trimmed(parameters.mattes);
  if (!is_plain_text(media)) return "media: the path holds control characters, or is not UTF-8.";
  if (!is_plain_text(mattes)) return "mattes: the path holds control characters, or is not UTF-8.";
  edit.media = media;
  if (media.empty() && !surroundings.temporal_access && is_plain_text(surroundings.source_path)) {
    edit.media = surroundings.source_path;
  }
  if (surroundings.mattes_connected) {
    edit.matte_kind = MatteKind::clip;
    edit.second_clip = surroundings.mattes2_connected;
  } else if (surroundings.mattes2_connected) {
    return "Mattes2 is connected, but Mattes is not. Connect Mattes first.";
  } else if (!mattes.empty()) {
    edit.matte_kind = MatteKind::file;
    edit.mattes = mattes;
  }
  return "";
}

}  // namespace

std::string FrameRange::text() const {
  return all ? "all" : std::to_string(first) + "-" + std::to_string(last);
}

Resolved resolve(const Parameters& parameters, const Surroundings& surroundings) {
  Resolved resolved;
  Edit& edit = resolved.edit;
  edit.captions = parse_captions(parameters.captions);
  edit.preset = parameters.preset;
  edit.seed = parameters.seed;
  edit.strength = parameters.strength;
  resolved.error = edit.captions.error;
  if (resolved.error.empty()) resolved.error = resolve_paths(parameters, surroundings, edit);
  if (resolved.error.empty()) resolved.error = resolve_frames(parameters, surroundings, edit);
  if (resolved.error.empty() && edit.seed < 0) resolved.error = "seed: it is negative. Expected 0 or more.";
  if (resolved.error.empty() && !(edit.strength >= 0 && edit.strength <= 100)) {
    resolved.error = "strength: it is out of range. Expected 0 to 100.";
  }
  return resolved;
}

}  // namespace mive
