// Live video: fragments of MP4 over a WebSocket into Media Source Extensions, kept close to the
// camera's now. What is lost on the way is lost: it goes on at the next key picture.

const AGAIN_MS = 3000;
/** Further behind than this it jumps, further than half of it hurries. */
const BEHIND_MAX_S = 1.2;
const EDGE_S = 0.2;
const KEPT_S = 20;
/** Fragments that wait for the player; more, and it begins anew. */
const WAITING_MAX = 300;

export class Live {
  /** Plays `camera` in `video`; calls `tell` with "plays", "away", "waits", "full" or "refused". */
  constructor(video, camera, tell) {
    this.video = video;
    this.tell = tell;
    this.address = `${location.origin.replace(/^http/, "ws")}/api/v1/cameras/${encodeURIComponent(camera)}/live`;
    this.connect();
  }

  connect() {
    this.tell("waits");
    const socket = new WebSocket(this.address);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      if (this.socket !== socket) return;
      if (typeof data === "string") this.heed(JSON.parse(data));
      else this.add(data);
    });
    socket.addEventListener("close", () => {
      if (this.socket !== socket || this.isOver) return;
      this.tell("waits");
      this.timer = setTimeout(() => this.connect(), AGAIN_MS);
    });
  }

  heed(message) {
    if (message.codec) this.begin(`video/mp4; codecs="${message.codec}"`);
    else if (message.away) this.tell("away");
    else if (message.full) this.leave("full");
    else if (message.refused) this.leave("refused");
    else {
      this.tie = message;
      // Only now has it been taken: a slow viewer is told by late answers.
      this.socket.send("k");
    }
  }

  leave(why) {
    this.stop();
    this.tell(why);
  }

  /** A timeline begins: the player forgets the one before. */
  begin(type) {
    if (!window.MediaSource?.isTypeSupported(type)) return this.leave("refused");
    this.release();
    const source = new MediaSource();
    this.source = source;
    this.waiting = [];
    source.addEventListener("sourceopen", () => {
      if (this.source !== source) return;
      this.buffer = source.addSourceBuffer(type);
      this.buffer.addEventListener("updateend", () => { this.keepClose(); this.feed(); });
      this.feed();
    }, { once: true });
    this.url = URL.createObjectURL(source);
    this.video.src = this.url;
    return undefined;
  }

  add(fragment) {
    if (!this.waiting) return;
    this.waiting.push(fragment);
    if (this.waiting.length > WAITING_MAX) this.socket.close();
    else this.feed();
  }

  /** Gives the player all that waits, at once. */
  feed() {
    if (!this.buffer || this.buffer.updating || this.source.readyState !== "open") return;
    const first = this.buffer.buffered;
    if (first.length && this.video.currentTime - first.start(0) > KEPT_S) {
      this.buffer.remove(0, this.video.currentTime - KEPT_S / 2);
      return;
    }
    if (this.waiting.length === 0) return;
    const all = new Uint8Array(this.waiting.reduce((sum, part) => sum + part.byteLength, 0));
    let at = 0;
    for (const part of this.waiting) {
      all.set(new Uint8Array(part), at);
      at += part.byteLength;
    }
    this.waiting = [];
    try {
      this.buffer.appendBuffer(all);
    } catch {
      this.socket.close();
    }
  }

  /** Returns how far the picture is behind what has arrived, seconds; none before the first. */
  behindS() {
    const { buffered } = this.video;
    return buffered.length ? buffered.end(buffered.length - 1) - this.video.currentTime : undefined;
  }

  /** Returns how long ago the camera saw what is shown, seconds, by the service's clock and this one. */
  latencyS() {
    if (!this.tie || this.behindS() === undefined) return undefined;
    const { shown_at_s: shown, captured_at_ms: captured } = this.tie;
    return (Date.now() - captured) / 1000 - (this.video.currentTime - shown);
  }

  keepClose() {
    const behind = this.behindS();
    if (behind === undefined) return;
    const { buffered } = this.video;
    const last = buffered.length - 1;
    if (behind > BEHIND_MAX_S || this.video.currentTime < buffered.start(last)) {
      this.video.currentTime = Math.max(buffered.start(last), buffered.end(last) - EDGE_S);
    }
    this.video.playbackRate = behind > BEHIND_MAX_S / 2 ? 1.1 : 1;
    if (this.video.paused) this.video.play().catch(() => {});
    this.tell("plays");
  }

  release() {
    this.buffer = undefined;
    this.source = undefined;
    this.waiting = undefined;
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = undefined;
  }

  stop() {
    this.isOver = true;
    clearTimeout(this.timer);
    this.socket.close();
    this.release();
    this.video.removeAttribute("src");
    this.video.load();
  }
}
