// One edit: what the user asked for and where its pixels come from, with nothing left open.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "captions.h"

namespace mive {

enum class Mode { analyse, playback, off };
enum class OnMiss { pass_through, wait };

// The effect's parameters as the host holds them.
struct Parameters {
  std::string captions, mattes, media, frame_range, server, token, preset;
  Mode mode = Mode::playback;
  OnMiss on_miss = OnMiss::pass_through;
  int seed = 0;
  double strength = 1;
};

// What the host can do for this instance.
struct Surroundings {
  bool mattes_connected = false;
  bool mattes2_connected = false;
  bool temporal_access = false;
  std::string source_path;  // the file behind the clip, where the host tells it
  std::optional<std::pair<double, double>> source_range;  // the clip's first and last frame, where the host tells it
};

// Frames `first` to `last`, both included, or all there are (`all`).
struct FrameRange {
  bool all = false;
  int first = 0;
  int last = 0;

  bool holds(int frame) const { return all ? frame >= 0 : first <= frame && frame <= last; }
  std::string text() const;  // "0-9" or "all"
};

// Where an edit's mattes come from, in order of preference.
enum class MatteKind { clip, file, alpha };

struct Edit {
  Captions captions;
  std::string media;  // the file whose frames are edited; empty: the Source clip's
  MatteKind matte_kind = MatteKind::alpha;
  std::string mattes;        // the file, for MatteKind::file
  bool second_clip = false;  // for MatteKind::clip: there are two
  FrameRange frames;
  std::string preset;
  int seed = 0;
  double strength = 1;

  bool from_clip() const { return media.empty(); }
};

struct Resolved {
  Edit edit;
  std::string error;  // not empty where the parameters make no edit: what is wrong and what was expected
};

// What the parameters mean here. Two instances with the same parameters and surroundings are the same edit.
Resolved resolve(const Parameters& parameters, const Surroundings& surroundings);

}  // namespace mive
