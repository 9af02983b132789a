// The sound of a new alarm: made here, so that nothing is loaded. It repeats while an alarm is
// unacknowledged and can be silenced for a time, never for good; browsers let a page make a sound
// only after its reader has touched it, so that until then the button says that it is off.

const SILENCE_MS = 5 * 60 * 1000;
const REPEAT_MS = 4000;

export class Sound {
  constructor(button, isNeeded) {
    this.button = button;
    this.isNeeded = isNeeded;
    this.silentUntil = Number(sessionStorage.getItem("silentUntil") ?? 0);
    button.addEventListener("click", () => this.press());
    for (const kind of ["pointerdown", "keydown"]) {
      document.addEventListener(kind, () => this.start(), { once: true });
    }
    setInterval(() => this.tick(), REPEAT_MS);
    setInterval(() => this.show(), 1000);
    this.show();
  }

  start() {
    this.context ??= new AudioContext();
    this.context.resume().then(() => this.show());
  }

  isOn() { return this.context?.state === "running"; }

  press() {
    if (!this.isOn()) return this.start();
    this.silentUntil = Date.now() < this.silentUntil ? 0 : Date.now() + SILENCE_MS;
    sessionStorage.setItem("silentUntil", String(this.silentUntil));
    this.show();
  }

  show() {
    // Not for longer where the clock was set back meanwhile.
    if (this.silentUntil - Date.now() > SILENCE_MS) this.silentUntil = 0;
    const left = Math.ceil((this.silentUntil - Date.now()) / 1000);
    const { off, on, silent } = this.button.dataset;
    const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    this.button.textContent = !this.isOn() ? off : left > 0 ? silent.replace("{}", clock) : on;
    this.button.className = this.isOn() && left <= 0 ? "" : "warn";
  }

  /** Sounds at once, for an alarm that has just arrived. */
  tick() {
    if (!this.isOn() || Date.now() < this.silentUntil || !this.isNeeded()) return;
    for (const [after, hertz] of [[0, 880], [0.25, 660], [0.5, 880]]) {
      const at = this.context.currentTime + after;
      const tone = new OscillatorNode(this.context, { frequency: hertz, type: "triangle" });
      const gain = new GainNode(this.context, { gain: 0 });
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime(0.3, at + 0.02);
      gain.gain.linearRampToValueAtTime(0, at + 0.2);
      tone.connect(gain).connect(this.context.destination);
      tone.start(at);
      tone.stop(at + 0.22);
    }
  }
}
