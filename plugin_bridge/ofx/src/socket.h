// A Unix stream socket that never blocks beyond its caller's patience. The Windows twin of this file would hold a named
// pipe opened for overlapped I/O; nothing above it knows the difference.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "patience.h"

namespace mive {

// A file descriptor that closes itself.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept;
  ~Descriptor();

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int release();
  int fd_ = -1;
};

enum class Io { ok, timeout, aborted, closed, failed };

// Where the bridge listens: $MIVE_BRIDGE_SOCKET, else bridge.sock in $XDG_RUNTIME_DIR/mive, else in /tmp/mive-UID.
std::string socket_path();

class Socket {
 public:
  // Connects to a bridge that runs as the same user. `Io::closed`: nobody listens there. `Io::failed`: somebody else.
  static Io connect(const std::string& path, const Patience& patience, Socket& socket);

  // Sends all bytes; `fd` (-1: none) travels with the first of them.
  Io send(std::string_view bytes, int fd, const Patience& patience);

  Io receive(char* bytes, std::size_t count, const Patience& patience);

  // Nothing waits to be read, not even an end.
  bool silent() const;

 private:
  Io wait(short events, const Patience& patience) const;
  Descriptor fd_;
};

}  // namespace mive
