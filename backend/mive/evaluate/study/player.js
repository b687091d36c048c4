// Several videos of equal length, played, paused, stepped and looped as one.
"use strict";

class Player {
  // changed(player) is called whenever the frame shown or whether it plays may be another.
  constructor(changed) {
    this._changed = changed;
    this._videos = [];
    this._urls = [];
    this.playing = false;
    this.frame = 0;
    this.frames = 1;
    this.rate = 1;
    setInterval(() => this._align(), 200);
  }

  // Shows other videos, from their first frame on. Rejects where one cannot be loaded.
  async load(videos, files, frames, rate) {
    this.playing = false;
    for (const url of this._urls) URL.revokeObjectURL(url);
    Object.assign(this, { _videos: videos, _urls: [], frame: 0, frames, rate });
    videos.forEach((video) => video.addEventListener("ended", () => this._ended(videos)));
    await Promise.all(videos.map((video, place) => this._open(video, files[place])));
    if (this._videos === videos) await this._show(0);
  }

  play() {
    if (this.playing || !this._videos.length) return;
    this.playing = true;
    this._run(this.frame / this.rate);
  }

  async pause() {
    if (!this.playing) return;
    this.playing = false;
    this._videos.forEach((video) => video.pause());
    await this._show(Math.min(this.frames - 1, Math.floor(this._videos[0].currentTime * this.rate)));
  }

  async step(by) {
    await this.pause();
    await this._show((this.frame + by + this.frames) % this.frames);
  }

  // A server without range requests cannot seek, so what comes over a network is taken whole.
  async _open(video, file) {
    let url = file;
    if (location.protocol.startsWith("http")) {
      const answer = await fetch(file);
      if (!answer.ok) throw new Error(`${file}: ${answer.status}`);
      url = URL.createObjectURL(await answer.blob());
      this._urls.push(url);
    }
    await new Promise((resolve, reject) => {
      video.addEventListener("loadeddata", resolve, { once: true });
      video.addEventListener("error", () => reject(new Error(file)), { once: true });
      video.src = url;
    });
  }

  async _run(time) {
    const videos = this._videos;
    await Promise.all(videos.map((video) => sought(video, time)));
    if (!this.playing || this._videos !== videos) return;
    // A pause before playing has begun rejects, which is all right.
    videos.forEach((video) => video.play().catch(() => {}));
    this._changed(this);
  }

  // The middle of a frame's time, where rounding cannot reach its neighbours.
  async _show(frame) {
    this.frame = frame;
    this._changed(this);
    await Promise.all(this._videos.map((video) => sought(video, (frame + 0.5) / this.rate)));
  }

  // All start again together, when the last one has ended.
  _ended(videos) {
    if (this.playing && this._videos === videos && videos.every((video) => video.ended)) this._run(0);
  }

  // Pulls those that ran apart from the first one back to it.
  _align() {
    const [first, ...others] = this._videos;
    if (!this.playing || !first || first.ended || first.seeking) return;
    this.frame = Math.min(this.frames - 1, Math.floor(first.currentTime * this.rate));
    for (const video of others) {
      const apart = Math.abs(video.currentTime - first.currentTime);
      if (!video.ended && !video.seeking && apart > 1 / this.rate) video.currentTime = first.currentTime;
    }
    this._changed(this);
  }
}

function sought(video, time) {
  return new Promise((resolve) => {
    video.addEventListener("seeked", resolve, { once: true });
    video.currentTime = time;
  });
}
