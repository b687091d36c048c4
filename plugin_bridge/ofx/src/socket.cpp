#include "socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace mive {
namespace {

bool same_user(int fd) {
  ucred peer{};
  socklen_t size = sizeof peer;
  return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == geteuid();
}

bool again() { return errno == EAGAIN || errno == EWOULDBLOCK; }

ssize_t send_some(int socket, std::string_view bytes, int fd) {
  iovec data{const_cast<char*>(bytes.data()), bytes.size()};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  if (fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(rights), &fd, sizeof fd);
  }
  return sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) close(fd_);
    fd_ = other.release();
  }
  return *this;
}

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

int Descriptor::release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

std::string socket_path() {
  if (const char* chosen = std::getenv("MIVE_BRIDGE_SOCKET"); chosen && *chosen) return chosen;
  if (const char* runtime = std::getenv("XDG_RUNTIME_DIR"); runtime && *runtime) {
    return std::string(runtime) + "/mive/bridge.sock";
  }
  return "/tmp/mive-" + std::to_string(geteuid()) + "/bridge.sock";
}

Io Socket::connect(const std::string& path, const Patience& patience, Socket& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Io::failed;
  std::memcpy(address.sun_path, path.data(), path.size());
  Descriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Io::failed;
  // EAGAIN: the listener's queue is full, it does not accept.
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EINTR) continue;
    if (errno == ENOENT || errno == ECONNREFUSED) return Io::closed;
    if (!again()) return Io::failed;
    if (!patience.pause()) return patience.aborted() ? Io::aborted : Io::timeout;
  }
  if (!same_user(fd.get())) return Io::failed;
  socket.fd_ = std::move(fd);
  return Io::ok;
}

Io Socket::wait(short events, const Patience& patience) const {
  for (;;) {
    if (patience.aborted()) return Io::aborted;
    pollfd entry{fd_.get(), events, 0};
    const int ready = poll(&entry, 1, patience.slice());
    if (ready > 0) return Io::ok;
    if (ready < 0 && errno != EINTR) return Io::failed;
    if (patience.over()) return Io::timeout;
  }
}

Io Socket::send(std::string_view bytes, int fd, const Patience& patience) {
  while (!bytes.empty()) {
    const ssize_t sent = send_some(fd_.get(), bytes, fd);
    if (sent > 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
      fd = -1;
    } else if (sent < 0 && again()) {
      if (const Io io = wait(POLLOUT, patience); io != Io::ok) return io;
    } else if (sent < 0 && errno == EINTR) {
      continue;
    } else {
      return sent < 0 && (errno == EPIPE || errno == ECONNRESET) ? Io::closed : Io::failed;
    }
  }
  return Io::ok;
}

Io Socket::receive(char* bytes, std::size_t count, const Patience& patience) {
  while (count > 0) {
    const ssize_t got = recv(fd_.get(), bytes, count, MSG_DONTWAIT);
    if (got > 0) {
      bytes += got;
      count -= static_cast<std::size_t>(got);
    } else if (got == 0 || (got < 0 && errno == ECONNRESET)) {
      return Io::closed;
    } else if (again()) {
      if (const Io io = wait(POLLIN, patience); io != Io::ok) return io;
    } else if (errno != EINTR) {
      return Io::failed;
    }
  }
  return Io::ok;
}

bool Socket::silent() const {
  pollfd entry{fd_.get(), POLLIN, 0};
  return poll(&entry, 1, 0) == 0;
}

}  // namespace mive
