/** What is used of clients that come without types. */

declare module "@novnc/novnc" {
  interface RfbEvents {
    connect: CustomEvent;
    securityfailure: CustomEvent<{ status: number; reason?: string }>;
    credentialsrequired: CustomEvent;
    clipboard: CustomEvent<{ text: string }>;
  }
  export default class RFB {
    constructor(target: HTMLElement, channel: WebSocket, options?: { shared?: boolean });
    background: string;
    focusOnClick: boolean;
    qualityLevel: number;
    compressionLevel: number;
    addEventListener<K extends keyof RfbEvents>(name: K, listener: (event: RfbEvents[K]) => void): void;
    clipboardPasteFrom(text: string): void;
    disconnect(): void;
    sendKey(keysym: number, code: string | null, down: boolean): void;
  }
}

declare module "guacamole-common-js" {
  namespace Guacamole {
    class Status {
      constructor(code: number, message?: string);
      code: number;
      message?: string;
    }
    class Parser {
      oninstruction: ((opcode: string, parameters: string[]) => void) | null;
      receive(packet: string): void;
    }
    class Tunnel {
      static INTERNAL_DATA_OPCODE: string;
      static State: { CONNECTING: number; OPEN: number; CLOSED: number; UNSTABLE: number };
      uuid: string | null;
      connect: (data?: string) => void;
      disconnect: () => void;
      sendMessage: (...elements: unknown[]) => void;
      setState(state: number): void;
      setUUID(uuid: string): void;
      isConnected(): boolean;
      oninstruction: ((opcode: string, parameters: string[]) => void) | null;
      onerror: ((status: Status) => void) | null;
    }
    interface Display {
      getElement(): HTMLElement;
      getWidth(): number;
      getHeight(): number;
      scale(factor: number): void;
      flatten(): HTMLCanvasElement;
      showCursor(shown: boolean): void;
      oncursor: ((picture: HTMLCanvasElement, x: number, y: number) => void) | null;
      onresize: ((width: number, height: number) => void) | null;
    }
    class InputStream {}
    class OutputStream {}
    class StringReader {
      constructor(stream: InputStream);
      ontext: ((text: string) => void) | null;
      onend: (() => void) | null;
    }
    class StringWriter {
      constructor(stream: OutputStream);
      sendText(text: string): void;
      sendEnd(): void;
    }
    interface MouseState {
      x: number;
      y: number;
      left: boolean;
      middle: boolean;
      right: boolean;
      up: boolean;
      down: boolean;
    }
    class Client {
      static State: { CONNECTED: number; DISCONNECTED: number };
      constructor(tunnel: Tunnel);
      getDisplay(): Display;
      connect(data?: string): void;
      disconnect(): void;
      sendKeyEvent(pressed: 0 | 1, keysym: number): void;
      sendMouseState(state: MouseState): void;
      sendSize(width: number, height: number): void;
      createClipboardStream(type: string): OutputStream;
      onstatechange: ((state: number) => void) | null;
      onerror: ((status: Status) => void) | null;
      onclipboard: ((stream: InputStream, type: string) => void) | null;
    }
  }
  export default Guacamole;
}
