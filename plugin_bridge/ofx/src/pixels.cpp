// The loops over pixels of images.h.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <vector>

#include "hash.h"
#include "images.h"
#include "text.h"

namespace mive {
namespace {

constexpr int kBoxes = 8;     // boxes of a thumbprint on either axis
constexpr int kSamples = 32;  // sample points of a box on either axis

unsigned eight_bits(std::uint8_t sample) { return sample; }
unsigned eight_bits(std::uint16_t sample) { return (sample + 128u) / 257; }
unsigned eight_bits(float sample) {
  return sample > 0 ? static_cast<unsigned>(std::min(sample, 1.0f) * 255 + 0.5f) : 0;  // NaN is 0
}

std::uint8_t multiplied(std::uint8_t sample, std::uint8_t alpha) {
  return static_cast<std::uint8_t>((sample * alpha + 127) / 255);
}
std::uint16_t multiplied(std::uint16_t sample, std::uint16_t alpha) {
  return static_cast<std::uint16_t>((std::uint64_t{sample} * alpha + 32767) / 65535);
}
float multiplied(float sample, float alpha) { return sample * alpha; }

// Calls `function` with a null pointer to the type of the samples.
template <typename Function>
auto for_depth(Depth depth, Function function) {
  switch (depth) {
    case Depth::byte:
      return function(static_cast<std::uint8_t*>(nullptr));
    case Depth::word:
      return function(static_cast<std::uint16_t*>(nullptr));
    case Depth::real:
      break;
  }
  return function(static_cast<float*>(nullptr));
}

template <typename Sample>
std::vector<unsigned char> box_means(const Image& image) {
  const Format& format = image.format();
  const auto channels = static_cast<std::size_t>(format.channels);
  constexpr int kPoints = kBoxes * kSamples;
  const auto point = [](int i, int length) {
    return static_cast<int>((2LL * i + 1) * length / (2 * kPoints));
  };
  std::vector<unsigned> sums(kBoxes * kBoxes * channels);
  for (int j = 0; j < kPoints; ++j) {
    const char* row = image.row(point(j, format.height));
    for (int i = 0; i < kPoints; ++i) {
      std::array<Sample, 4> pixel;
      std::memcpy(pixel.data(), row + static_cast<std::size_t>(point(i, format.width)) * format.pixel_bytes(),
                  format.pixel_bytes());
      const auto box = static_cast<std::size_t>(j / kSamples * kBoxes + i / kSamples);
      for (std::size_t c = 0; c < channels; ++c) sums[box * channels + c] += eight_bits(pixel[c]);
    }
  }
  std::vector<unsigned char> means;
  for (const unsigned sum : sums) {
    means.push_back(static_cast<unsigned char>((sum + kSamples * kSamples / 2) / (kSamples * kSamples)));
  }
  return means;
}

// Samples of `count` pixels: the edited colour where there is one.
template <typename Sample>
void paste_row(char* to, const char* edited, int count, int channels, bool premultiplied) {
  for (int i = 0; i < count; ++i) {
    std::array<Sample, 4> from, pixel;
    std::memcpy(from.data(), edited + std::size_t(i) * sizeof from, sizeof from);
    if (from[3] == 0) continue;
    char* const at = to + std::size_t(i) * std::size_t(channels) * sizeof(Sample);
    std::memcpy(pixel.data(), at, std::size_t(channels) * sizeof(Sample));
    for (std::size_t c = 0; c < 3; ++c) pixel[c] = premultiplied ? multiplied(from[c], pixel[3]) : from[c];
    std::memcpy(at, pixel.data(), 3 * sizeof(Sample));
  }
}

OfxRectI common(const OfxRectI& a, const OfxRectI& b) {
  return {std::max(a.x1, b.x1), std::max(a.y1, b.y1), std::min(a.x2, b.x2), std::min(a.y2, b.y2)};
}

char* pixel(const Image& image, int x, int y) {
  const OfxRectI& bounds = image.bounds();
  return image.row(bounds.y2 - 1 - y) + static_cast<std::size_t>(x - bounds.x1) * image.format().pixel_bytes();
}

void copy_part(const Image& source, const Image& output, const OfxRectI& part) {
  const std::size_t bytes = static_cast<std::size_t>(part.x2 - part.x1) * output.format().pixel_bytes();
  for (int y = part.y1; y < part.y2; ++y) std::memcpy(pixel(output, part.x1, y), pixel(source, part.x1, y), bytes);
}

bool is_empty(const OfxRectI& area) { return area.x1 >= area.x2 || area.y1 >= area.y2; }

}  // namespace

std::string fingerprint(const Image& image) {
  std::vector<std::uint64_t> rows;
  for (int y = 0; y < image.format().height; ++y) rows.push_back(xxh64(image.row(y), image.format().row_bytes()));
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx",
                static_cast<unsigned long long>(xxh64(rows.data(), rows.size() * sizeof rows[0])));
  return image.format().text() + ":" + digits;
}

std::string thumbprint(const Image& image) {
  const auto means = for_depth(image.format().depth, [&](auto* sample) {
    return box_means<std::remove_pointer_t<decltype(sample)>>(image);
  });
  return hex(means.data(), means.size());
}

void pack(const Image& image, char* to) {
  const std::size_t bytes = image.format().row_bytes();
  for (int y = 0; y < image.format().height; ++y, to += bytes) std::memcpy(to, image.row(y), bytes);
}

void clear(const Image& output, const OfxRectI& window) {
  const OfxRectI area = common(window, output.bounds());
  if (is_empty(area)) return;
  const std::size_t bytes = static_cast<std::size_t>(area.x2 - area.x1) * output.format().pixel_bytes();
  for (int y = area.y1; y < area.y2; ++y) std::memset(pixel(output, area.x1, y), 0, bytes);
}

void copy(const Image& source, const Image& output, const OfxRectI& window) {
  const OfxRectI area = common(window, output.bounds());
  const OfxRectI part = common(area, source.bounds());
  const bool whole = part.x1 == area.x1 && part.y1 == area.y1 && part.x2 == area.x2 && part.y2 == area.y2;
  if (!whole) clear(output, area);
  if (!is_empty(part)) copy_part(source, output, part);
}

void paste(const Image& source, const char* edited, const Image& output, const OfxRectI& window) {
  copy(source, output, window);
  const OfxRectI part = common(common(window, output.bounds()), source.bounds());
  if (is_empty(part)) return;
  const Format& format = source.format();
  const bool premultiplied = source.premultiplied() && format.channels == 4;
  for (int y = part.y1; y < part.y2; ++y) {
    const int row = source.bounds().y2 - 1 - y, column = part.x1 - source.bounds().x1;
    const auto first = static_cast<std::size_t>(row) * static_cast<std::size_t>(format.width) +
                       static_cast<std::size_t>(column);
    const char* from = edited + first * 4 * static_cast<std::size_t>(format.depth);
    for_depth(format.depth, [&](auto* sample) {
      paste_row<std::remove_pointer_t<decltype(sample)>>(pixel(output, part.x1, y), from, part.x2 - part.x1,
                                                         format.channels, premultiplied);
    });
  }
}

}  // namespace mive
