import { describe, expect, it } from "vitest";

import { isOutOfReach, placeOf, programs, tunnelCommand } from "../../src/ui/own-client-commands";

const to = { address: "127.0.0.1", port: 15901, user: "es-3f9c" };

describe("a client of one's own", () => {
  it("is started without the password", () => {
    expect(programs.map((program) => program.command(to))).toEqual([
      "xfreerdp /v:127.0.0.1:15901 /u:es-3f9c /cert:tofu /smart-sizing",
      "remmina -c rdp://es-3f9c@127.0.0.1:15901",
      "",
    ]);
  });

  it("gets names that a shell leaves alone", () => {
    expect(programs[0].command({ ...to, user: "a b'c; rm" })).toContain(`'/u:a b'\\''c; rm'`);
    expect(placeOf({ address: "fd00::1", port: 1 })).toBe("[fd00::1]:1");
  });

  it("needs a way to a server's own address", () => {
    expect(isOutOfReach("127.0.0.1", "localhost")).toBe(false);
    expect(isOutOfReach("127.0.0.1", "[::1]")).toBe(false);
    expect(isOutOfReach("127.0.0.1", "earthshine.example")).toBe(true);
    expect(isOutOfReach("10.0.0.7", "earthshine.example")).toBe(false);
    expect(tunnelCommand(to, "earthshine.example")).toBe("ssh -N -L 15901:127.0.0.1:15901 earthshine.example");
  });
});
