#include "bridge.h"

#include <unistd.h>

namespace mive {
namespace {

constexpr std::size_t kMaxIdle = 8;

Answer no_connection(Io io, const std::string& path) {
  switch (io) {
    case Io::aborted:
      return {Trouble::aborted, "Aborted.", {}};
    case Io::timeout:
      return {Trouble::silent, "The bridge does not answer.", {}};
    case Io::closed:
      return {Trouble::no_bridge, "The bridge is still starting.", {}};
    default:
      return {Trouble::no_bridge, "The socket " + path + " cannot be used, or belongs to another user.", {}};
  }
}

}  // namespace

Lease::~Lease() {
  if (connection_) owner_->give_back(std::move(connection_));
}

Bridge& Bridge::get() {
  static Bridge bridge;
  return bridge;
}

Answer Bridge::take(const Patience& patience, Urgency urgency, Lease& lease) {
  {
    const std::lock_guard lock(mutex_);
    forget_after_fork();
    launcher_.reap();
    if (urgency != Urgency::button && Clock::now() < quiet_until_) return last_trouble_;
  }
  if (auto idle = take_idle()) {
    lease = Lease(this, std::move(idle));
    return {};
  }
  const std::string path = socket_path();
  Socket socket;
  Io io;
  while ((io = Socket::connect(path, patience, socket)) == Io::closed) {
    if (urgency == Urgency::glance) break;
    if (const std::string why = nudge(path); !why.empty()) return {Trouble::no_bridge, why, {}};
    if (!patience.pause()) break;
  }
  if (io != Io::ok) return no_connection(patience.aborted() ? Io::aborted : io, path);
  std::unique_ptr<Connection> fresh;
  Answer answer = Connection::open(std::move(socket), patience, fresh);
  if (answer.good()) lease = Lease(this, std::move(fresh));
  return answer;
}

void Bridge::note(const Answer& answer) {
  const std::lock_guard lock(mutex_);
  switch (answer.trouble) {
    case Trouble::none:
      quiet_until_ = {};
      break;
    case Trouble::silent:
    case Trouble::lied:
      // What was refused for the sake of quiet must not prolong it, or no playback would ever end it.
      if (Clock::now() < quiet_until_) break;
      quiet_until_ = Clock::now() + kQuiet;
      last_trouble_ = answer;
      break;
    default:
      break;
  }
}

void Bridge::hang_up() {
  const std::lock_guard lock(mutex_);
  idle_.clear();
}

std::unique_ptr<Connection> Bridge::take_idle() {
  const std::lock_guard lock(mutex_);
  while (!idle_.empty()) {
    auto connection = std::move(idle_.back());
    idle_.pop_back();
    if (connection->idle()) return connection;
  }
  return nullptr;
}

void Bridge::give_back(std::unique_ptr<Connection> connection) {
  const std::lock_guard lock(mutex_);
  if (connection->healthy() && idle_.size() < kMaxIdle) idle_.push_back(std::move(connection));
}

std::string Bridge::nudge(const std::string& path) {
  const std::lock_guard lock(mutex_);
  return launcher_.nudge(path);
}

void Bridge::forget_after_fork() {
  if (process_ == getpid()) return;
  idle_.clear();
  process_ = getpid();
}

}  // namespace mive
