// SHA-256 (FIPS 180-4) names edits and frames; XXH64 tells whether pixels are the same, at memory speed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace mive {

std::array<unsigned char, 32> sha256(std::string_view bytes);

// XXH64 with seed 0, as in the xxHash specification.
std::uint64_t xxh64(const void* bytes, std::size_t count);

}  // namespace mive
