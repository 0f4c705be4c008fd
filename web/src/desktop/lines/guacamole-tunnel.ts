/** The tunnel of guacamole-common-js over a WebSocket that keeps why the server closed it. */

import Guacamole from "guacamole-common-js";

import type { Verdict } from "../../feed/close-codes";
import { desktopVerdictOn, tunnelEnding } from "../endings";

/** The gateway echoes pings: without an answer for so long, the line is gone. */
export const SILENCE_MS = 15_000;
export const PING_EVERY_MS = 2_000;

export interface TunnelHooks {
  opened(): void;
  lost(verdict: Verdict, reason: string): void;
}

const element = (value: unknown): string => {
  const text = String(value);
  return `${text.length}.${text}`;
};

export const instruction = (...elements: unknown[]): string => `${elements.map(element).join(",")};`;

export function guacamoleTunnel(url: string, hooks: TunnelHooks): Guacamole.Tunnel {
  const tunnel = new Guacamole.Tunnel();
  const { INTERNAL_DATA_OPCODE: INTERNAL, State } = Guacamole.Tunnel;
  let socket: WebSocket | null = null;
  let pings: ReturnType<typeof setInterval> | undefined;
  let heardAt = 0;

  const end = (verdict: Verdict | null, reason = ""): void => {
    if (!socket) return;
    const ended = socket;
    socket = null;
    clearInterval(pings);
    ended.close();
    tunnel.setState(State.CLOSED);
    if (verdict) hooks.lost(verdict, reason);
  };
  const ping = (): void => {
    if (Date.now() - heardAt > SILENCE_MS) end({ then: "retry", why: "the line went silent" });
    else tunnel.sendMessage(INTERNAL, "ping", Date.now());
  };

  tunnel.sendMessage = (...elements) => {
    if (elements.length > 0 && tunnel.isConnected() && socket?.readyState === WebSocket.OPEN) socket.send(instruction(...elements));
  };
  tunnel.disconnect = () => end(null);
  tunnel.connect = () => {
    tunnel.setState(State.CONNECTING);
    heardAt = Date.now();
    const opened = new WebSocket(url, "guacamole");
    socket = opened;
    const parser = new Guacamole.Parser();
    parser.oninstruction = (opcode, parameters) => {
      if (tunnel.uuid === null) {
        if (opcode === INTERNAL && parameters[0] !== undefined) tunnel.setUUID(parameters[0]);
        tunnel.setState(State.OPEN);
        hooks.opened();
      }
      if (opcode !== INTERNAL) tunnel.oninstruction?.(opcode, parameters);
    };
    opened.onmessage = (event: MessageEvent<string>) => {
      if (socket !== opened) return;
      heardAt = Date.now();
      try {
        parser.receive(event.data);
      } catch {
        end(desktopVerdictOn(4009));
      }
    };
    opened.onclose = (event) => {
      const { verdict, words } = tunnelEnding(event.code, event.reason);
      if (socket === opened) end(verdict, words);
    };
    pings = setInterval(ping, PING_EVERY_MS);
  };
  return tunnel;
}
