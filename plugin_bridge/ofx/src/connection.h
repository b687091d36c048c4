// One conversation with the bridge: a socket, and the memory that both see. One request at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "message.h"
#include "region.h"
#include "socket.h"

namespace mive {

inline constexpr int kProtocol = 1;

// Why there is no answer.
enum class Trouble {
  none,
  aborted,    // the host wants the thread back
  no_bridge,  // it cannot be reached, or ended
  silent,     // it does not answer in time
  lied,       // its answer breaks the protocol
  refused,    // it says that the request is wrong
  no_memory,  // there is none for the frame
};

struct Answer {
  Trouble trouble = Trouble::none;
  std::string why;  // for people; empty where there is no trouble
  Message message;

  bool good() const { return trouble == Trouble::none; }
};

class Connection {
 public:
  // Shakes hands over a fresh socket.
  static Answer open(Socket socket, const Patience& patience, std::unique_ptr<Connection>& connection);

  // Sends a request, whose id it adds, and reads the answer to it.
  Answer ask(Message request, const Patience& patience) { return ask(std::move(request), -1, patience); }

  // Makes the shared memory hold `bytes` of images, and tells the bridge.
  Answer reserve(std::size_t bytes, const Patience& patience);

  // The images in shared memory; they begin at whole pages.
  char* images() { return region_.data() + kPage; }

  // Unmakes the stamp that says which frame lies in shared memory.
  void clear_stamp();

  // Whether the bridge has stamped the memory as the answer to the last request.
  bool stamped(const std::string& key, std::size_t bytes) const;

  Answer lie(const std::string& what);

  // Whether it can be used again. After any trouble a late answer could be taken for the next one's.
  bool healthy() const { return healthy_; }

  // Whether the other side is still there and has said nothing unasked.
  bool idle() const { return healthy_ && socket_.silent(); }

 private:
  explicit Connection(Socket socket) : socket_(std::move(socket)) {}
  Answer ask(Message request, int fd, const Patience& patience);
  Answer broken(Io io);

  Socket socket_;
  Region region_;
  std::uint64_t id_ = 0;
  bool healthy_ = true;
};

}  // namespace mive
