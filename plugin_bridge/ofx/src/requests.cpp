#include "requests.h"

namespace mive {
namespace {

Heard heard(Answer answer) { return {std::move(answer), {}}; }

// Reads the state in an answer of this type.
Heard with_state(Connection& connection, Answer answer, const char* type) {
  if (!answer.good()) return heard(std::move(answer));
  const auto state = answer.message.type == type ? state_from(answer.message) : std::nullopt;
  if (!state) return heard(connection.lie("a state is malformed"));
  return {std::move(answer), *state};
}

// Runs one request over a connection and remembers trouble.
template <typename Function>
Heard converse(const Patience& patience, Urgency urgency, Function function) {
  Lease lease;
  Answer taken = Bridge::get().take(patience, urgency, lease);
  Heard said = taken.good() ? function(lease) : heard(std::move(taken));
  Bridge::get().note(said.answer);
  return said;
}

void add_parts(Message& message, const Frame& frame) {
  for (const Part& part : frame.parts) {
    message.add(part.name, part.fingerprint);
    message.add(std::string(part.name) + "_print", part.thumbprint);
  }
}

// Whether the frame in shared memory is the one that was asked for.
Answer check_hit(Connection& connection, Answer answer, const std::string& key, std::size_t bytes) {
  if (answer.message.text("key") != key) return connection.lie("it has another frame");
  if (!connection.stamped(key, bytes)) return connection.lie("the frame is not in shared memory");
  return answer;
}

}  // namespace

Heard order(const Order& order, bool again, const Patience& patience, Urgency urgency) {
  return converse(patience, urgency, [&](Lease& lease) {
    Message message{"order", {}};
    message.add("edit", order.key);
    for (const auto& [name, value] : order.fields) message.add(name, value);
    message.add("server", order.server);
    message.add("token", order.token);
    message.add("again", again ? "1" : "0");
    return with_state(*lease, lease->ask(std::move(message), patience), "state");
  });
}

Heard put(const Order& order, const Frame& frame, const Patience& patience, Urgency urgency) {
  return converse(patience, urgency, [&](Lease& lease) {
    std::size_t bytes = 0;
    for (const Part& part : frame.parts) bytes += whole_pages(part.image->format().bytes());
    if (Answer reserved = lease->reserve(bytes, patience); !reserved.good()) return heard(std::move(reserved));
    char* to = lease->images();
    Message message{"put", {}};
    message.add("edit", order.key);
    message.add("frame", std::to_string(frame.number));
    add_parts(message, frame);
    for (const Part& part : frame.parts) {
      pack(*part.image, to);
      to += whole_pages(part.image->format().bytes());
    }
    const bool premultiplied = !frame.parts.empty() && frame.parts.front().image->premultiplied();
    message.add("premultiplied", premultiplied ? "1" : "0");
    return with_state(*lease, lease->ask(std::move(message), patience), "state");
  });
}

Heard fetch(const Order& order, const Frame& frame, const Patience& patience, Edited& edited) {
  return converse(patience, Urgency::frame, [&](Lease& lease) {
    const std::size_t bytes = frame.wanted.bytes();
    if (Answer reserved = lease->reserve(bytes, patience); !reserved.good()) return heard(std::move(reserved));
    const std::string key = frame_key(order, frame);
    Message message{"frame", {}};
    message.add("key", key);
    message.add("edit", order.key);
    message.add("frame", std::to_string(frame.number));
    add_parts(message, frame);
    message.add("wanted", frame.wanted.text());
    message.add("look", frame.look);
    lease->clear_stamp();
    Answer answer = lease->ask(std::move(message), patience);
    if (!answer.good() || answer.message.type != "hit") {
      return with_state(*lease, std::move(answer), "miss");
    }
    answer = check_hit(*lease, std::move(answer), key, bytes);
    if (answer.good()) {
      edited.pixels = lease->images();
      edited.lease = std::move(lease);
    }
    return heard(std::move(answer));
  });
}

Heard inquire(const char* type, const Order& order, const Patience& patience, Urgency urgency) {
  return converse(patience, urgency, [&](Lease& lease) {
    Message message{type, {}};
    message.add("edit", order.key);
    return with_state(*lease, lease->ask(std::move(message), patience), "state");
  });
}

std::string frame_key(const Order& order, const Frame& frame) {
  Fields contents;
  for (const char* name : {"source", "mattes", "mattes2"}) {
    contents.emplace_back(name, "-");
    for (const Part& part : frame.parts) {
      if (std::string_view(part.name) == name) contents.back().second = part.fingerprint;
    }
  }
  return frame_key(order.key, frame.number, contents);
}

}  // namespace mive
