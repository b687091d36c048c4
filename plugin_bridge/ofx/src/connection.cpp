#include "connection.h"

#include <unistd.h>

#include <cstring>

#include "host.h"
#include "text.h"

namespace mive {
namespace {

// Lies at the start of shared memory. The bridge fills it in when the frame behind it is complete.
struct Stamp {
  char magic[8];  // "MIVEDONE"
  std::uint64_t id;
  unsigned char key[32];
  std::uint64_t bytes;
};
static_assert(sizeof(Stamp) == 56);

constexpr std::string_view kMagic = "MIVEDONE";

std::string prefixed(const std::string& text) {
  const auto size = static_cast<std::uint32_t>(text.size());
  std::string whole(sizeof size, '\0');
  std::memcpy(whole.data(), &size, sizeof size);
  return whole + text;
}

}  // namespace

Answer Connection::open(Socket socket, const Patience& patience, std::unique_ptr<Connection>& connection) {
  std::unique_ptr<Connection> fresh(new Connection(std::move(socket)));
  Message hello{"hello", {}};
  hello.add("protocol", std::to_string(kProtocol));
  hello.add("plugin", MIVE_VERSION);
  const std::string host = host_name();
  hello.add("host", is_short_text(host) ? host : "");
  hello.add("pid", std::to_string(getpid()));
  Answer answer = fresh->ask(std::move(hello), patience);
  if (!answer.good()) return answer;
  if (answer.message.type != "welcome" || answer.message.whole("protocol", 1000000) != kProtocol) {
    return fresh->lie("its greeting is wrong");
  }
  connection = std::move(fresh);
  return answer;
}

Answer Connection::ask(Message request, int fd, const Patience& patience) {
  request.fields.insert(request.fields.begin(), {"id", std::to_string(++id_)});
  const std::string text = encode(request);
  if (text.size() > kMaxMessageBytes) return {Trouble::refused, "The captions and paths are too long.", {}};
  if (const Io io = socket_.send(prefixed(text), fd, patience); io != Io::ok) return broken(io);

  std::uint32_t size = 0;
  Io io = socket_.receive(reinterpret_cast<char*>(&size), sizeof size, patience);
  if (io != Io::ok) return broken(io);
  if (size == 0 || size > kMaxMessageBytes) return lie("a message has " + std::to_string(size) + " bytes");
  std::string reply(size, '\0');
  io = socket_.receive(reply.data(), reply.size(), patience);
  if (io != Io::ok) return broken(io);

  auto message = decode(reply);
  if (!message) return lie("a message is malformed");
  if (message->text("id") != std::to_string(id_)) return lie("it answers another question");
  if (message->type == "error") {
    if (!is_short_text(message->text("text"))) return lie("an error is malformed");
    return {Trouble::refused, message->text("text"), {}};
  }
  return {Trouble::none, "", std::move(*message)};
}

Answer Connection::reserve(std::size_t bytes, const Patience& patience) {
  const std::size_t size = kPage + whole_pages(bytes);
  if (region_.size() >= size) return {};
  if (size > kMaxRegionBytes) return {Trouble::no_memory, "The frame is too large to be shared with the bridge.", {}};
  auto region = Region::make(size);
  if (!region) return {Trouble::no_memory, "There is no memory to share the frame with the bridge.", {}};
  Message request{"region", {}};
  request.add("bytes", std::to_string(size));
  Answer answer = ask(std::move(request), region->descriptor(), patience);
  if (!answer.good()) return answer;
  if (answer.message.type != "ok") return lie("it did not take the memory");
  region_ = std::move(*region);
  return answer;
}

void Connection::clear_stamp() { std::memset(region_.data(), 0, sizeof(Stamp)); }

bool Connection::stamped(const std::string& key, std::size_t bytes) const {
  Stamp stamp;
  std::memcpy(&stamp, region_.data(), sizeof stamp);
  return std::string_view(stamp.magic, sizeof stamp.magic) == kMagic && stamp.id == id_ && stamp.bytes == bytes &&
         hex(stamp.key, sizeof stamp.key) == key;
}

Answer Connection::lie(const std::string& what) {
  healthy_ = false;
  return {Trouble::lied, "The bridge answers wrongly (" + what + "). Update MIVE, or restart the bridge.", {}};
}

Answer Connection::broken(Io io) {
  healthy_ = false;
  switch (io) {
    case Io::aborted:
      return {Trouble::aborted, "Aborted.", {}};
    case Io::timeout:
      return {Trouble::silent, "The bridge does not answer.", {}};
    default:
      return {Trouble::no_bridge, "The bridge ended while it was answering.", {}};
  }
}

}  // namespace mive
