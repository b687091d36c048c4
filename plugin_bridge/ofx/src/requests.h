// What the plugin asks the bridge, one function a request. See plugin_bridge/LINK.md.
#pragma once

#include <string>
#include <vector>

#include "bridge.h"
#include "edit.h"
#include "images.h"
#include "state.h"

namespace mive {

// An edit with its names, and where it is to be computed.
struct Order {
  Edit edit;
  Fields fields;  // of edit_fields
  std::string key;
  std::string server, token;
};

// An image's part in an edit, under its name in the link: "source", "mattes" or "mattes2".
struct Part {
  const char* name;
  const Image* image;
  std::string fingerprint;
  std::string thumbprint;
};

// One frame of an edit, with all its images.
struct Frame {
  int number = 0;
  std::vector<Part> parts;  // what the edit is made from
  Format wanted;            // how the edited frame should come
  std::string look;         // thumbprint of the picture that the user sees
};

// Why there is no answer, or what the bridge says.
struct Heard {
  Answer answer;
  State state;

  bool good() const { return answer.good(); }
};

// An edited frame in shared memory, for as long as this is held.
struct Edited {
  Lease lease;
  const char* pixels = nullptr;  // four channels, of the wanted format's size and depth; null: there is none
};

// Orders the edit; ordering it again changes nothing, except that `again` restarts one that failed or was cancelled.
Heard order(const Order& order, bool again, const Patience& patience, Urgency urgency);

// Hands over the images of a frame.
Heard put(const Order& order, const Frame& frame, const Patience& patience, Urgency urgency);

// Asks for the edited frame; without one, `state` says how things stand.
Heard fetch(const Order& order, const Frame& frame, const Patience& patience, Edited& edited);

// Asks how the edit stands, or ("cancel") stops it.
Heard inquire(const char* type, const Order& order, const Patience& patience, Urgency urgency);

// The name of a frame of an order.
std::string frame_key(const Order& order, const Frame& frame);

}  // namespace mive
