// Shared memory for frames and mattes. The plugin makes it and seals its size, so that no bridge can pull it away from
// under the host. The Windows twin would be a pagefile-backed section, duplicated into the bridge.
#pragma once

#include <cstddef>
#include <optional>

#include "socket.h"

namespace mive {

inline constexpr std::size_t kPage = 4096;
inline constexpr std::size_t kMaxRegionBytes = std::size_t{2} << 30;  // source and two matte clips, 8K float RGBA

// `bytes` rounded up to whole pages: where the next image of a region begins.
constexpr std::size_t whole_pages(std::size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

class Region {
 public:
  Region() = default;
  Region(Region&& other) noexcept;
  Region& operator=(Region&& other) noexcept;
  ~Region();

  // Nothing where there is no memory for it.
  static std::optional<Region> make(std::size_t bytes);

  std::size_t size() const { return size_; }
  char* data() const { return data_; }
  int descriptor() const { return fd_.get(); }

 private:
  Descriptor fd_;
  char* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace mive
