// The stream of events, with nothing missed: after a lost connection, a restart of the service or a
// laptop's sleep it goes on from the last event that came.

const KINDS = ["alarm.raised", "alarm.ended", "alarm.evidence", "alarm.acknowledged", "alarm.assigned", "alarm.noted", "alarm.escalated", "alarm.unshelved", "alarm.closed", "shelf.begun", "shelf.ended"];
const AGAIN_MS = 3000;
const ASLEEP_MS = 20000;

/**
 * Calls `heard(id, kind)` for each event after `seq`, and `state` with "live", "lost" or "out".
 * A browser opens six connections to a service at the most, over all its tabs: a page that may rest
 * while nobody looks at it gives its own back.
 */
export function listen(seq, heard, state, mayRest = false) {
  let last = seq;
  let source;

  function connect() {
    source?.close();
    source = new EventSource(`/api/v1/alarms/stream?since=${last}`);
    source.addEventListener("open", () => state("live"));
    source.addEventListener("reset", () => location.reload());
    source.addEventListener("error", failed);
    for (const kind of KINDS) {
      source.addEventListener(kind, (event) => {
        last = Number(event.lastEventId);
        heard(JSON.parse(event.data).id, kind);
      });
    }
  }

  async function failed() {
    if (mayRest && document.hidden) return;
    state("lost");
    // While it is connecting the browser tries by itself; a refusal ends that.
    if (source.readyState !== EventSource.CLOSED) return;
    const own = await fetch("/api/v1/session").catch(() => undefined);
    if (own?.status === 401) return state("out");
    setTimeout(connect, AGAIN_MS);
  }

  function wake() {
    if (mayRest && document.hidden) source?.close();
    else connect();
  }

  // Timers stand still while a laptop sleeps: a long step means that the connection may be dead
  // without anybody having said so.
  let before = Date.now();
  setInterval(() => {
    const now = Date.now();
    if (now - before > ASLEEP_MS) wake();
    before = now;
  }, 5000);
  addEventListener("online", wake);
  if (mayRest) document.addEventListener("visibilitychange", wake);
  wake();
}
