// A participant's answers, kept in the browser after each choice.
"use strict";

class Answers {
  // Prefix of what this study keeps; studies opened from disk share one storage.
  static prefix(study) {
    return `mive-study:${study}:`;
  }

  // Codes that have answers here.
  static codes(study) {
    const prefix = Answers.prefix(study);
    try {
      return Object.keys(localStorage).filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    } catch {
      return [];
    }
  }

  constructor(data, code) {
    this.study = data.study;
    this.code = code;
    this.questions = data.questions.map((question) => question.name);
    this.clips = shuffled(data.clips, `${data.study}/${code}`);
    this.orders = Object.fromEntries(
      data.clips.map((clip) => [clip.id, shuffled(clip.videos, `${data.study}/${code}/${clip.id}`)]),
    );
    this.lasting = true;
    this.choices = {};
    this.started = new Date().toISOString();
    this.finished = null;
    this._load();
  }

  choice(clip, question) {
    return this.choices[clip.id]?.[question];
  }

  choose(clip, question, video) {
    this.choices[clip.id] = { ...this.choices[clip.id], [question]: video };
    if (this.count() === this.clips.length) this.finished = new Date().toISOString();
    this.save();
  }

  // The first question of a clip without an answer; -1 where there is none.
  open(clip) {
    return this.questions.findIndex((question) => !this.choice(clip, question));
  }

  // How many clips have all answers.
  count() {
    return this.clips.filter((clip) => this.open(clip) < 0).length;
  }

  save() {
    const kept = { started: this.started, finished: this.finished, choices: this.choices };
    try {
      localStorage.setItem(Answers.prefix(this.study) + this.code, JSON.stringify(kept));
    } catch {
      this.lasting = false;
    }
  }

  // What is handed in.
  result() {
    const clips = this.clips.map((clip) => ({
      clip: clip.id,
      shown: this.orders[clip.id],
      choices: this.choices[clip.id] ?? {},
    }));
    const head = { version: 1, study: this.study, participant: this.code };
    return JSON.stringify({ ...head, started: this.started, finished: this.finished, clips }, null, 1) + "\n";
  }

  _load() {
    try {
      const kept = JSON.parse(localStorage.getItem(Answers.prefix(this.study) + this.code) ?? "null");
      if (kept) Object.assign(this, kept);
    } catch {
      this.lasting = false;
    }
  }
}
