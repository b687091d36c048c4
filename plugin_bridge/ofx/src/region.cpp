#include "region.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace mive {

Region::Region(Region&& other) noexcept
    : fd_(std::move(other.fd_)), data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

Region& Region::operator=(Region&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Region::~Region() {
  if (data_) munmap(data_, size_);
}

std::optional<Region> Region::make(std::size_t bytes) {
  Region region;
  region.fd_ = Descriptor(memfd_create("mive-frames", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  const int fd = region.fd_.get();
  if (fd < 0) return {};
  // Reserving the pages now makes a lack of memory an error here instead of a SIGBUS in the middle of a frame.
  int reserved;
  do {
    reserved = fallocate(fd, 0, 0, static_cast<off_t>(bytes));
  } while (reserved != 0 && errno == EINTR);
  if (reserved != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) return {};
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return {};
  region.data_ = static_cast<char*>(data);
  region.size_ = bytes;
  return region;
}

}  // namespace mive
