/** How RDP clients are started. The password is never part of it: it would be seen in lists of processes. */

import type { RdpConnection } from "../api/desktops";

type Place = Pick<RdpConnection, "address" | "port" | "user">;

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** IPv6 addresses need brackets before a port. */
export function placeOf({ address, port }: Pick<Place, "address" | "port">): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

export const programs = [
  {
    name: "xfreerdp",
    words: "It asks for the password. With FreeRDP 3 it may be called xfreerdp3.",
    command: (to: Place) => `xfreerdp ${quoted(`/v:${placeOf(to)}`)} ${quoted(`/u:${to.user}`)} /cert:tofu /smart-sizing`,
  },
  {
    name: "Remmina",
    words: "It asks for the password.",
    command: (to: Place) => `remmina -c ${quoted(`rdp://${encodeURIComponent(to.user)}@${placeOf(to)}`)}`,
  },
  {
    name: "Microsoft",
    words: "Open the file: Windows does so by itself; elsewhere, import it in Windows App. It asks for the password.",
    command: () => "",
  },
] as const;

const loopback = /^(127\.|localhost$|::1$)/;

/** An address that only the server's own machine can reach, seen from a page that came from elsewhere. */
export function isOutOfReach(address: string, host: string): boolean {
  return loopback.test(address) && !loopback.test(host.replace(/^\[|\]$/g, ""));
}

/** Brings such an address here. */
export function tunnelCommand({ address, port }: Pick<Place, "address" | "port">, host: string): string {
  return `ssh -N -L ${port}:${placeOf({ address, port })} ${quoted(host)}`;
}
