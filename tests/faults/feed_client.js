// A browser's side of the feed, reduced to what the fault test compares: every output byte, in
// order, across reconnects by cursor. Runs in a page of the control plane's own origin.
(sessionId) => {
  const state = {
    cursor: 0, chunks: [], bytes: 0, duplicates: 0, holes: [], gaps: [], opened: 0, ended: false,
    closes: {},
  };
  window.feedClient = state;
  const take = (buffer) => {
    const view = new DataView(buffer);
    let at = 0;
    while (at < buffer.byteLength) {
      const seq = Number(view.getBigUint64(at));
      const kind = view.getUint8(at + 16);
      const length = view.getUint32(at + 17);
      const data = new Uint8Array(buffer, at + 21, length);
      at += 21 + length;
      if (seq <= state.cursor) { state.duplicates += 1; continue; }
      if (kind === 9) state.gaps.push(JSON.parse(new TextDecoder().decode(data)));
      else if (seq !== state.cursor + 1) state.holes.push([state.cursor, seq]);
      state.cursor = seq;
      if (kind === 1) { state.chunks.push(data.slice()); state.bytes += length; }
      if (kind === 7 || kind === 8) state.ended = true;
    }
  };
  const connect = () => {
    const url = `ws://${location.host}/api/v1/sessions/${sessionId}/feed?after=${state.cursor}&window=1048576`;
    const socket = new WebSocket(url, "earthshine.feed.v1");
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { state.opened += 1; };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") return;
      take(event.data);
      socket.send(JSON.stringify({ type: "ack", seq: state.cursor }));
    };
    socket.onclose = (event) => {
      state.closes[event.code] = (state.closes[event.code] || 0) + 1;
      if (!state.ended) setTimeout(connect, 50 + Math.random() * 300);
    };
  };
  connect();
}
