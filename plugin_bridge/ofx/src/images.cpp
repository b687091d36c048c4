#include "images.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <utility>

namespace mive {
namespace {

constexpr int kMaxSide = 32768;

std::optional<Format> format_of(const Props& image, const OfxRectI& bounds) {
  static constexpr std::pair<const char*, int> kComponents[] = {
      {kOfxImageComponentRGBA, 4}, {kOfxImageComponentRGB, 3}, {kOfxImageComponentAlpha, 1}};
  Format format;
  format.channels = 0;
  const auto components = image.text(kOfxImageEffectPropComponents), depth = image.text(kOfxImageEffectPropPixelDepth);
  for (const auto& [name, channels] : kComponents) {
    if (components == name) format.channels = channels;
  }
  bool known = false;
  for (const DepthNames& names : kDepths) {
    if (depth != names.host) continue;
    format.depth = names.depth;
    known = true;
  }
  const long long width = static_cast<long long>(bounds.x2) - bounds.x1;
  const long long height = static_cast<long long>(bounds.y2) - bounds.y1;
  if (!known || format.channels == 0 || width < 1 || height < 1 || width > kMaxSide || height > kMaxSide) return {};
  format.width = static_cast<int>(width);
  format.height = static_cast<int>(height);
  return format;
}

OfxImageClipHandle connected_clip(OfxImageEffectHandle effect, const char* name) {
  OfxImageClipHandle clip = nullptr;
  return suites().effect->clipGetHandle(effect, name, &clip, nullptr) == kOfxStatOK ? clip : nullptr;
}

}  // namespace

std::string Format::text() const {
  const char* components = channels == 4 ? ":rgba" : channels == 3 ? ":rgb" : ":alpha";
  const auto names = std::find_if(std::begin(kDepths), std::end(kDepths),
                                  [this](const DepthNames& known) { return known.depth == depth; });
  return std::to_string(width) + "x" + std::to_string(height) + components + ":" + names->text;
}

std::optional<Image> Image::fetch(OfxImageEffectHandle effect, const char* clip, OfxTime time) {
  const OfxImageClipHandle from = connected_clip(effect, clip);
  OfxPropertySetHandle handle = nullptr;
  if (!from || suites().effect->clipGetImage(from, time, nullptr, &handle) != kOfxStatOK || !handle) return {};
  Image image;
  image.handle_ = handle;
  const Props props(handle);
  const auto bounds = props.rectangle(kOfxImagePropBounds);
  const auto row_bytes = props.whole(kOfxImagePropRowBytes);
  char* data = static_cast<char*>(props.pointer(kOfxImagePropData));
  const auto format = bounds ? format_of(props, *bounds) : std::nullopt;
  if (!data || !format || !row_bytes) return {};
  if (static_cast<std::size_t>(std::llabs(*row_bytes)) < format->row_bytes() && format->height > 1) return {};
  image.format_ = *format;
  image.bounds_ = *bounds;
  image.row_bytes_ = *row_bytes;
  image.top_ = data + std::ptrdiff_t{format->height - 1} * *row_bytes;  // OpenFX images start at the bottom
  image.premultiplied_ = props.text(kOfxImageEffectPropPreMultiplication) == kOfxImagePreMultiplied;
  return image;
}

Image::Image(Image&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)),
      format_(other.format_),
      bounds_(other.bounds_),
      premultiplied_(other.premultiplied_),
      top_(other.top_),
      row_bytes_(other.row_bytes_) {}

Image::~Image() {
  if (handle_) suites().effect->clipReleaseImage(handle_);
}

}  // namespace mive
