// Images of the host, seen from the top row down, and what is done with their pixels.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "host.h"

namespace mive {

enum class Depth { byte = 1, word = 2, real = 4 };  // bytes of a sample; real is 32-bit float

struct DepthNames {
  Depth depth;
  const char* host;  // in OpenFX
  const char* text;  // in an image's format, as of the bridge
};
inline constexpr DepthNames kDepths[] = {{Depth::real, kOfxBitDepthFloat, "float"},  // those that are wanted first
                                         {Depth::word, kOfxBitDepthShort, "short"},
                                         {Depth::byte, kOfxBitDepthByte, "byte"}};

// Pixels without padding, top row first: how images lie in shared memory.
struct Format {
  int width = 0, height = 0;
  int channels = 4;  // 4 RGBA, 3 RGB, 1 alpha
  Depth depth = Depth::byte;

  std::size_t pixel_bytes() const { return static_cast<std::size_t>(channels) * static_cast<std::size_t>(depth); }
  std::size_t row_bytes() const { return pixel_bytes() * static_cast<std::size_t>(width); }
  std::size_t bytes() const { return row_bytes() * static_cast<std::size_t>(height); }
  std::string text() const;  // "64x48:rgba:byte"
};

// An image that the host lends; it is given back when this goes away.
class Image {
 public:
  // Nothing where the clip is not connected, the host has no image, or one that makes no sense.
  static std::optional<Image> fetch(OfxImageEffectHandle effect, const char* clip, OfxTime time);

  Image(Image&& other) noexcept;
  Image(const Image&) = delete;
  Image& operator=(Image&&) = delete;
  ~Image();

  const Format& format() const { return format_; }
  const OfxRectI& bounds() const { return bounds_; }
  bool premultiplied() const { return premultiplied_; }

  // The row `from_top` (0 is the top row), which may lie before or behind the one above it in memory.
  char* row(int from_top) const { return top_ - from_top * row_bytes_; }

 private:
  Image() = default;
  OfxPropertySetHandle handle_ = nullptr;
  Format format_;
  OfxRectI bounds_{};
  bool premultiplied_ = false;
  char* top_ = nullptr;
  std::ptrdiff_t row_bytes_ = 0;  // from a row to the one above it
};

// What an image holds: its format and XXH64 of the XXH64s of its rows, as "64x48:rgba:byte:0123456789abcdef".
std::string fingerprint(const Image& image);

// How it looks, alike at all sizes and depths: means of 8 x 8 boxes, a byte a channel, as hexadecimal digits.
std::string thumbprint(const Image& image);

// Copies the pixels into shared memory.
void pack(const Image& image, char* to);

// Copies the source to `window` of the output; black and transparent where there is no source.
void copy(const Image& source, const Image& output, const OfxRectI& window);

// The same for no source at all.
void clear(const Image& output, const OfxRectI& window);

// Copies the source and puts the edited frame on top. `edited` has the source's size and depth, always four channels:
// R, G, B and, where the pixel is edited, an alpha that is not 0. The source's alpha stays.
void paste(const Image& source, const char* edited, const Image& output, const OfxRectI& window);

}  // namespace mive
