// All conversations of this process with its bridge. Made on first use; nothing here belongs to an instance.
#pragma once

#include <sys/types.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "connection.h"
#include "launcher.h"

namespace mive {

class Bridge;

// A connection for as long as its holder talks; then it goes back to the others, or away if it was harmed.
class Lease {
 public:
  Lease() = default;
  Lease(Bridge* owner, std::unique_ptr<Connection> connection) : owner_(owner), connection_(std::move(connection)) {}
  Lease(Lease&&) = default;
  Lease& operator=(Lease&&) = default;
  ~Lease();

  Connection* operator->() const { return connection_.get(); }
  Connection& operator*() const { return *connection_; }

 private:
  Bridge* owner_ = nullptr;
  std::unique_ptr<Connection> connection_;
};

// Who asks. A button tries whatever happened before. A frame starts the bridge, but is refused at once while the bridge
// is left alone after trouble. A glance at the state does not even start it.
enum class Urgency { button, frame, glance };

class Bridge {
 public:
  static Bridge& get();

  // Lends a connection.
  Answer take(const Patience& patience, Urgency urgency, Lease& lease);

  // Remembers trouble, so that the next frames need not run into it again.
  void note(const Answer& answer);

  // Closes all connections that nobody holds.
  void hang_up();

 private:
  friend class Lease;
  std::unique_ptr<Connection> take_idle();
  void give_back(std::unique_ptr<Connection> connection);
  std::string nudge(const std::string& path);
  void forget_after_fork();

  std::mutex mutex_;
  std::vector<std::unique_ptr<Connection>> idle_;
  Launcher launcher_;
  Clock::time_point quiet_until_{};
  Answer last_trouble_;
  pid_t process_ = -1;
};

}  // namespace mive
