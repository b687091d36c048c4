// One instance of the effect, read afresh in every action: nothing about it is kept.
#pragma once

#include "parameters.h"
#include "requests.h"

namespace mive {

inline constexpr char kMattesClip[] = "Mattes";
inline constexpr char kMattes2Clip[] = "Mattes2";

struct Instance {
  Parameters parameters;
  Order order;
  std::string error;  // not empty where the parameters make no edit
};

Instance read_instance(OfxImageEffectHandle effect);

// The images of one frame; they must outlive the Frame that is made of them.
struct FrameImages {
  std::optional<Image> source, mattes, mattes2;

  // Nothing is missing that the edit is made from.
  bool complete_for(const Edit& edit) const;
};

FrameImages fetch_images(OfxImageEffectHandle effect, const Edit& edit, OfxTime time);

// `images.source` is there.
Frame frame_of(const FrameImages& images, const Edit& edit, int number);

// A message that stays on the picture, or in the log of hosts without such messages.
void show_message(OfxImageEffectHandle effect, const char* type, const std::string& text);
void clear_message(OfxImageEffectHandle effect);

}  // namespace mive
